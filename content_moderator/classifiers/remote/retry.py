"""Retries calls to a remote classifier, within the deadline and a budget."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from tenacity import (
    Future,
    RetryCallState,
    retry_if_result,
    stop_after_attempt,
    wait_random_exponential,
)
from tenacity import Retrying as TenacityRetrying

from content_moderator.classifiers.remote.circuit_breaker import CircuitBreaker
from content_moderator.classifiers.remote.rolling_window import RollingWindow
from content_moderator.classifiers.wrappers.measuring import measure
from content_moderator.config.settings import RetrySettings
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classifier, Outcome, failure_of_all
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.errors import ClassifierError, DeadlineExceededError
from content_moderator.observability import metrics

BUDGET_WINDOW_SECONDS = 10.0
MIN_CALL_SECONDS = 0.05
"""The least remaining time for another call."""


class RetryBudget:
    """
    Limits retries to a share of the calls, so that a classifier that fails does not get three times the
    calls.

    Args:
        ratio: Retries for each first call of the last ten seconds.
        floor: Retries in ten seconds that are allowed anyway.
        clock: Monotonic seconds.

    Source:
        Envoy's retry budget.
    """

    def __init__(self, ratio: float, floor: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ratio = ratio
        self._floor = floor
        self._lock = threading.Lock()
        self._window = RollingWindow(BUDGET_WINDOW_SECONDS, clock=clock)

    def count_call(self) -> None:
        """Count a first call."""
        with self._lock:
            self._window.add("call")

    def spend(self) -> bool:
        """Use up one retry; return whether there was one."""
        with self._lock:
            counts = self._window.total()
            allowed = counts["retry"] + 1 <= max(self._floor, self._ratio * counts["call"])
            if allowed:
                self._window.add("retry")
            return allowed


class Retrying:
    """
    Retries failed calls to a remote classifier if that can help.

    All retries end before the deadline of the caller. If a pause would not leave time for another call, the
    error is returned at once, with the time of a later retry.

    Args:
        classifier: Makes one call, which succeeds or fails as a whole.
        call_timeout_seconds: Longest time of one call.
        retries: The number of attempts and the pauses.
        breaker: Refuses calls while the classifier fails.
        clock: Monotonic seconds.
        sleep: Pauses.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        call_timeout_seconds: float,
        retries: RetrySettings,
        breaker: CircuitBreaker,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._classifier = classifier
        self.identity = classifier.identity
        self._call_timeout_seconds = call_timeout_seconds
        self._settings = retries
        self._breaker = breaker
        self._budget = RetryBudget(retries.budget_ratio, retries.budget_floor, clock=clock)
        self._pause = wait_random_exponential(retries.first_delay_seconds, retries.max_delay_seconds)
        self._clock = clock
        self._sleep = sleep

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Score each text; see `Classifier.classify`."""
        self._budget.count_call()
        outcomes = self._call(texts, context)
        if not _may_pass(outcomes):
            return outcomes
        return self._retry(outcomes, texts, context)

    def _retry(self, outcomes: list[Outcome], texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Repeat a failed call while that can help."""
        out_of_attempts = stop_after_attempt(self._settings.max_attempts)

        def give_up(state: RetryCallState) -> bool:
            if out_of_attempts(state) or state.upcoming_sleep + MIN_CALL_SECONDS > context.deadline.remaining:
                return True
            if not self._budget.spend():
                metrics.RETRY_BUDGET_EXHAUSTED.inc()
                return True
            return False

        # The first attempt is made without tenacity, because nearly every call succeeds.
        attempts = itertools.chain([outcomes], iter(lambda: self._call(texts, context), None))
        retrying = TenacityRetrying(
            retry=retry_if_result(_may_pass),
            wait=self._wait,
            stop=give_up,
            before_sleep=_count_retry,
            sleep=self._sleep,
            retry_error_callback=_outcomes_of,
        )
        return retrying(lambda: next(attempts))

    def _call(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        seconds = min(context.deadline.remaining, self._call_timeout_seconds)
        if seconds <= 0:
            return [DeadlineExceededError("no time was left for a call")] * len(texts)
        context = replace(context, deadline=Deadline.after(seconds, self._clock))
        try:
            with self._breaker.guard(), measure(self.identity.name):
                outcomes = self._classifier.classify(texts, context)
                if error := failure_of_all(outcomes):
                    # Raised inside the breaker and the timing, so that they see the error.
                    raise error
                return outcomes
        except ClassifierError as error:
            return [error] * len(texts)

    def _wait(self, state: RetryCallState) -> float:
        """
        Return the pause that the classifier asked for; otherwise a random one, with a limit that grows each
        time.
        """
        told = _error_of(state).told_seconds
        return self._pause(state) if told is None else told


def _may_pass(outcomes: Sequence[Outcome]) -> bool:
    """Return whether another call can succeed. After a time-out it can, if there is time left."""
    error = failure_of_all(outcomes)
    return error is not None and (error.retryable or isinstance(error, DeadlineExceededError))


def _outcomes_of(state: RetryCallState) -> list[Outcome]:
    outcomes: list[Outcome] = cast(Future, state.outcome).result()
    return outcomes


def _error_of(state: RetryCallState) -> ClassifierError:
    return cast(ClassifierError, _outcomes_of(state)[0])


def _count_retry(state: RetryCallState) -> None:
    metrics.RETRIES.labels(_error_of(state).code).inc()
