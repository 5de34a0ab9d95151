"""Lets threads wait for a classification that another one is to give."""

import copy
import threading

from content_moderator.core.classification import Classification


class Latch:
    """
    One answer, a classification or an exception, for all who wait for it.

    Every request makes one: a Future, with a condition and a list of those who wait, is the same and more.
    """

    __slots__ = ("_answer", "_lock")

    def __init__(self) -> None:
        self._answer: Classification | Exception | None = None
        # Locked until there is an answer; who gets it passes it on.
        self._lock = threading.Lock()
        self._lock.acquire()

    def finish(self, answer: Classification | Exception) -> None:
        """Answer all who wait; only the first answer counts."""
        if self._answer is None:
            self._answer = answer
            self._lock.release()

    def wait(self, seconds: float) -> Classification | None:
        """Wait for the answer; None if it does not come in time, its exception raised if it is one."""
        if self._lock.acquire(timeout=max(seconds, 0)):
            self._lock.release()
        answer = self._answer
        if isinstance(answer, Exception):
            # Many callers raise it: each its own copy, for raising writes into the exception.
            raise copy.copy(answer) from answer.__cause__
        return answer
