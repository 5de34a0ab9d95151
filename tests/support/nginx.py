"""The real nginx with the files of deploy/nginx, in processes of its own, on a free port of this machine."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.fault_server import accepts, unused_port, wait_until
from tests.support.live import talk
from tests.support.paths import ROOT

FILES = ROOT / "deploy" / "nginx"


@dataclass
class Nginx:
    """A running nginx."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """What it has logged so far."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def talk(self, data: bytes, *, half_close: bool = True) -> bytes:
        """Send raw bytes and give all that comes back; see `tests.support.live.talk`."""
        return talk(self.port, data, half_close=half_close)


@contextmanager
def proxying(
    folder: Path,
    service: int,
    *,
    tls: Path | None = None,
    patience_seconds: int | None = None,
    more: str = "",
) -> Iterator[Nginx]:
    """
    Run nginx in front of the service on port *service* until the block ends.

    Of the files as they are shipped only addresses and paths are changed.

    Args:
        folder: For its files.
        service: The service's port.
        patience_seconds: For a client that falls silent, instead of what is shipped.
        tls: A folder with fullchain.pem and privkey.pem, to serve by TLS.
        more: Lines for the section ``server``.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    shutil.copytree(FILES, folder)
    port = unused_port()
    site = (folder / "content_moderator.conf").read_text(encoding="utf-8")
    listen = "    listen 80 reuseport backlog=4096;\n"
    assert listen in site
    if tls is None:
        site = site.replace(listen, listen.replace("80", f"127.0.0.1:{port}"))
    else:
        lines = (folder / "tls.conf.example").read_text(encoding="utf-8").splitlines(keepends=True)
        secure = "".join(line for line in lines if not line.startswith("#"))
        secure = secure.replace("listen 443", f"listen 127.0.0.1:{port}").replace("/etc/nginx/tls", str(tls))
        site = site.replace(listen, secure)
    assert site.count("    server_tokens off;\n") == 1
    site = site.replace("    server_tokens off;\n", f"    server_tokens off;\n{more}")
    if patience_seconds is not None:
        assert site.count("10s;") == 3
        site = site.replace("10s;", f"{patience_seconds}s;")
    assert site.count("127.0.0.1:8000") == 3
    (folder / "content_moderator.conf").write_text(site.replace("127.0.0.1:8000", f"127.0.0.1:{service}"))
    main = (folder / "nginx.conf").read_text(encoding="utf-8")
    main = main.replace("/run/nginx.pid", str(folder / "pid")).replace("/dev/stdout", str(folder / "log"))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(main.replace("http {\n", f"http {{\n{temporary}"))
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    running = Nginx(process, port, folder, "https" if tls else "http")
    try:
        wait_until(lambda: process.poll() is not None or accepts(port))
        assert process.poll() is None, running.output
        yield running
    finally:
        process.terminate()
        process.wait(20)
