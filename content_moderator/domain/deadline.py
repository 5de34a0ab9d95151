"""The instant after which an answer is useless: set once for a request, and passed on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Deadline:
    """
    An instant.

    Args:
        at: In seconds of *clock*.
        clock: Monotonic seconds.
    """

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> "Deadline":
        """Set the deadline *seconds* from now."""
        return cls(clock() + seconds, clock)

    @property
    def remaining(self) -> float:
        """Seconds until then, less than 0 if it has passed."""
        return self.at - self.clock()

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return self.remaining <= 0


NEVER: Final = Deadline(float("inf"))
"""For what takes no time that anybody waits for."""
