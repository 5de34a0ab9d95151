"""
CPU time of one request to the embedded model: ``python -m benchmarks.request_cost``.

In one process, without sockets and cache. Each row is the minimum of three runs.
"""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from benchmarks.load import machine
from content_moderator.app import create_app
from content_moderator.config.settings import LoggingSettings, Settings

PROSE = "The weather is fine and we walk to the market. "
REVERSED = "a" + "\u0345" * 10_000 + "\u0334" * 10_000

FRESH = {"Cache-Control": "no-store"}


def requests() -> Mapping[str, tuple[str, Mapping[str, Any]]]:
    """Return a path and a body for each row."""
    long = (PROSE * 500)[:20_480]
    everything = {"spans": True, "explain": True}
    return {
        "a text of 47 characters": ("/classify", {"text": PROSE}),
        "a text of 20,480 characters": ("/classify", {"text": long}),
        "the same, with spans and explain": ("/classify", {"text": long} | everything),
        "20,001 marks in the wrong order, with both": ("/classify", {"text": REVERSED} | everything),
        "50 texts of 20,000 characters": (
            "/classify/batch",
            {"texts": [f"{n} {long[:19_990]}" for n in range(50)]},
        ),
        "one text of 1,000,000 characters": ("/v1/moderations", {"input": (PROSE * 22_000)[:1_000_000]}),
        "the same of letters with spaces between": ("/v1/moderations", {"input": "k i l l " * 125_000}),
        "2,048 texts of 50 characters": ("/v1/moderations", {"input": [f"{n} {PROSE}" for n in range(2048)]}),
    }


def main() -> None:
    """Print a table."""
    client = create_app(Settings(logging=LoggingSettings(requests=False))).test_client()
    client.post("/classify", json={"text": "warm"})
    print(f"{machine()}\n\n| request | CPU ms |\n|---|---|")
    for name, (path, body) in requests().items():
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            answer = client.post(path, json=body, headers=FRESH)
            best = min(best, time.process_time() - started)
            assert answer.status_code == HTTPStatus.OK, answer.get_json()
        print(f"| {name} | {best * 1000:.1f} |", flush=True)


if __name__ == "__main__":
    main()
