"""
Requests/s of POST /classify with 1,000 everyday sentences, with and without the second opinion: ``python -m
benchmarks.everyday``.

There is no cache. With ``--peer DIRECTORY`` a checkout of another version of this service, with its own
virtual environment in ``.venv`` or that of this one, is loaded in turns with the two.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import machine, require_wrk, running, unused_port

ROOT = Path(__file__).parent.parent
SENTENCES = Path(__file__).with_name("everyday.txt")
TICKS = os.sysconf("SC_CLK_TCK")
ASKED = re.compile(r"^content_moderator_second_opinions_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Round:
    """The results of one application in a few seconds of load."""

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    cpu_seconds: float
    requests: int
    failed: int
    asked: float


def main() -> None:
    """Print a Markdown table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--connections", type=int, default=16)
    arguments.add_argument("--peer", type=Path)
    chosen = arguments.parse_args()
    require_wrk()
    sentences = SENTENCES.read_text(encoding="utf-8").splitlines()
    print(f"{machine()}; {len(sentences)} sentences, {chosen.connections} connections,")
    print(f"{chosen.rounds} rounds of {chosen.seconds} s\n")
    with ExitStack() as stack:
        servers = {
            "second opinion off": serve(ROOT, MODERATOR__CLASSIFIER__SECOND_OPINION="false"),
            "second opinion on": serve(ROOT),
        }
        if chosen.peer:
            servers = {"the other version": serve(chosen.peer), **servers}
        urls = {name: stack.enter_context(server) for name, server in servers.items()}
        script = stack.enter_context(wrk_script(sentences))
        found: dict[str, list[Round]] = {name: [] for name in urls}
        for _ in range(chosen.rounds):
            for name, url in urls.items():
                found[name].append(load(url, script, chosen.connections, chosen.seconds))
    print(
        "| application | requests/s | p50 ms | p99 ms | CPU s / 1,000 | asked | failed | ratio | CPU ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    base = next(iter(found.values()))
    for name, rounds in found.items():
        rate, cpu = median(rounds, "requests_per_second"), cost(rounds)
        asked = sum(each.asked for each in rounds) / sum(each.requests for each in rounds)
        print(
            f"| {name} | {rate:.0f} | {median(rounds, 'p50_milliseconds'):.1f} "
            f"| {median(rounds, 'p99_milliseconds'):.1f} | {cpu:.3f} | {asked:.1%} "
            f"| {sum(each.failed for each in rounds)} | {rate / median(base, 'requests_per_second'):.2f} "
            f"| {cpu / cost(base):.2f} |",
            flush=True,
        )


def median(rounds: list[Round], field: str) -> float:
    """Return the median of a field."""
    return float(statistics.median(getattr(each, field) for each in rounds))


def cost(rounds: list[Round]) -> float:
    """Return the CPU seconds for 1,000 requests."""
    return 1000 * sum(each.cpu_seconds for each in rounds) / sum(each.requests for each in rounds)


@contextmanager
def serve(checkout: Path, **variables: str) -> Iterator[str]:
    """Serve a checkout without cache and request log; yield its URL."""
    own = checkout / ".venv/bin/gunicorn"
    gunicorn = own if own.exists() else Path(sys.executable).with_name("gunicorn")
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    quiet = {"MODERATOR__CACHE__EXACT__ENABLED": "false", "MODERATOR__LOGGING__REQUESTS": "false"}
    environ = os.environ | {"PORT": str(port), "PYTHONPATH": str(checkout)} | quiet | variables
    # The shell is replaced by gunicorn, in the checkout's folder.
    command = ["sh", "-c", f'cd "{checkout}" && exec "{gunicorn}" -c gunicorn.conf.py wsgi:app']
    with running(command, f"{url}/livez", environ):
        yield url


def load(url: str, script: str, connections: int, seconds: int) -> Round:
    """Send all sentences to *url* in turn."""
    used, asked = cpu_seconds(url), asked_so_far(url)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", script, url]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    rate, p50, p99, count, failed = map(float, output.rsplit("RESULT ", 1)[1].split())
    return Round(rate, p50, p99, cpu_seconds(url) - used, int(count), int(failed), asked_so_far(url) - asked)


def asked_so_far(url: str) -> float:
    """Return the number of texts that the encoder has scored; None for a version without it."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        found = ASKED.search(answer.read().decode())
    return float(found[1]) if found else 0.0


def cpu_seconds(url: str) -> float:
    """Return the CPU seconds of the workers and the master behind *url*."""
    port = f":{int(url.rsplit(':', 1)[1]):04X}"
    sockets = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        if line.split()[1].endswith(port) and line.split()[3] == "0A"
    }
    return sum(used(process) for process in Path("/proc").glob("[0-9]*") if sockets & inodes(process))


def inodes(process: Path) -> set[str]:
    """Return the sockets that a process has open."""
    try:
        names = [str(each.readlink()) for each in (process / "fd").iterdir()]
    except OSError:
        return set()
    return {name.removeprefix("socket:[").removesuffix("]") for name in names if name.startswith("socket:")}


def used(process: Path) -> float:
    """Return the CPU seconds of a process."""
    try:
        fields = (process / "stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def wrk_script(sentences: list[str]) -> Iterator[str]:
    """Write the script for wrk."""
    bodies = ",\n".join(f"[==[{json.dumps({'text': each})}]==]" for each in sentences)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.replace("BODIES", bodies))
        script.flush()
        yield script.name


SCRIPT = """
local bodies = {BODIES}
local count = 0
local headers = {["Content-Type"] = "application/json"}
function request()
  count = count + 1
  return wrk.format("POST", "/classify", headers, bodies[count % #bodies + 1])
end
function done(summary, latency, requests)
  local e = summary.errors
  local failed = e.status + e.connect + e.read + e.write + e.timeout
  local rate = (summary.requests - e.status) / (summary.duration / 1e6)
  print(string.format("RESULT %.1f %.3f %.3f %d %d", rate,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, summary.requests, failed))
end
"""


if __name__ == "__main__":
    main()
