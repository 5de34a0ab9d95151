"""Clients that ask as fast as they can and keep count of all that goes wrong."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

BODY = b'{"text": "what a lovely day"}'
HEADERS = {"Content-Type": "application/json"}


@dataclass
class Load:
    """
    What clients have seen.

    Args:
        outcomes: How often, by status or by the exception's name.
        seconds: Of each answer.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return sum(self.outcomes.values())

    @property
    def failed(self) -> dict[str, int]:
        """All that was not 200."""
        return {outcome: count for outcome, count in self.outcomes.items() if outcome != "200"}

    def percentile(self, share: float) -> float:
        """Give the time below which *share* of the answers were, in seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def asking(port: int, *, clients: int = 8, body: bytes = BODY, pause_seconds: float = 0.0) -> Iterator[Load]:
    """Ask POST /classify over kept-alive connections until the block ends; no answer is left behind."""
    load = Load()
    stop = threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(port, body, load, stop, pause_seconds)) for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def _ask(port: int, body: bytes, load: Load, stop: threading.Event, pause_seconds: float) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not stop.is_set():
        started = time.perf_counter()
        try:
            connection.request("POST", "/classify", body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            outcome = str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            outcome = type(error).__name__
            connection.close()
        seconds = time.perf_counter() - started
        with load.lock:
            load.outcomes[outcome] += 1
            load.seconds.append(seconds)
        stop.wait(pause_seconds)
    connection.close()
