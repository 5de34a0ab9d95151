"""Concurrent requests for the same text share one call, and nothing else."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from content_moderator.classifiers.pipeline import build_pipeline
from content_moderator.classifiers.wrappers.single_flight import SingleFlight
from content_moderator.config.settings import Settings
from content_moderator.domain.call_context import CacheMode, CallContext
from content_moderator.domain.caller import Caller
from content_moderator.domain.classification import Outcome
from content_moderator.domain.errors import (
    ClassifierError,
    ClassifierUnavailableError,
    DeadlineExceededError,
    RequestRefusedError,
)
from content_moderator.observability import metrics
from tests.classifiers.wrappers.test_caching import COPY, TEXT, Oracle
from tests.support.fake import HARMLESS, Clock, scored, within
from tests.support.fault_server import wait_until


class Gated(Oracle):
    """Answers only when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.asked = threading.Event()

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        self.asked.set()
        assert self.opened.wait(20)
        return super().classify(texts, context)


def sharing(
    classifier: Oracle,
    clock: Callable[[], float] = time.monotonic,
    owner_of: Callable[[Caller | None], str] = lambda _: "",
) -> SingleFlight:
    return SingleFlight(classifier, owner_of=owner_of, deadline_seconds=8.0, clock=clock)


def shared() -> float:
    return metrics.CALLS_SAVED.labels("shared")._value.get()  # type: ignore[no-any-return]


def test_hundred_identical_texts_at_once_are_one_call() -> None:
    gate = Gated()
    asking = build_pipeline(Settings(), gate).classifier
    before = shared()
    with ThreadPoolExecutor(100) as threads:
        answers = [threads.submit(scored, asking, [TEXT]) for _ in range(100)]
        wait_until(lambda: shared() - before == 99)
        gate.opened.set()
        assert [each.result()[0].scores for each in answers] == [HARMLESS] * 100
    assert gate.seen == [TEXT]


def test_answer_is_stored_before_it_stops_being_shared() -> None:
    """A caller that arrives when the call has just ended finds the answer in the cache."""
    oracle = Oracle()
    asking = build_pipeline(Settings(), oracle).classifier
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            scored(asking, [TEXT])

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(ask)
        time.sleep(0.2)
        stop.set()
    assert oracle.seen == [TEXT]


def ask_twice(asking: SingleFlight, gate: Gated, first: list[str], between: Callable[[], None]) -> list[Any]:
    """Ask about *first*, and about its first text again while that call is under way."""
    before = shared()
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(scored, asking, first)]
        assert gate.asked.wait(5)
        between()
        answers.append(threads.submit(scored, asking, first[:1]))
        if between is nothing:
            wait_until(lambda: shared() > before)
        gate.opened.set()
        return [each.exception() or each.result() for each in answers]


def nothing() -> None:
    """Nothing happens."""


@pytest.mark.parametrize("error", [ClassifierUnavailableError("away"), RequestRefusedError("400")])
@pytest.mark.parametrize("texts", [[TEXT], [TEXT, COPY]], ids=["alone", "with another"])
def test_error_is_shared_as_an_answer_is(error: ClassifierError, texts: list[str]) -> None:
    gate = Gated()
    gate.error = error
    first, second = ask_twice(sharing(gate), gate, texts, nothing)
    assert isinstance(first, type(error))
    assert isinstance(second, type(error))
    assert first is not second
    assert gate.seen == texts


def test_mistake_of_ours_is_raised_in_every_caller() -> None:
    gate = Gated()
    gate.error = ZeroDivisionError()
    first, second = ask_twice(sharing(gate), gate, [TEXT], nothing)
    assert isinstance(first, ZeroDivisionError)
    assert isinstance(second, ZeroDivisionError)


def test_call_that_has_taken_long_is_not_joined() -> None:
    """Otherwise its failure would be that of a later caller that still has time."""
    gate, clock = Gated(), Clock()

    def later() -> None:
        clock.now += 4.1
        gate.opened.set()

    asking = sharing(gate, clock)
    ask_twice(asking, gate, [TEXT], later)
    assert gate.seen == [TEXT, TEXT]
    assert not asking._flights


def test_waiting_ends_with_the_deadline_of_the_caller() -> None:
    gate = Gated()
    asking = sharing(gate)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(scored, asking, [TEXT])
        assert gate.asked.wait(5)
        with pytest.raises(DeadlineExceededError):
            scored(asking, [TEXT], within(0.1))
        gate.opened.set()
        first.result()


def test_repeated_texts_of_one_call_are_asked_about_once() -> None:
    oracle = Oracle()
    assert len(scored(sharing(oracle), ["x", "y", "x"])) == 3
    assert oracle.seen == ["x", "y"]


ALICE, BOB = (Caller(name, name, frozenset()) for name in ("alice", "bob"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(CallContext(caller=ALICE), CallContext(caller=BOB), id="owners of separate caches"),
        pytest.param(CallContext(caller=ALICE), CallContext(), id="an owner and the others"),
        pytest.param(CallContext(), CallContext(cache_mode=CacheMode.REFRESH), id="one wants a fresh answer"),
        pytest.param(
            CallContext(), CallContext(cache_mode=CacheMode.BYPASS), id="one wants to leave no trace"
        ),
    ],
)
def test_callers_who_share_no_cache_share_no_call(first: CallContext, second: CallContext) -> None:
    """Otherwise the response time would reveal the requests of another tenant."""
    gate = Gated()
    asking = sharing(gate, owner_of=lambda caller: caller.tenant if caller else "")
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(scored, asking, [TEXT], each) for each in (first, second)]
        wait_until(lambda: len(asking._flights) == 2)
        gate.opened.set()
        for each in answers:
            each.result()
    assert gate.seen == [TEXT, TEXT]
