"""Deadlines: set once for a request and passed on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Deadline:
    """
    The time after which an answer is useless.

    Args:
        at: The time in seconds of *clock*.
        clock: Monotonic seconds.
    """

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> "Deadline":
        """Return the deadline *seconds* from now."""
        return cls(clock() + seconds, clock)

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; negative if it has passed."""
        return self.at - self.clock()

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return self.remaining <= 0


NEVER: Final = Deadline(float("inf"))
"""For calls without a deadline."""
