"""The service as its users run it: gunicorn, in processes of its own, on a free port of this machine."""

import contextlib
import os
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from content_moderator.server.reload_status import workers as workers_of
from tests.support.fault_server import unused_port, wait_until
from tests.support.paths import ROOT

WORKERS = 2
GUNICORN = [sysconfig.get_path("scripts") + "/gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
# systemd hands a socket over as descriptor 3, and says by the process's own id whom it is for.
HANDED_OVER = 3
TAKING_IT = ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh"]


@dataclass
class Live:
    """A running service."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8")

    def workers(self) -> set[int]:
        """Process ids of the workers."""
        return children(self.process.pid)

    def metric(self, name: str) -> float:
        """Read one sample without labels from /metrics."""
        for line in requests.get(f"{self.url}/metrics", timeout=10).text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise AssertionError(f"{name} is not in /metrics")

    def ready_workers(self) -> set[int]:
        """Process ids of the workers that have loaded the application."""
        folders = {run_folder(worker) for worker in self.workers()}
        named = [workers_of(str(folder)).values() for folder in folders if folder]
        return {pid for pids in named for pid in pids} & self.workers()

    def run_folder(self) -> Path:
        """Find the folder that the workers share."""
        [folder] = {run_folder(worker) for worker in self.workers()}
        assert folder is not None
        return folder

    def reload(self) -> None:
        """Ask for new workers and wait until the old ones are gone."""
        old = self.workers()
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(self.workers()) == len(old) and not self.workers() & old, seconds=30)
        wait_until(lambda: self.ready_workers() == self.workers())

    def talk(self, data: bytes) -> bytes:
        """Send raw bytes and give all that comes back until the service closes or falls silent."""
        return talk(self.port, data)


def talk(port: int, data: bytes, *, half_close: bool = True, seconds: float = 5) -> bytes:
    """
    Send raw bytes and give all that comes back until the other side closes, or falls silent.

    Args:
        port: On this machine.
        data: Sent as it is.
        half_close: Whether to say that nothing more will come; nginx takes that for going away.
        seconds: Of silence after which it is over, if nothing has come yet; else it is a tenth of it.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                received += part
                connection.settimeout(seconds / 10)
    return received


def children(pid: int) -> set[int]:
    """Process ids of the children of a process."""
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def run_folder(worker: int) -> Path | None:
    """Find the folder of a worker by a metric file that it has mapped; None while it has none."""
    mapped = Path(f"/proc/{worker}/maps").read_text().split()
    return next((Path(word).parents[1] for word in mapped if word.endswith(".db")), None)


def environment(port: int, variables: Mapping[str, str]) -> dict[str, str]:
    """
    Give the environment of a service: this process's, the port, and what a test sets.

    Coverage stays out of it: what is shown of a service is shown at the speed that its users have, and all of
    it but processes and sockets is tested inside this process too.
    """
    return without_coverage() | {"PORT": str(port), "THREADS": "8"} | dict(variables)


def without_coverage() -> dict[str, str]:
    """Give this process's environment for another, which coverage is to leave alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@contextmanager
def serving(
    log: Path,
    variables: Mapping[str, str] | None = None,
    command: Sequence[str] = GUNICORN,
    *,
    workers: int = WORKERS,
    listener: socket.socket | None = None,
) -> Iterator[Live]:
    """
    Run the service until the block ends.

    Args:
        log: Where its output goes.
        variables: Of its environment.
        command: That starts it.
        workers: How many.
        listener: A socket that it takes over, as from systemd, instead of listening by itself.
    """
    port = listener.getsockname()[1] if listener else unused_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*TAKING_IT, *command] if listener else command,
            cwd=ROOT,
            env=environment(port, {"WEB_CONCURRENCY": str(workers)} | dict(variables or {})),
            stdout=output,
            stderr=output,
            pass_fds=[HANDED_OVER] if listener else [],
            preexec_fn=(lambda: os.dup2(listener.fileno(), HANDED_OVER)) if listener else None,  # noqa: PLW1509
        )
    live = Live(process, port, log)
    try:
        wait_until(lambda: process.poll() is not None or _answers(live), seconds=30)
        assert process.poll() is None, live.output
        wait_until(lambda: len(live.workers()) == workers and live.ready_workers() == live.workers())
        yield live
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(live: Live) -> bool:
    try:
        return requests.get(f"{live.url}/livez", timeout=2).ok
    except requests.RequestException:
        return False


def run_to_its_end(log: Path, variables: Mapping[str, str]) -> tuple[int, str]:
    """Start a service that is expected to stop by itself; give its exit status and output."""
    with log.open("wb") as output:
        finished = subprocess.run(
            GUNICORN, cwd=ROOT, env=environment(unused_port(), variables), stdout=output, stderr=output,
            timeout=30, check=False,
        )  # fmt: skip
    return finished.returncode, log.read_text(encoding="utf-8")
