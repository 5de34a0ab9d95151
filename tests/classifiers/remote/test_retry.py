"""Deadline, retries and their budget around a remote classifier."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from content_moderator.classifiers.remote.circuit_breaker import CircuitBreaker
from content_moderator.classifiers.remote.retry import RetryBudget, Retrying
from content_moderator.config.settings import BreakerSettings, RetrySettings
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, Outcome, succeeded
from content_moderator.domain.errors import (
    BadReplyError,
    CircuitOpenError,
    ClassifierError,
    ClassifierUnavailableError,
    CredentialsRefusedError,
    DeadlineExceededError,
    ModelNotFoundError,
    QuotaExhaustedError,
    RequestRefusedError,
    ThrottledError,
    WarmingUpError,
)
from tests.support.fake import HARMLESS, IDENTITY, Clock, within

RETRIES = RetrySettings(
    max_attempts=3, first_delay_seconds=0.1, max_delay_seconds=2, budget_ratio=0.2, budget_floor=3
)


class Scripted:
    """Answers or raises as told, and takes its time; the last step repeats."""

    def __init__(self, clock: Clock, *steps: ClassifierError | None, takes: float = 0.0) -> None:
        self.identity = IDENTITY
        self.clock = clock
        self.steps = list(steps)
        self.takes = takes
        self.given: list[float] = []

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Take a step; a call that takes longer than its time is cut off."""
        seconds = context.deadline.remaining
        step = self.steps[min(len(self.given), len(self.steps) - 1)]
        self.given.append(seconds)
        self.clock.now += min(self.takes, seconds)
        if self.takes > seconds:
            step = DeadlineExceededError()
        if step is not None:
            return [step] * len(texts)
        return [Classification(HARMLESS, IDENTITY) for _ in texts]


def protected(
    inner: Scripted, retries: RetrySettings = RETRIES, *, min_calls: int = 1000, call_timeout: float = 6.0
) -> Retrying:
    breaker = CircuitBreaker(BreakerSettings(min_calls=min_calls), clock=inner.clock)
    return Retrying(
        inner,
        call_timeout_seconds=call_timeout,
        retries=retries,
        breaker=breaker,
        clock=inner.clock,
        sleep=inner.clock.sleep,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("error", [ClassifierUnavailableError, ThrottledError, WarmingUpError])
def test_what_may_pass_is_tried_again(error: type[ClassifierError], clock: Clock) -> None:
    inner = Scripted(clock, error(), error(), None)
    assert len(succeeded(protected(inner).classify(["a", "b"], within(8, clock)))) == 2
    assert len(inner.given) == 3
    first, second = clock.slept
    assert 0 <= first <= 0.1
    assert 0 <= second <= 0.2


@pytest.mark.parametrize(
    "error",
    [BadReplyError, CredentialsRefusedError, ModelNotFoundError, QuotaExhaustedError, RequestRefusedError],
)
def test_what_cannot_pass_is_not(error: type[ClassifierError], clock: Clock) -> None:
    inner = Scripted(clock, error())
    with pytest.raises(error):
        succeeded(protected(inner).classify(["a"], within(8, clock)))
    assert len(inner.given) == 1


def test_attempts_are_limited(clock: Clock) -> None:
    inner = Scripted(clock, ClassifierUnavailableError())
    with pytest.raises(ClassifierUnavailableError):
        succeeded(protected(inner).classify(["a"], within(8, clock)))
    assert len(inner.given) == 3


def test_a_pause_that_the_classifier_asks_for_is_kept(clock: Clock) -> None:
    inner = Scripted(clock, ThrottledError(retry_after_seconds=3), None)
    succeeded(protected(inner).classify(["a"], within(8, clock)))
    assert clock.slept == [3]


@pytest.mark.parametrize("told", [7.99, 20, 3600])
def test_a_pause_that_does_not_fit_is_passed_on_at_once(told: float, clock: Clock) -> None:
    inner = Scripted(clock, WarmingUpError(retry_after_seconds=told))
    with pytest.raises(WarmingUpError) as raised:
        succeeded(protected(inner).classify(["a"], within(8, clock)))
    assert raised.value.retry_after_seconds == told
    assert (len(inner.given), clock.slept) == (1, [])


def test_no_call_gets_more_time_than_there_is(clock: Clock) -> None:
    inner = Scripted(clock, ClassifierUnavailableError(), takes=2.5)
    with pytest.raises(ClassifierUnavailableError):
        succeeded(protected(inner, replace(RETRIES, first_delay_seconds=0)).classify(["a"], within(8, clock)))
    assert inner.given == pytest.approx([6, 5.5, 3.0])


def test_a_call_that_takes_too_long_leaves_time_for_another(clock: Clock) -> None:
    inner = Scripted(clock, None, takes=100)
    with pytest.raises(DeadlineExceededError):
        succeeded(protected(inner, replace(RETRIES, first_delay_seconds=0)).classify(["a"], within(8, clock)))
    assert inner.given == pytest.approx([6, 2])
    assert clock.now == pytest.approx(108)


def test_no_time_no_call(clock: Clock) -> None:
    inner = Scripted(clock, None)
    with pytest.raises(DeadlineExceededError):
        succeeded(protected(inner).classify(["a"], within(0, clock)))
    assert inner.given == []


def test_of_many_failing_calls_a_fifth_is_repeated(clock: Clock) -> None:
    inner = Scripted(clock, ClassifierUnavailableError())
    classifier = protected(inner, replace(RETRIES, first_delay_seconds=0))
    for _ in range(100):
        with pytest.raises(ClassifierUnavailableError):
            succeeded(classifier.classify(["a"], within(8, clock)))
    assert len(inner.given) == 120


def test_the_budget_is_of_the_last_seconds_and_has_a_floor() -> None:
    clock = Clock()
    budget = RetryBudget(0.2, 2, clock=clock)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    clock.now += 11
    for _ in range(20):
        budget.count_call()
    assert [budget.spend() for _ in range(5)] == [True] * 4 + [False]


def test_an_open_circuit_ends_it(clock: Clock) -> None:
    inner = Scripted(clock, ClassifierUnavailableError())
    classifier = protected(inner, replace(RETRIES, first_delay_seconds=0), min_calls=2)
    with pytest.raises(CircuitOpenError):
        succeeded(classifier.classify(["a"], within(8, clock)))
    assert len(inner.given) == 2
    with pytest.raises(CircuitOpenError):
        succeeded(classifier.classify(["a"], within(8, clock)))
    assert len(inner.given) == 2
