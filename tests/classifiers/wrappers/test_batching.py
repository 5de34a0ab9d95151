"""Waiting texts share calls, and no text is affected by another."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from content_moderator.classifiers.wrappers import batching
from content_moderator.classifiers.wrappers.batching import Batching
from content_moderator.config.settings import BatchingSettings
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, Outcome
from content_moderator.domain.errors import (
    BadReplyError,
    ClassifierError,
    ClassifierUnavailableError,
    DeadlineExceededError,
    OverloadedError,
    RequestRefusedError,
)
from content_moderator.domain.label import Label
from tests.support.fake import HARMLESS, IDENTITY, scored, within
from tests.support.fault_server import wait_until


class Gated:
    """Keeps each call until it is released; answers each text by its own score."""

    def __init__(self) -> None:
        self.identity = IDENTITY
        self.batches: list[list[str]] = []
        self.seconds: list[float] = []
        self.gate = threading.Semaphore(0)
        self.most_at_once = 0
        self.react: Callable[[Sequence[str]], None] = lambda texts: None
        self._at_once = 0
        self._lock = threading.Lock()

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Wait for the gate, then answer or fail as a whole."""
        seconds = context.deadline.remaining
        with self._lock:
            self.batches.append(list(texts))
            self.seconds.append(seconds)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if not self.gate.acquire(timeout=max(min(seconds, 20), 0)):
                return [DeadlineExceededError()] * len(texts)
            self.react(texts)
        except ClassifierError as error:
            return [error] * len(texts)
        finally:
            with self._lock:
                self._at_once -= 1
        return [Classification(HARMLESS | {Label.V: score_of(text)}, IDENTITY) for text in texts]

    def open(self, calls: int = 1000) -> None:
        """Let so many calls through."""
        self.gate.release(calls)


def score_of(text: str) -> float:
    return (sum(text.encode()) % 97) / 100


@pytest.fixture
def inner() -> Iterator[Gated]:
    gated = Gated()
    yield gated
    gated.open()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(200) as threads:
        yield threads


def build(
    inner: Gated,
    *,
    in_flight: int = 1,
    batch: int = 32,
    waiting: int = 200,
) -> Batching:
    settings = BatchingSettings(max_in_flight=in_flight, max_batch=batch, max_waiting=waiting)
    return Batching(inner, settings=settings)


def ask(
    pool: ThreadPoolExecutor, classifier: Batching, *texts: str, seconds: float = 20.0
) -> "list[Future[list[Classification]]]":
    """Send each text from a thread of its own, and wait until all of them are known."""
    before = known(classifier)
    asked = [pool.submit(scored, classifier, [text], within(seconds)) for text in texts]
    wait_until(lambda: known(classifier) == before + len(texts) or any(each.done() for each in asked))
    return asked


def occupy(
    pool: ThreadPoolExecutor, classifier: Batching, inner: Gated
) -> "list[Future[list[Classification]]]":
    """Put a first call under way, so that what comes next waits."""
    asked = ask(pool, classifier, "first")
    wait_until(lambda: inner.batches == [["first"]])
    return asked


def known(classifier: Batching) -> int:
    return len(classifier._waiting) + classifier._texts_in_calls


def test_an_idle_classifier_is_asked_at_once(inner: Gated) -> None:
    inner.open()
    [answer] = scored(build(inner), ["a"])
    assert answer.scores[Label.V] == score_of("a")
    assert inner.batches == [["a"]]


def test_what_comes_while_a_call_is_under_way_leaves_together(inner: Gated, pool: ThreadPoolExecutor) -> None:
    classifier = build(inner, batch=3)
    asked = occupy(pool, classifier, inner)
    asked += [one for text in "abcde" for one in ask(pool, classifier, text)]
    assert inner.batches == [["first"]]
    inner.open()
    answers = [each.result(20)[0].scores[Label.V] for each in asked]
    assert answers == [score_of(text) for text in ("first", *"abcde")]
    assert inner.batches == [["first"], ["a", "b", "c"], ["d", "e"]]


def test_calls_at_once_are_limited(inner: Gated, pool: ThreadPoolExecutor) -> None:
    classifier = build(inner, in_flight=3)
    asked = []
    for calls, text in enumerate("abc", start=1):
        asked += ask(pool, classifier, text)
        wait_until(lambda calls=calls: len(inner.batches) == calls)
    asked += ask(pool, classifier, *"defgh")
    inner.open()
    for each in asked:
        each.result(20)
    assert inner.most_at_once == 3
    assert [len(batch) for batch in inner.batches[:3]] == [1, 1, 1]
    assert sum(map(len, inner.batches)) == 8


