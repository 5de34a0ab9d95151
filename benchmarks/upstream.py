"""
Distinct texts with a slow upstream, compared with the stack that this service replaces: ``make
bench-upstream``. Both have two workers and call the same upstream, in turns within one run. All settings
except the URL of the upstream are the defaults. Quote the ratios, above all that of the CPU time, because
machines are noisy.
"""

import argparse
import json
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import ROOT, Result, Server, gunicorn, load, machine, require_wrk, running, unused_port

SECONDS_UPSTREAM = 0.05
PEER = "FastAPI"
OURS = "content_moderator"


@dataclass(frozen=True)
class Round:
    """
    One round with one server.

    Args:
        seen: The results of the clients.
        cpu_seconds: CPU seconds of the server for 1,000 answered requests.
        calls: Calls of the upstream for 1,000 answered requests.
    """

    seen: Result
    cpu_seconds: float
    calls: float


def main() -> None:
    """Print Markdown tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=8)
    arguments.add_argument("--connections", type=int, nargs="+", default=[1, 64, 256])
    arguments.add_argument("--peer", type=Path, default=Path("build/peer/bin/python"))
    arguments.add_argument("--before", type=Path, help="Another checkout of this service, measured as well")
    arguments.add_argument("--floor", action="store_true", help="Also a bare WSGI callable that sleeps")
    chosen = arguments.parse_args()
    require_wrk()
    print(f"{machine()}; {chosen.rounds} rounds of {chosen.seconds} s\n")
    with upstream() as url, ExitStack() as stack:
        variables = {
            "MODERATOR__CLASSIFIER__NAME": "koala",
            "MODERATOR__CLASSIFIER__CONFIG__URL": url,
            "BEARER_TOKEN": "x",
        }
        print(f"one call of the upstream by itself: {direct(url):.1f} ms\n")
        servers = {
            PEER: stack.enter_context(fastapi(chosen.peer, url)),
            OURS: stack.enter_context(gunicorn("wsgi:app", variables)),
        }
        if chosen.before:
            before = stack.enter_context(gunicorn("wsgi:app", variables, root=chosen.before))
            servers["before"] = before
        if chosen.floor:
            servers["bare WSGI"] = stack.enter_context(gunicorn("benchmarks.sleeping:app", variables))
        print("| clients | | requests/s | p50 ms | p99 ms | failed | CPU s / 1,000 | calls / 1,000 |")
        print("|---|---|---|---|---|---|---|---|")
        for connections in chosen.connections:
            found: dict[str, list[Round]] = {name: [] for name in servers}
            for _ in range(chosen.rounds):
                for name, server in servers.items():
                    found[name].append(measured(server, url, connections, chosen.seconds))
            report(connections, found)


def measured(server: Server, upstream_url: str, connections: int, seconds: int) -> Round:
    """Load a server and measure its costs."""
    calls, cpu = counted(upstream_url), server.cpu_seconds()
    seen = load(f"{server.url}/classify", body=None, connections=connections, seconds=seconds)
    time.sleep(1)
    thousands = seen.requests_per_second * seconds / 1000
    return Round(seen, (server.cpu_seconds() - cpu) / thousands, (counted(upstream_url) - calls) / thousands)


def report(connections: int, found: Mapping[str, list[Round]]) -> None:
    """Print the medians, and their ratios to those of the peer."""
    medians = {}
    for name, rounds in found.items():
        rate, p50, p99, cpu, calls = (
            statistics.median(values)
            for values in zip(
                *(
                    (
                        each.seen.requests_per_second,
                        each.seen.p50_milliseconds,
                        each.seen.p99_milliseconds,
                        each.cpu_seconds,
                        each.calls,
                    )
                    for each in rounds
                ),
                strict=True,
            )
        )
        failed = sum(each.seen.failed for each in rounds)
        medians[name] = rate, p99, cpu
        print(
            f"| {connections} | {name} | {rate:.0f} | {p50:.1f} | {p99:.1f} | {failed} | {cpu:.2f}"
            f" | {calls:.0f} |"
        )
    for name in found.keys() - {PEER}:
        rate, p99, cpu = (ours / peer for ours, peer in zip(medians[name], medians[PEER], strict=True))
        print(f"| {connections} | {name} / {PEER} | {rate:.2f} | | {p99:.2f} | | {cpu:.2f} | |", flush=True)


@contextmanager
def upstream() -> Iterator[str]:
    """Run the slow upstream."""
    port = unused_port()
    command = [sys.executable, "-m", "benchmarks.slow_upstream", str(port), str(SECONDS_UPSTREAM)]
    with running(command, f"http://127.0.0.1:{port}/count", os.environ) as server:
        yield server.url.removesuffix("count")


@contextmanager
def fastapi(python: Path, upstream_url: str) -> Iterator[Server]:
    """Run the peer with two workers."""
    if not (ROOT / python).exists():
        raise SystemExit(f"{python} is missing; make bench-upstream installs it")
    port = unused_port()
    command = [str(ROOT / python), "-m", "uvicorn", "benchmarks.peers.fastapi_app:app", "--workers", "2"]
    command += ["--port", str(port), "--log-level", "error", "--no-access-log"]
    with running(
        command, f"http://127.0.0.1:{port}/docs", os.environ | {"UPSTREAM_URL": upstream_url}
    ) as server:
        yield Server(server.url.removesuffix("/docs"), server.pid)


def counted(url: str) -> int:
    """Return the number of calls of the upstream."""
    with urllib.request.urlopen(f"{url}count", timeout=10) as reply:
        return int(json.load(reply)[0])


def direct(url: str) -> float:
    """Return the median time of direct calls of the upstream, in milliseconds."""
    body = json.dumps({"inputs": "a text"}).encode()
    found = []
    for _ in range(20):
        started = time.perf_counter()
        urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST"), timeout=10).read()
        found.append(time.perf_counter() - started)
    return statistics.median(found) * 1000


if __name__ == "__main__":
    main()
