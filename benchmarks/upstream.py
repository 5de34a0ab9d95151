"""
Distinct texts against a slow upstream, beside the stack that this service replaces: ``make bench-upstream``.

Both run two workers and ask the same upstream, in turns within one run; the figures to quote are the ratios.
"""

import argparse
import json
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import ROOT, Result, gunicorn, load, machine, require_wrk, running, unused_port

SECONDS_UPSTREAM = 0.05


def main() -> None:
    """Print Markdown tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=8)
    arguments.add_argument("--connections", type=int, nargs="+", default=[1, 64, 256])
    arguments.add_argument("--peer", type=Path, default=Path("build/peer/bin/python"))
    chosen = arguments.parse_args()
    require_wrk()
    print(f"{machine()}; {chosen.rounds} rounds of {chosen.seconds} s\n")
    with upstream() as url:
        variables = {
            "MODERATOR__CLASSIFIER__NAME": "koala",
            "MODERATOR__CLASSIFIER__CONFIG__URL": url,
            "BEARER_TOKEN": "x",
            "MODERATOR__LOGGING__REQUESTS": "false",
            "MODERATOR__CLASSIFIER__BATCHING__MAX_WAITING": "256",
            "THREADS": "288",
        }
        print(f"one call of the upstream by itself: {direct(url):.1f} ms\n")
        print(
            "| clients | | requests/s | p50 ms | p99 ms | failed | calls of the upstream for 1,000 requests |"
        )
        print("|---|---|---|---|---|---|---|")
        with gunicorn("wsgi:app", **variables) as ours, fastapi(chosen.peer, url) as peer:
            for connections in chosen.connections:
                results: dict[str, list[tuple[Result, float]]] = {"FastAPI": [], "content_moderator": []}
                for _ in range(chosen.rounds):
                    for name, server in (("FastAPI", peer), ("content_moderator", ours)):
                        results[name].append(measured(server, url, connections, chosen.seconds))
                report(connections, results)


def measured(server: str, upstream_url: str, connections: int, seconds: int) -> tuple[Result, float]:
    """Load a server; give what was seen, and the upstream's calls for each request answered."""
    before = counted(upstream_url)
    seen = load(f"{server}/classify", body=None, connections=connections, seconds=seconds)
    time.sleep(1)
    return seen, (counted(upstream_url) - before) / (seen.requests_per_second * seconds)


def report(connections: int, results: dict[str, list[tuple[Result, float]]]) -> None:
    """Print the medians, and their ratio."""
    rates = {}
    for name, found in results.items():
        rates[name] = statistics.median(seen.requests_per_second for seen, _ in found)
        p50 = statistics.median(seen.p50_milliseconds for seen, _ in found)
        p99 = statistics.median(seen.p99_milliseconds for seen, _ in found)
        failed = sum(seen.failed for seen, _ in found)
        calls = statistics.median(calls for _, calls in found) * 1000
        print(
            f"| {connections} | {name} | {rates[name]:.0f} | {p50:.1f} | {p99:.1f} | {failed} | {calls:.0f} |"
        )
    print(
        f"| {connections} | ratio | {rates['content_moderator'] / rates['FastAPI']:.2f} | | | | |", flush=True
    )


@contextmanager
def upstream() -> Iterator[str]:
    """Run the slow upstream."""
    port = unused_port()
    command = [sys.executable, "-m", "benchmarks.slow_upstream", str(port), str(SECONDS_UPSTREAM)]
    with running(command, f"http://127.0.0.1:{port}/count", os.environ) as url:
        yield url.removesuffix("count")


@contextmanager
def fastapi(python: Path, upstream_url: str) -> Iterator[str]:
    """Run the peer with two workers."""
    if not (ROOT / python).exists():
        raise SystemExit(f"{python} is missing; make bench-upstream installs it")
    port = unused_port()
    command = [str(ROOT / python), "-m", "uvicorn", "benchmarks.peers.fastapi_app:app", "--workers", "2"]
    command += ["--port", str(port), "--log-level", "error", "--no-access-log"]
    with running(
        command, f"http://127.0.0.1:{port}/docs", os.environ | {"UPSTREAM_URL": upstream_url}
    ) as url:
        yield url.removesuffix("/docs")


def counted(url: str) -> int:
    """Ask how many calls the upstream had."""
    with urllib.request.urlopen(f"{url}count", timeout=10) as reply:
        return int(json.load(reply)[0])


def direct(url: str) -> float:
    """Measure the median of calls made without any service between, in milliseconds."""
    body = json.dumps({"inputs": "a text"}).encode()
    found = []
    for _ in range(20):
        started = time.perf_counter()
        urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST"), timeout=10).read()
        found.append(time.perf_counter() - started)
    return statistics.median(found) * 1000


if __name__ == "__main__":
    main()
