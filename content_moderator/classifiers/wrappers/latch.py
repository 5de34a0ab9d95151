"""Lets threads wait for the outcome of a text that another thread asks about."""

import threading

from content_moderator.domain.classification import Classification, Outcome
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.errors import ClassifierError, DeadlineExceededError


class Latch:
    """
    One outcome for all who wait for it.

    Every request makes one: a Future, with a condition and a list of those who wait, is the same and more.
    """

    __slots__ = ("_lock", "_outcome")

    def __init__(self) -> None:
        self._outcome: Outcome | Exception | None = None
        # Locked until there is an outcome; who gets it passes it on.
        self._lock = threading.Lock()
        self._lock.acquire()

    def finish(self, outcome: Outcome | Exception) -> None:
        """Tell all who wait; only the first outcome counts. What is no answer is raised there."""
        if self._outcome is None:
            self._outcome = outcome
            self._lock.release()

    def wait(self, deadline: Deadline) -> Outcome:
        """Wait for the outcome; past the deadline it is that nothing came in time."""
        seconds = min(max(deadline.remaining, 0), threading.TIMEOUT_MAX)
        if self._lock.acquire(timeout=seconds):
            self._lock.release()
        outcome = self._outcome
        if outcome is None:
            return DeadlineExceededError("no answer came in time")
        if isinstance(outcome, (Classification, ClassifierError)):
            return outcome
        raise outcome