def test_under_load_texts_gather_for_a_call(
    inner: Gated, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first few are sent alone; then a call has a fourth of all texts in progress."""
    monkeypatch.setattr(batching, "MAX_GATHER_SECONDS", 60.0)
    classifier = build(inner, in_flight=32)
    asked = ask(pool, classifier, *(f"text {n}" for n in range(28)))
    wait_until(lambda: len(inner.batches) == 12)
    assert sorted(map(len, inner.batches)) == [*[1] * 8, 2, 3, 4, 5]
    inner.open()
    for each in asked:
        each.result(20)
    assert sum(map(len, inner.batches)) == 28


def test_texts_do_not_gather_for_long(inner: Gated, pool: ThreadPoolExecutor) -> None:
    """A call that hangs does not delay others while further calls are possible."""
    classifier = build(inner, in_flight=32)
    asked = ask(pool, classifier, *(f"text {n}" for n in range(9)))
    wait_until(lambda: len(inner.batches) == 9)
    inner.open()
    for each in asked:
        each.result(20)


def test_answers_are_not_kept(inner: Gated) -> None:
    inner.open()
    classifier = build(inner)
    scored(classifier, ["a"])
    scored(classifier, ["a"])
    assert inner.batches == [["a"], ["a"]]
    assert known(classifier) == 0


def test_too_many_waiting_texts_are_refused_at_once(inner: Gated, pool: ThreadPoolExecutor) -> None:
    classifier = build(inner, waiting=5)
    asked = ask(pool, classifier, *"abcde")
    started = time.monotonic()
    with pytest.raises(OverloadedError) as raised:
        scored(classifier, ["f"])
    assert time.monotonic() - started < 5
    assert raised.value.retry_after_seconds == 1
    inner.open()
    for each in asked:
        each.result(20)
    assert len(scored(classifier, ["f"])) == 1


def test_request_that_has_begun_waits_for_room(inner: Gated, pool: ThreadPoolExecutor) -> None:
    """A request of many texts is admitted in slices: its size never makes it fail."""
    classifier = build(inner, waiting=4)
    whole = pool.submit(scored, classifier, list("abcdefgh"), within(20))
    inner.open()
    assert [each.scores[Label.V] for each in whole.result(20)] == list(map(score_of, "abcdefgh"))
    assert max(map(len, inner.batches)) <= 2


def test_slice_that_finds_no_room_in_time_is_too_late(inner: Gated, pool: ThreadPoolExecutor) -> None:
    classifier = build(inner, waiting=2)
    inner.open(1)
    ask(pool, classifier, "a")
    wait_until(lambda: known(classifier) == 0)
    whole = pool.submit(classifier.classify, list("abcd"), within(0.3))
    outcomes = whole.result(20)
    assert [type(each) for each in outcomes] == [DeadlineExceededError] * 4


def test_who_gives_up_takes_nothing_from_the_others(inner: Gated, pool: ThreadPoolExecutor) -> None:
    classifier = build(inner)
    asked = occupy(pool, classifier, inner) + ask(pool, classifier, "a", "b", seconds=0.5)
    for each in asked[1:]:
        with pytest.raises(DeadlineExceededError):
            each.result(20)
    patient = ask(pool, classifier, "c")
    inner.open()
    assert patient[0].result(20)[0].scores[Label.V] == score_of("c")
    assert asked[0].result(20)
    sent = [text for batch in inner.batches for text in batch]
    assert sent == ["first", "c"], "what nobody waited for any more was not sent"


def test_each_caller_has_a_deadline_of_its_own(inner: Gated, pool: ThreadPoolExecutor) -> None:
    """The shared call has the later deadline, and the other caller does not wait for it."""
    classifier = build(inner)
    first = occupy(pool, classifier, inner)
    early = ask(pool, classifier, "early", seconds=1.0)
    late = ask(pool, classifier, "late", seconds=20.0)
    inner.open(1)
    first[0].result(20)
    wait_until(lambda: inner.batches[1:] == [["early", "late"]])
    assert inner.seconds[1] == pytest.approx(20, abs=2)
    with pytest.raises(DeadlineExceededError):
        early[0].result(20)
    inner.open()
    assert late[0].result(20)


def test_texts_of_one_request_leave_in_several_calls_at_once(inner: Gated, pool: ThreadPoolExecutor) -> None:
    """A caller's own thread sends one of them, the pool the others."""
    classifier = build(inner, in_flight=16, batch=2)
    whole = pool.submit(scored, classifier, [f"text {n}" for n in range(8)], within(20))
    wait_until(lambda: len(inner.batches) == 4)
    inner.open()
    assert [each.scores[Label.V] for each in whole.result(20)] == [score_of(f"text {n}") for n in range(8)]


@pytest.mark.parametrize("error", [RequestRefusedError, BadReplyError])
def test_bad_texts_fail_alone(error: type[ClassifierError], inner: Gated, pool: ThreadPoolExecutor) -> None:
    bad = {"text 3", "text 11"}

    def react(texts: Sequence[str]) -> None:
        if bad & set(texts):
            raise error

    inner.react = react
    classifier = build(inner)
    asked = occupy(pool, classifier, inner) + ask(pool, classifier, *(f"text {n}" for n in range(20)))
    inner.open()
    for number, each in enumerate(asked[1:]):
        if f"text {number}" in bad:
            with pytest.raises(error):
                each.result(20)
        else:
            assert each.result(20)[0].scores[Label.V] == score_of(f"text {number}")
    assert len(inner.batches) < 25, "halving, not asking for each"
    inner.open()
    assert len(scored(classifier, ["next"])) == 1


def test_a_classifier_that_takes_no_lists_gets_single_texts(inner: Gated, pool: ThreadPoolExecutor) -> None:
    def react(texts: Sequence[str]) -> None:
        if len(texts) > 1:
            raise BadReplyError

    inner.react = react
    classifier = build(inner)
    asked = occupy(pool, classifier, inner) + ask(pool, classifier, *"abcd")
    inner.open()
    for each in asked:
        each.result(20)
    wait_until(lambda: known(classifier) == 0)
    assert [len(batch) for batch in inner.batches] == [1, 4, 2, 1, 1, 2, 1, 1]
    inner.batches.clear()
    scored(classifier, [*"efgh"])
    assert [len(batch) for batch in inner.batches] == [1] * 4


def test_a_failing_call_fails_its_texts_each_with_an_exception_of_its_own(
    inner: Gated, pool: ThreadPoolExecutor
) -> None:
    def react(texts: Sequence[str]) -> None:
        if "first" not in texts:
            raise ClassifierUnavailableError("broken", retry_after_seconds=7) from OSError("pipe")

    inner.react = react
    classifier = build(inner)
    asked = occupy(pool, classifier, inner) + ask(pool, classifier, "a", "b", "c")
    inner.open()
    errors = [each.exception(20) for each in asked[1:]]
    assert len({id(error) for error in errors}) == 3
    for error in errors:
        assert isinstance(error, ClassifierUnavailableError)
        assert (str(error), error.retry_after_seconds, error.told_seconds) == ("broken", 7, 7)
        assert isinstance(error.__cause__, OSError)
    assert len(inner.batches) == 2, "no halving where the fault is not a text's"


def test_a_mistake_of_ours_hangs_nobody(inner: Gated, pool: ThreadPoolExecutor) -> None:
    def react(texts: Sequence[str]) -> None:
        if "a" in texts:
            raise ZeroDivisionError

    inner.react = react
    classifier = build(inner)
    asked = occupy(pool, classifier, inner) + ask(pool, classifier, "a", "b")
    inner.open()
    assert isinstance(asked[1].exception(20), ZeroDivisionError)
    assert isinstance(asked[2].exception(20), ZeroDivisionError)
    assert len(scored(classifier, ["c"])) == 1


def test_under_a_mixed_load_every_text_gets_its_own_answer(pool: ThreadPoolExecutor) -> None:
    inner = Gated()
    inner.open(100_000)
    generator = random.Random(7)

    def react(texts: Sequence[str]) -> None:
        time.sleep(generator.random() * 0.002)
        if any("poison" in text for text in texts):
            raise RequestRefusedError

    inner.react = react
    classifier = build(inner, in_flight=4, batch=8)

    def one(number: int) -> None:
        text = f"poison {number}" if number % 17 == 0 else f"text {number % 40}"
        if "poison" in text:
            with pytest.raises(RequestRefusedError):
                scored(classifier, [text])
        else:
            assert scored(classifier, [text])[0].scores[Label.V] == score_of(text)

    for each in [pool.submit(one, number) for number in range(1500)]:
        each.result(60)
    assert known(classifier) == 0
    assert inner.most_at_once <= 4
    assert max(map(len, inner.batches)) <= 8
    assert sum(map(len, inner.batches)) < 3000
