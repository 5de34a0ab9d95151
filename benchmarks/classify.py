"""
Requests/s and CPU time of POST /classify, beside a bare WSGI callable: ``make bench``.

All run with the same gunicorn settings, in turns within one run, so that a noisy machine affects all alike.
Quote the ratios. Settings that differ from the defaults are named in the table.
"""

import argparse
import json
import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import ROOT, Result, Server, gunicorn, load, machine, require_wrk

TEXT = "I had a lovely day at the lake with my family, and tomorrow we will go again. "

WITHOUT_LOG_LINES = {"MODERATOR__LOGGING__REQUESTS": "false"}
WITHOUT_CACHE = {"MODERATOR__CACHE__EXACT__ENABLED": "false"}
WITHOUT_SECOND_OPINION = {"MODERATOR__CLASSIFIER__SECOND_OPINION": "false"}


@dataclass(frozen=True)
class Case:
    """
    One row of the table.

    Args:
        name: The name in the table.
        server: The server under load.
        path: The path.
        body: The body of each request; None for a different text each time.
        distinct: The beginning of such texts.
    """

    name: str
    server: Server
    path: str
    body: str | None
    distinct: str = TEXT


def main() -> None:
    """Print a Markdown table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument("--before", type=Path, help="Another checkout of this service, measured as well")
    chosen = arguments.parse_args()
    require_wrk()

    print(f"{machine()}; {chosen.connections} connections, {chosen.rounds} rounds of {chosen.seconds} s\n")
    print("| | requests/s | p50 ms | p99 ms | failed | CPU s / 1,000 | requests/s to bare | CPU to bare |")
    print("|---|---|---|---|---|---|---|---|")
    with ExitStack() as stack:
        cases = [Case("bare WSGI callable", stack.enter_context(gunicorn("benchmarks.bare:app")), "", "{}")]
        for root in filter(None, (ROOT, chosen.before)):
            cases += cases_of(root, stack, "" if root == ROOT else "before: ")
        found: dict[str, list[tuple[Result, float]]] = {case.name: [] for case in cases}
        for _ in range(chosen.rounds):
            for case in cases:
                cpu = case.server.cpu_seconds()
                seen = load(
                    case.server.url + case.path,
                    body=case.body,
                    distinct=case.distinct,
                    connections=chosen.connections,
                    seconds=chosen.seconds,
                )
                thousands = seen.requests_per_second * chosen.seconds / 1000
                found[case.name].append((seen, (case.server.cpu_seconds() - cpu) / thousands))
    report(found, cases[0].name)


def cases_of(root: Path, stack: ExitStack, prefix: str) -> list[Case]:
    """Start the servers of one checkout, and return the rows to measure."""
    alone = WITHOUT_CACHE | WITHOUT_LOG_LINES
    default = stack.enter_context(gunicorn("wsgi:app", root=root))
    quiet = stack.enter_context(gunicorn("wsgi:app", WITHOUT_LOG_LINES, root=root))
    models = stack.enter_context(gunicorn("wsgi:app", alone, root=root))
    linear = stack.enter_context(gunicorn("wsgi:app", alone | WITHOUT_SECOND_OPINION, root=root))
    same = json.dumps({"text": TEXT})
    return [
        Case(f"{prefix}80 characters, in the cache (default settings)", default, "/classify", same),
        Case(f"{prefix}the same, without log lines", quiet, "/classify", same),
        Case(f"{prefix}80 characters, no cache, no log lines", models, "/classify", None),
        Case(f"{prefix}the same, without the second opinion", linear, "/classify", None),
        Case(f"{prefix}2,000 characters, the same", linear, "/classify", None, TEXT * 26),
    ]


def report(found: dict[str, list[tuple[Result, float]]], bare: str) -> None:
    """Print the medians, and their ratios to those of the bare callable."""
    base_rate = statistics.median(seen.requests_per_second for seen, _ in found[bare])
    base_cpu = statistics.median(cpu for _, cpu in found[bare])
    for name, rounds in found.items():
        rate = statistics.median(seen.requests_per_second for seen, _ in rounds)
        p50 = statistics.median(seen.p50_milliseconds for seen, _ in rounds)
        p99 = statistics.median(seen.p99_milliseconds for seen, _ in rounds)
        cpu = statistics.median(cpu for _, cpu in rounds)
        failed = sum(seen.failed for seen, _ in rounds)
        print(
            f"| {name} | {rate:.0f} | {p50:.1f} | {p99:.1f} | {failed} | {cpu:.2f} | {rate / base_rate:.2f}"
            f" | {cpu / base_cpu:.2f} |"
        )


if __name__ == "__main__":
    main()
