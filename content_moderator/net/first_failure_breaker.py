"""A circuit breaker that opens at the first failure, for servers without which the service works, too."""

import threading
import time
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)


class FirstFailureBreaker:
    """
    Allows calls to a server while they succeed.

    After a failure it allows no calls for a while, then one trial call. The loss and the return of the server
    are logged once each.

    Args:
        name: The name of the server in the log: ``<name>_lost`` and ``<name>_back``.
        pause_seconds: Time from a failure to the trial call.
        clock: Monotonic seconds.
    """

    def __init__(
        self, name: str, *, pause_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._lost = False
        self._trial_at = 0.0

    def allows_call(self) -> bool:
        """Return whether to make a call; while the server is lost, only one caller at a time gets True."""
        with self._lock:
            if self._lost:
                if self._clock() < self._trial_at:
                    return False
                self._trial_at = self._clock() + self._pause_seconds
            return True

    def record_failure(self, reason: str) -> None:
        """Record that a call failed."""
        with self._lock:
            before, self._lost = self._lost, True
            self._trial_at = self._clock() + self._pause_seconds
        if not before:
            _log.warning(f"{self._name}_lost", reason=reason)

    def record_success(self) -> None:
        """Record that a call succeeded."""
        if self._lost:
            with self._lock:
                self._lost = False
            _log.info(f"{self._name}_back")
