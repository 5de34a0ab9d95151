"""Answers what has been answered before: identical texts, and near copies that the guard lets pass."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from content_moderator.cache.answer_cache import Memory
from content_moderator.cache.lookup_metrics import Lookup
from content_moderator.classifiers.wrappers.latch import Latch
from content_moderator.classifiers.wrappers.near_copy_checker import Sampler
from content_moderator.domain.classification import Classification, Classifier, Outcome
from content_moderator.domain.deadline import NEVER, Deadline
from content_moderator.domain.errors import ClassifierError
from content_moderator.observability import metrics

Mode = Literal["off", "fallback", "on"]


@dataclass(eq=False, slots=True)
class _Flight:
    """
    A question on its way, and what all who ask the same wait for.

    Args:
        since: When it was asked.
    """

    since: float
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
        deadline_seconds: Longest time of an answer; a question under way is shared while half of it is left.
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

    def classify(self, texts: Sequence[str], deadline: Deadline = NEVER) -> list[Outcome]:
        """Score each text; see `Classifier.classify`."""
        if deadline is NEVER:
            deadline = Deadline.after(self._deadline_seconds, self._clock)
        found = {text: self._memory.recall(text) for text in texts}
        outcomes: dict[str, Outcome] = {text: answer for text, answer in found.items() if answer is not None}
        if len(outcomes) < len(found):
            outcomes |= self._share([text for text in found if text not in outcomes], deadline)
        return [outcomes[text] for text in texts]

    def _share(self, texts: Sequence[str], deadline: Deadline) -> dict[str, Outcome]:
        found, own, others = self._join(texts)
        try:
            outcomes = self._find_out(list(own), deadline) if own else {}
        except Exception as error:
            self._land(own, dict.fromkeys(own, error))
            raise
        self._land(own, outcomes)
        waited = {text: flight.latch.wait(deadline) for text, flight in others.items()}
        return found | outcomes | waited

    def _join(
        self, texts: Sequence[str]
    ) -> tuple[dict[str, Outcome], dict[str, _Flight], dict[str, _Flight]]:
        """Divide texts into those answered meanwhile, those to ask about, and those that others ask about."""
        found: dict[str, Outcome] = {}
        own: dict[str, _Flight] = {}
        others: dict[str, _Flight] = {}
        now = self._clock()
        with self._lock:
            for text in texts:
                flight = self._flights.get(text)
                if flight is not None and now - flight.since <= self._deadline_seconds / 2:
                    others[text] = flight
                elif (answer := self._memory.peek(text)) is not None:
                    found[text] = answer
                else:
                    own[text] = self._flights[text] = _Flight(now)
        if others:
            metrics.CALLS_SAVED.labels("shared").inc(len(others))
        return found, own, others

    def _land(self, flights: Mapping[str, _Flight], outcomes: Mapping[str, Outcome | Exception]) -> None:
        with self._lock:
            for text, flight in flights.items():
                if self._flights.get(text) is flight:
                    del self._flights[text]
        for text, flight in flights.items():
            flight.latch.finish(outcomes[text])

    def _find_out(self, texts: Sequence[str], deadline: Deadline) -> dict[str, Outcome]:
        """Look further away, then ask; let nobody else wait in vain."""
        answers, leased = self._memory.recall_shared(texts)
        outcomes: dict[str, Outcome] = dict(answers)
        try:
            missing = [text for text in texts if text not in outcomes]
            if missing and self._mode == "on":
                outcomes |= self._similar(missing, sample=True)
                missing = [text for text in missing if text not in outcomes]
            if missing:
                fresh, remembered = self._ask(missing, deadline)
                outcomes |= fresh
                leased = [text for text in leased if text not in remembered]
        finally:
            self._memory.release(leased)
        return outcomes

    def _ask(self, texts: Sequence[str], deadline: Deadline) -> tuple[dict[str, Outcome], set[str]]:
        """Ask the classifier; give what comes of it, and which answers were remembered."""
        outcomes = dict(zip(texts, self._classifier.classify(texts, deadline), strict=True))
        remembered = self._memory.remember(_answers(outcomes.items()))
        if self._mode == "fallback":
            outcomes |= self._similar([text for text in texts if not _is_own(outcomes[text])], sample=False)
        return outcomes, remembered

    def _similar(self, texts: Sequence[str], *, sample: bool) -> dict[str, Outcome]:
        """Give what near copies say about texts; where the classifier could not answer, that is degraded."""
        answers: dict[str, Outcome] = {}
        for text in texts:
            if (answer := self._memory.recall_similar(text)) is not None:
                answers[text] = answer if sample else replace(answer, degraded=True)
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

    def classify(self, texts: Sequence[str], deadline: Deadline = NEVER) -> list[Outcome]:
        """Score each text; see `Classifier.classify`."""
        for _ in texts:
            Lookup("exact").end("skipped")
        outcomes = self._classifier.classify(texts, deadline)
        self._memory.remember(_answers(zip(texts, outcomes, strict=True)))
        return outcomes


def _answers(outcomes: Iterable[tuple[str, Outcome]]) -> list[tuple[str, Classification]]:
    return [(text, outcome) for text, outcome in outcomes if isinstance(outcome, Classification)]


def _is_own(outcome: Outcome) -> bool:
    """Tell whether the classifier itself has answered."""
    return not isinstance(outcome, ClassifierError) and not outcome.degraded
