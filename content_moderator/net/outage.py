"""Leaves a server that failed alone for a while, and says once that it is lost and once that it is back."""

import threading
import time
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)


class Outage:
    """
    Knows whether a server is worth asking.

    After a failure it is not, for a while; then one asks, and all others wait for what comes of that.

    Args:
        name: Of the server, in the log: ``<name>_lost`` and ``<name>_back``.
        pause_seconds: For which it is left alone.
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
        self._again_at = 0.0

    def may_ask(self) -> bool:
        """Tell whether to ask; whoever is told so while the server is lost is the one who tries."""
        with self._lock:
            if self._lost:
                if self._clock() < self._again_at:
                    return False
                self._again_at = self._clock() + self._pause_seconds
            return True

    def begin(self, reason: str) -> None:
        """Take note of a failure."""
        with self._lock:
            before, self._lost = self._lost, True
            self._again_at = self._clock() + self._pause_seconds
        if not before:
            _log.warning(f"{self._name}_lost", reason=reason)

    def end(self) -> None:
        """Take note of an answer."""
        if self._lost:
            with self._lock:
                self._lost = False
            _log.info(f"{self._name}_back")
