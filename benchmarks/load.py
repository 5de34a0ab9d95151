"""Starts servers on loopback and loads them with wrk, a bounded number of seconds at a time."""

import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = "I had a lovely day at the lake"


@dataclass(frozen=True)
class Result:
    """
    The results of wrk.

    Args:
        requests_per_second: Answers with a 2xx status, per second.
        p50_milliseconds: Median latency.
        p99_milliseconds: 99th percentile of the latency.
        failed: Answers with another status, and socket errors.
    """

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    failed: int


def require_wrk() -> None:
    """Stop with a hint if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing; on Debian and Ubuntu: apt install wrk")


@dataclass(frozen=True)
class Server:
    """
    A running server.

    Args:
        url: Its URL.
        pid: Its first process.
    """

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process and all its children, including those that have ended."""
        ticks = 0
        pending = [self.pid]
        while pending:
            process = Path("/proc", str(pending.pop()))
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            # utime, stime, cutime and cstime of proc(5).
            ticks += sum(map(int, fields[11:15]))
            for children in process.glob("task/*/children"):
                pending += map(int, children.read_text().split())
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def gunicorn(
    application: str, variables: Mapping[str, str] | None = None, *, root: Path = ROOT
) -> Iterator[Server]:
    """
    Serve *application* with this project's gunicorn.conf.py.

    Args:
        application: The application in gunicorn's notation.
        variables: Additional environment variables.
        root: The folder of the checkout; another one needs its own virtual environment in .venv.
    """
    port = unused_port()
    scripts = Path(sysconfig.get_path("scripts")) if root == ROOT else root / ".venv" / "bin"
    command = [str(scripts / "gunicorn"), "-c", "gunicorn.conf.py", application]
    environ = os.environ | {"PORT": str(port)} | dict(variables or {})
    with running(command, f"http://127.0.0.1:{port}", environ, root=root) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str], url: str, environ: Mapping[str, str], *, root: Path = ROOT
) -> Iterator[Server]:
    """Run a server in the folder of a checkout until the block ends; *url* is its URL."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=root, env=environ, stdout=log, stderr=log)
        try:
            _wait_for(url, process)
            yield Server(url, process.pid)
        finally:
            process.terminate()
            process.wait(30)


def load(url: str, *, body: str | None, connections: int, seconds: int, distinct: str = TEXT) -> Result:
    """
    Load *url* for *seconds* over kept-alive *connections*.

    Args:
        url: The URL.
        body: JSON; None for a different text each time.
        distinct: The beginning of such texts.
        connections: The number of connections.
        seconds: The duration.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_script(body, distinct))
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "10s",
            "-s",
            script.name,
            url,
        ]
        output = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=seconds + 60
        ).stdout
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\S+)", output)
    if found is None:
        raise SystemExit(f"wrk gave no result:\n{output}")
    rate, p50, p99, failed = map(float, found.groups())
    return Result(rate, p50, p99, int(failed))


def unused_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


_DISTINCT = """
local beginning = [==[{beginning}]==]
local count = 0
local seed = os.time()
function request()
  count = count + 1
  local text = string.format("%s, number %d of %d", beginning, count, seed)
  return wrk.format(nil, nil, nil, '{"text": "' .. text .. '"}')
end
"""


def _script(body: str | None, distinct: str) -> str:
    texts = _DISTINCT.replace("{beginning}", distinct) if body is None else f"wrk.body = [==[{body}]==]"
    return f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
{texts}
function done(summary, latency, requests)
  local e = summary.errors
  local failed = e.status + e.connect + e.read + e.write + e.timeout
  local rate = (summary.requests - e.status) / (summary.duration / 1e6)
  print(string.format("RESULT %.1f %.3f %.3f %d", rate,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, failed))
end
"""


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} did not come up")


def machine() -> str:
    """Describe this machine in a line."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    name = model[1] if model else "unknown processor"
    return f"{os.cpu_count()} cores, {name}, Python {sys.version.split()[0]}"
