"""
A circuit breaker with a rolling window.

It is not built on pybreaker, which counts consecutive failures and holds its lock during a call: see
docs/decisions/0011.

Source:
    Nygard, "Release It!", 2nd edition, 2018; the rates and the slow calls are those of Resilience4j.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

import structlog

from content_moderator.classifiers.remote.rolling_window import RollingWindow
from content_moderator.config.settings import BreakerSettings
from content_moderator.domain.errors import (
    BadReplyError,
    CircuitOpenError,
    ClassifierError,
    ClassifierUnavailableError,
    DeadlineExceededError,
    QuotaExhaustedError,
    WarmingUpError,
)
from content_moderator.observability import metrics

State = Literal["closed", "open", "half_open"]

FAILURES: Final = (ClassifierUnavailableError, DeadlineExceededError, BadReplyError)
NOT_FAILURES: Final = (WarmingUpError, QuotaExhaustedError)
"""Errors that do not count as failures: the classifier answered, and a pause would not help."""

_log = structlog.get_logger(__name__)


class CircuitBreaker:
    """
    Stops calls to a classifier that keeps failing.

    While it is closed, it counts the results of calls. If too many of the latest calls failed or were slow,
    it opens and refuses all calls. After a while it allows exactly one trial call, which closes it or opens
    it again.

    Args:
        settings: When it opens, and for how long.
        clock: Monotonic seconds.
    """

    def __init__(self, settings: BreakerSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._window = RollingWindow(settings.window_seconds, clock=clock)
        self._opened_at = 0.0
        self.state: State = "closed"
        metrics.BREAKER_STATE.labels("closed").set(1)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """
        Run one call.

        Raises:
            CircuitOpenError: The call is refused; the error says when to try again.
        """
        on_trial = self._admit()
        started = self._clock()
        failed = True
        try:
            yield
            failed = False
        except ClassifierError as error:
            failed = isinstance(error, FAILURES) and not isinstance(error, NOT_FAILURES)
            raise
        finally:
            self._record(failed, self._clock() - started, on_trial=on_trial)

    def _admit(self) -> bool:
        """Return whether this call is the trial call."""
        with self._lock:
            if self.state == "closed":
                return False
            remaining = self._opened_at + self._settings.open_seconds - self._clock()
            if self.state == "open" and remaining <= 0:
                self._become("half_open")
                return True
            raise CircuitOpenError("the circuit is open", retry_after_seconds=max(remaining, 1.0))

    def _record(self, failed: bool, seconds: float, *, on_trial: bool) -> None:
        slow = seconds >= self._settings.slow_call_seconds
        with self._lock:
            if on_trial:
                self._window.clear()
                self._become("open" if failed or slow else "closed")
            elif self.state == "closed":
                self._window.add("call", *["failed"] * failed, *["slow"] * slow)
                if self._too_bad():
                    self._become("open")

    def _too_bad(self) -> bool:
        counts = self._window.total()
        calls = counts["call"]
        return calls >= self._settings.min_calls and (
            counts["failed"] >= self._settings.failure_rate * calls
            or counts["slow"] >= self._settings.slow_rate * calls
        )

    def _become(self, state: State) -> None:
        metrics.BREAKER_STATE.labels(self.state).set(0)
        metrics.BREAKER_STATE.labels(state).set(1)
        metrics.BREAKER_TRANSITIONS.labels(state).inc()
        _log.warning("circuit_breaker", state=state, before=self.state)
        self.state = state
        if state == "open":
            self._opened_at = self._clock()
