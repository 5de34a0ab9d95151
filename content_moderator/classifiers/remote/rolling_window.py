"""Counts events in a rolling window."""

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

SLICES: Final = 10


class RollingWindow:
    """
    Counts events by name in the last seconds, with a resolution of a tenth of the window. Not thread-safe.

    Args:
        seconds: Length of the window.
        clock: Monotonic seconds.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._slice_seconds = seconds / SLICES
        self._clock = clock
        self._slices: deque[tuple[int, Counter[str]]] = deque()

    def add(self, *names: str) -> None:
        """Count one event under each of *names*."""
        now = self._number()
        if not self._slices or self._slices[-1][0] != now:
            self._slices.append((now, Counter()))
        self._slices[-1][1].update(names)

    def total(self) -> Counter[str]:
        """Return the number of events in the window."""
        oldest = self._number() - SLICES
        while self._slices and self._slices[0][0] <= oldest:
            self._slices.popleft()
        return sum((counts for _, counts in self._slices), Counter())

    def clear(self) -> None:
        """Remove all events."""
        self._slices.clear()

    def _number(self) -> int:
        return int(self._clock() / self._slice_seconds)
