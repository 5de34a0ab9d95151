"""Classifiers for tests, where a socket cannot show what matters."""

import time
from collections.abc import Callable, Mapping, Sequence

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import (
    Classification,
    Classifier,
    ClassifierIdentity,
    Outcome,
    succeeded,
)
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.errors import ClassifierError
from content_moderator.domain.label import Label

HARMLESS = dict.fromkeys(Label, 0.01) | {Label.OK: 0.98}
LANGUAGES = frozenset({"en", "de", "es", "fr", "ja", "ru", "und", "zh"})
IDENTITY = ClassifierIdentity("embedded", "fake", "1", LANGUAGES)


class FakeClassifier:
    """Answers every text with the same scores, or raises; keeps the texts it saw."""

    def __init__(self, scores: Mapping[Label, float] | None = None, error: Exception | None = None) -> None:
        self.identity = IDENTITY
        self.scores = HARMLESS | dict(scores or {})
        self.error = error
        self.seen: list[str] = []

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Answer, or fail each text; what is no answer is raised."""
        self.seen += texts
        if isinstance(self.error, ClassifierError):
            return [self.error] * len(texts)
        if self.error is not None:
            raise self.error
        return [Classification(self.scores, self.identity) for _ in texts]


def within(seconds: float, clock: Callable[[], float] = time.monotonic) -> CallContext:
    """Return the context of a call that has so many seconds."""
    return CallContext(Deadline.after(seconds, clock))


def scored(
    classifier: Classifier, texts: Sequence[str], context: CallContext | None = None
) -> list[Classification]:
    """
    Ask a classifier about texts that it is expected to score.

    Raises:
        ClassifierError: Of the first text that it cannot.
    """
    return succeeded(classifier.classify(texts, context or CallContext()))


class Clock:
    """Monotonic seconds that pass when told to; also sleeps, and keeps for how long."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.slept.append(seconds)
        self.now += seconds
