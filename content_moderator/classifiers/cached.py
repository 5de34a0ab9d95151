"""Answers what has been answered before: identical texts, and near copies that the guard lets pass."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from content_moderator import metrics
from content_moderator.cache.lookup import Lookup
from content_moderator.cache.memory import Memory
from content_moderator.classifiers.latch import Latch
from content_moderator.classifiers.sampled import Sampler
from content_moderator.core.classification import Classification, Classifier
from content_moderator.errors import (
    BadReplyError,
    ClassifierError,
    DeadlineExceededError,
    RequestRefusedError,
)

Mode = Literal["off", "fallback", "on"]


@dataclass(eq=False, slots=True)
class _Flight:
    """
    A question on its way, and what all who ask the same wait for.

    Args:
        since: When it was asked.
        alone: Whether no other text is asked about with it, and could be to blame for an error.
    """

    since: float
    alone: bool
    latch: Latch = field(default_factory=Latch)


class Cached:
    """
    A classifier that is asked only what it has not answered yet.

    Who asks about a text while another does waits for the same answer: of a hundred that come at once, one
    goes on to the classifier. The answer is remembered before it stops being shared, so that none slips
    through between.

    Args:
        classifier: Who is asked.
        memory: What was answered.
        mode: When a near copy may answer: never, when the classifier cannot, or always.
        deadline_seconds: Longest time of an answer.
        sampler: Checks answers of near copies.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        classifier: Classifier,
        memory: Memory,
        *,
        mode: Mode,
        deadline_seconds: float,
        sampler: Sampler | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._classifier = classifier
        self.identity = classifier.identity
        self._memory = memory
        self._mode = mode
        self._deadline_seconds = deadline_seconds
        self._sampler = sampler
        self._clock = clock
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight] = {}

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Score each text; see `Classifier.classify`."""
        found = {text: self._memory.recall(text) for text in texts}
        answers = {text: answer for text, answer in found.items() if answer is not None}
        if len(answers) < len(found):
            answers |= self._share([text for text, answer in found.items() if answer is None])
        return [answers[text] for text in texts]

    def _share(self, texts: Sequence[str]) -> dict[str, Classification]:
        found, own, others = self._join(texts)
        try:
            answers = self._find_out(list(own)) if own else {}
        except Exception as error:
            self._land(own, dict.fromkeys(own, error))
            raise
        self._land(own, answers)
        waited = {text: self._await(text, flight) for text, flight in others.items()}
        return found | answers | waited

    def _join(
        self, texts: Sequence[str]
    ) -> tuple[dict[str, Classification], dict[str, _Flight], dict[str, _Flight]]:
        """Divide texts into those answered meanwhile, those to ask about, and those that others ask about."""
        found, own, others = {}, {}, {}
        now = self._clock()
        with self._lock:
            for text in texts:
                flight = self._flights.get(text)
                if flight is not None and now - flight.since <= self._deadline_seconds / 2:
                    others[text] = flight
                elif (answer := self._memory.peek(text)) is not None:
                    found[text] = answer
                else:
                    own[text] = self._flights[text] = _Flight(now, alone=len(texts) == 1)
        if others:
            metrics.CALLS_SAVED.labels("shared").inc(len(others))
        return found, own, others

    def _land(
        self, flights: Mapping[str, _Flight], answers: Mapping[str, Classification | Exception]
    ) -> None:
        with self._lock:
            for text, flight in flights.items():
                if self._flights.get(text) is flight:
                    del self._flights[text]
        for text, flight in flights.items():
            flight.latch.finish(answers[text])

    def _await(self, text: str, flight: _Flight) -> Classification:
        try:
            answer = flight.latch.wait(self._deadline_seconds)
        except (BadReplyError, RequestRefusedError):
            if flight.alone:
                raise
            # Another text may be to blame. (No other error is worth the time of a second try.)
            return self._find_out([text])[text]
        if answer is None:
            raise DeadlineExceededError("no answer came in time")
        return answer

    def _find_out(self, texts: Sequence[str]) -> dict[str, Classification]:
        """Look further away, then ask; let nobody else wait in vain."""
        answers, leased = self._memory.recall_shared(texts)
        try:
            missing = [text for text in texts if text not in answers]
            if missing and self._mode == "on":
                answers |= self._similar(missing, sample=True)
                missing = [text for text in missing if text not in answers]
            if missing:
                fresh, remembered = self._ask(missing)
                answers |= fresh
                leased = [text for text in leased if text not in remembered]
        finally:
            self._memory.release(leased)
        return answers

    def _ask(self, texts: Sequence[str]) -> tuple[dict[str, Classification], set[str]]:
        """Ask the classifier; give the answers, and which were remembered."""
        try:
            answers = _answers_of(self._classifier, texts)
        except ClassifierError:
            answers = self._instead_of(texts)
            if len(answers) < len(texts):
                raise
        else:
            answers |= self._instead_of([text for text, answer in answers.items() if answer.degraded])
        return answers, self._memory.remember(answers.items())

    def _instead_of(self, texts: Sequence[str]) -> dict[str, Classification]:
        """Give what near copies can say about texts that the classifier itself could not answer."""
        return self._similar(texts, sample=False) if self._mode == "fallback" else {}

    def _similar(self, texts: Sequence[str], *, sample: bool) -> dict[str, Classification]:
        answers = {}
        for text in texts:
            if (answer := self._memory.recall_similar(text)) is not None:
                answers[text] = answer
                if sample and self._sampler is not None:
                    self._sampler.sample(text, answer)
        return answers


class Renewing:
    """
    The same, for callers who want a fresh answer: asks the classifier in any case, and remembers what it
    says.

    Args:
        classifier: Who is asked.
        memory: What was answered.
    """

    def __init__(self, classifier: Classifier, memory: Memory) -> None:
        self._classifier = classifier
        self.identity = classifier.identity
        self._memory = memory

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Score each text; see `Classifier.classify`."""
        for _ in texts:
            Lookup("exact").end("skipped")
        answers = _answers_of(self._classifier, texts)
        self._memory.remember(answers.items())
        return [answers[text] for text in texts]


def _answers_of(classifier: Classifier, texts: Sequence[str]) -> dict[str, Classification]:
    answers = classifier.classify(texts)
    if len(answers) != len(texts):
        raise BadReplyError("the number of answers differs from the number of texts")
    return dict(zip(texts, answers, strict=True))
