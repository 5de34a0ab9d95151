"""
Requests/s of POST /classify, beside a bare WSGI callable and the stack that this service replaces: ``make
bench``.

Both run on the same gunicorn settings, in turns within one run, so that a noisy machine disturbs both
alike; the figure to quote is the ratio.
"""

import argparse
import json
import statistics
from pathlib import Path

from benchmarks.load import Result, gunicorn, load, machine, require_wrk
from benchmarks.upstream import fastapi, upstream

TEXT = "I had a lovely day at the lake with my family, and tomorrow we will go again. "


def main() -> None:
    """Print a Markdown table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument("--peer", type=Path, default=Path("build/peer/bin/python"))
    chosen = arguments.parse_args()
    require_wrk()

    print(f"{machine()}; {chosen.connections} connections, {chosen.rounds} rounds of {chosen.seconds} s\n")
    print(
        "| application | requests/s | p50 ms | p99 ms | failed | ratio to bare |\n|---|---|---|---|---|---|"
    )
    quiet = {"MODERATOR__LOGGING__REQUESTS": "false"}
    uncached = {"MODERATOR__CACHE__EXACT__ENABLED": "false"}
    with (
        upstream() as slow,
        fastapi(chosen.peer, slow) as peer,
        gunicorn("benchmarks.bare:app") as bare,
        gunicorn("wsgi:app", **quiet) as ours,
        gunicorn("wsgi:app") as log,
        gunicorn("wsgi:app", **quiet, **uncached) as forgetful,
    ):
        short, long = json.dumps({"text": TEXT}), json.dumps({"text": TEXT * 26})
        cases = {
            "bare WSGI callable": (bare, "{}"),
            "80 characters, remembered": (f"{ours}/classify", short),
            "the same, with a log line each": (f"{log}/classify", short),
            "80 characters, embedded model": (f"{forgetful}/classify", short),
            "2,000 characters, embedded model": (f"{forgetful}/classify", long),
            "FastAPI, which remembers nothing, 50 ms upstream": (f"{peer}/classify", short),
        }
        results: dict[str, list[Result]] = {name: [] for name in cases}
        for _ in range(chosen.rounds):
            for name, (url, body) in cases.items():
                seen = load(url, body=body, connections=chosen.connections, seconds=chosen.seconds)
                results[name].append(seen)
    base = _median(results["bare WSGI callable"], "requests_per_second")
    for name, found in results.items():
        rate = _median(found, "requests_per_second")
        p50, p99 = _median(found, "p50_milliseconds"), _median(found, "p99_milliseconds")
        failed = sum(each.failed for each in found)
        print(f"| {name} | {rate:.0f} | {p50:.1f} | {p99:.1f} | {failed} | {rate / base:.2f} |")


def _median(results: list[Result], field: str) -> float:
    return float(statistics.median(getattr(result, field) for result in results))


if __name__ == "__main__":
    main()
