"""Lets threads wait for an outcome from another thread."""

import threading

from content_moderator.domain.classification import Classification, Outcome
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.errors import ClassifierError, DeadlineExceededError


class Latch:
    """
    One outcome, for which several threads can wait.

    It is cheaper than a Future, which has a condition and a list of waiting threads; every request creates
    one.
    """

    __slots__ = ("_lock", "_outcome")

    def __init__(self) -> None:
        self._outcome: Outcome | Exception | None = None
        # Locked until there is an outcome; each waiting thread releases it for the next.
        self._lock = threading.Lock()
        self._lock.acquire()

    def finish(self, outcome: Outcome | Exception) -> None:
        """
        Set the outcome for all waiting threads; only the first one counts. Exceptions are raised in these
        threads.
        """
        if self._outcome is None:
            self._outcome = outcome
            self._lock.release()

    def wait(self, deadline: Deadline) -> Outcome:
        """Wait for the outcome; return a DeadlineExceededError after the deadline."""
        seconds = min(max(deadline.remaining, 0), threading.TIMEOUT_MAX)
        if self._lock.acquire(timeout=seconds):
            self._lock.release()
        outcome = self._outcome
        if outcome is None:
            return DeadlineExceededError("no answer came in time")
        if isinstance(outcome, (Classification, ClassifierError)):
            return outcome
        raise outcome
