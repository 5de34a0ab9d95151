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
"""With less time than this left another call is not worth making."""


class RetryBudget:
    """
    Bounds retries by a share of the calls: a classifier that fails for all must not get all calls thrice.

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
        """Take one retry if there is one."""
        with self._lock:
            counts = self._window.total()
            allowed = counts["retry"] + 1 <= max(self._floor, self._ratio * counts["call"])
            if allowed:
                self._window.add("retry")
            return allowed


class Retrying:
    """
    A remote classifier that is asked again where that helps, and left alone where it does not.

    Everything happens before the caller's deadline: a pause that would not leave time for another call is not
    begun, and the error says at once when to come back.

    Args:
        classifier: Makes one call, which succeeds or fails as a whole, and knows no retries.
        call_timeout_seconds: Longest time of one call.
        retries: How often, and after which pauses.
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
        """Make a failed call again while that may help."""
        out_of_attempts = stop_after_attempt(self._settings.max_attempts)

        def give_up(state: RetryCallState) -> bool:
            if out_of_attempts(state) or state.upcoming_sleep + MIN_CALL_SECONDS > context.deadline.remaining:
                return True
            if not self._budget.spend():
                metrics.RETRY_BUDGET_EXHAUSTED.inc()
                return True
            return False

        # The first attempt has been made: nearly every call succeeds, and needs none of this.
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
                    # For the breaker and the metrics.
                    raise error
                return outcomes
        except ClassifierError as error:
            return [error] * len(texts)

    def _wait(self, state: RetryCallState) -> float:
        """Wait as long as the classifier said, else for a random time that may be longer each time."""
        told = _error_of(state).told_seconds
        return self._pause(state) if told is None else told


def _may_pass(outcomes: Sequence[Outcome]) -> bool:
    """Return whether another call may succeed; one that took too long may, if there is time left."""
    error = failure_of_all(outcomes)
    return error is not None and (error.retryable or isinstance(error, DeadlineExceededError))


def _outcomes_of(state: RetryCallState) -> list[Outcome]:
    outcomes: list[Outcome] = cast(Future, state.outcome).result()
    return outcomes


def _error_of(state: RetryCallState) -> ClassifierError:
    return cast(ClassifierError, _outcomes_of(state)[0])


def _count_retry(state: RetryCallState) -> None:
    metrics.RETRIES.labels(_error_of(state).code).inc()
