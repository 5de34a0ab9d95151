"""The circuit breaker: when it opens, and when it closes again."""

import threading
from dataclasses import replace

import pytest

from content_moderator.classifiers.remote.circuit_breaker import CircuitBreaker
from content_moderator.classifiers.remote.rolling_window import RollingWindow
from content_moderator.config.settings import BreakerSettings
from content_moderator.domain.errors import (
    BadReplyError,
    CircuitOpenError,
    ClassifierError,
    ClassifierUnavailableError,
    CredentialsRefusedError,
    DeadlineExceededError,
    QuotaExhaustedError,
    RequestRefusedError,
    ThrottledError,
    WarmingUpError,
)
from tests.support.fake import Clock

SETTINGS = BreakerSettings(
    window_seconds=10,
    min_calls=10,
    failure_rate=0.5,
    slow_call_seconds=2,
    slow_rate=0.8,
    open_seconds=5,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(SETTINGS, clock=clock)


def call(
    breaker: CircuitBreaker, error: Exception | None = None, *, clock: Clock | None = None, takes: float = 0
) -> None:
    """Make one call; what it raises passes through."""
    with breaker.guard():
        if clock is not None:
            clock.now += takes
        if error is not None:
            raise error


def state_of(breaker: CircuitBreaker) -> str:
    """Read it anew: a checker takes an attribute that was just compared for known."""
    return breaker.state


def fail(
    breaker: CircuitBreaker, times: int, error: type[ClassifierError] = ClassifierUnavailableError
) -> None:
    for _ in range(times):
        with pytest.raises(error):
            call(breaker, error())


@pytest.mark.parametrize(
    "error", [ClassifierUnavailableError, ThrottledError, DeadlineExceededError, BadReplyError]
)
def test_it_opens_when_enough_calls_failed(error: type[ClassifierError], breaker: CircuitBreaker) -> None:
    fail(breaker, 9, error)
    assert state_of(breaker) == "closed"
    fail(breaker, 1, error)
    assert state_of(breaker) == "open"
    with pytest.raises(CircuitOpenError) as raised:
        call(breaker)
    assert raised.value.retry_after_seconds == 5


@pytest.mark.parametrize(
    "error",
    [WarmingUpError, CredentialsRefusedError, QuotaExhaustedError, RequestRefusedError],
)
def test_what_leaving_it_alone_would_not_mend_does_not_count(
    error: type[ClassifierError], breaker: CircuitBreaker
) -> None:
    fail(breaker, 50, error)
    assert state_of(breaker) == "closed"


def test_our_own_mistakes_count(breaker: CircuitBreaker) -> None:
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            call(breaker, ZeroDivisionError())
    assert state_of(breaker) == "open"


def test_half_of_the_calls_is_the_limit(breaker: CircuitBreaker) -> None:
    for _ in range(11):
        call(breaker)
    fail(breaker, 10)
    assert state_of(breaker) == "closed"
    fail(breaker, 1)
    assert state_of(breaker) == "open"


def test_what_is_long_ago_is_forgotten(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 9)
    clock.now += 11
    fail(breaker, 9)
    assert state_of(breaker) == "closed"


def test_slow_calls_open_it(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(2):
        call(breaker)
    for _ in range(8):
        assert state_of(breaker) == "closed"
        call(breaker, clock=clock, takes=2)
        clock.now -= 1.9
    assert state_of(breaker) == "open"


def test_one_call_is_on_trial_and_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 10)
    clock.now += 5
    with breaker.guard():
        assert state_of(breaker) == "half_open"
        with pytest.raises(CircuitOpenError):
            call(breaker)
    assert state_of(breaker) == "closed"
    fail(breaker, 9)
    assert state_of(breaker) == "closed", "what was before the trial is forgotten"


@pytest.mark.parametrize("error", [ClassifierUnavailableError(), ZeroDivisionError()])
def test_a_failed_trial_opens_it_again(error: Exception, breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 10)
    clock.now += 5
    with pytest.raises(type(error)):
        call(breaker, error)
    assert state_of(breaker) == "open"
    clock.now += 4.9
    with pytest.raises(CircuitOpenError):
        call(breaker)
    clock.now += 0.2
    call(breaker)
    assert state_of(breaker) == "closed"


def test_a_trial_that_finds_the_model_warming_up_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 10)
    clock.now += 5
    with pytest.raises(WarmingUpError):
        call(breaker, WarmingUpError())
    assert state_of(breaker) == "closed"


def test_calls_that_began_before_it_opened_change_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    with breaker.guard():
        fail(breaker, 10)
    assert state_of(breaker) == "open"


def test_of_many_threads_one_is_on_trial(clock: Clock) -> None:
    breaker = CircuitBreaker(replace(SETTINGS, min_calls=1), clock=clock)
    fail(breaker, 1)
    clock.now += 5
    gate, together = threading.Event(), threading.Barrier(20)
    outcomes: list[str] = []

    def attempt() -> None:
        together.wait(10)
        try:
            with breaker.guard():
                gate.wait(10)
            outcomes.append("through")
        except CircuitOpenError:
            outcomes.append("refused")
            if outcomes.count("refused") == 19:
                gate.set()

    threads = [threading.Thread(target=attempt) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["refused"] * 19 + ["through"]


def test_the_window_rolls() -> None:
    clock = Clock()
    window = RollingWindow(10, clock=clock)
    for _ in range(30):
        window.add("a", "b")
        clock.now += 0.5
    assert 18 <= window.total()["a"] <= 20
    clock.now += 20
    assert not window.total()
