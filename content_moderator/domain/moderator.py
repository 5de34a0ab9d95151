"""The whole of moderation in one line: clean, classify, judge."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from content_moderator.domain.classification import Classification, Classifier, Outcome, raise_copy
from content_moderator.domain.deadline import NEVER, Deadline
from content_moderator.domain.errors import BadReplyError, ClassifierError, LanguageNotJudgedError
from content_moderator.domain.explanation import Contribution, Explainer, Explanation
from content_moderator.domain.label import Label
from content_moderator.domain.policy import ANY, Policy, Verdict
from content_moderator.text.alignment import origins_of_clean
from content_moderator.text.cleaning import clean
from content_moderator.text.language import SHORT
from content_moderator.text.sentence import sentences
from content_moderator.text.terms import Reading

MAX_SPANS: Final = 100
"""A text of very many sentences must not become as many calls to a remote model."""

NOTHING: Final = dict.fromkeys(Label, 0.0) | {Label.OK: 1.0}
"""The scores of a text that shows nothing: no classifier is asked about it."""


@dataclass(frozen=True, slots=True)
class Span:
    """A sentence, from begin to end in code points of the text, and its own verdict."""

    begin: int
    end: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Moderator:
    """
    Answers what should happen to texts.

    Args:
        classifier: Scores the texts.
        policy: Decides, by rules for each classifier that may answer: a stand-in is judged by its own.
        explainer: Takes scores apart, if it was the one that gave them.
        deadline_seconds: Within which each call has its answers; None leaves that to the classifier.
    """

    classifier: Classifier
    policy: Policy
    explainer: Explainer | None = None
    deadline_seconds: float | None = None

    def moderate(self, texts: Sequence[str]) -> list[Verdict]:
        """
        Judge each text.

        Args:
            texts: Validated texts.
        Returns:
            One Verdict per text, in the same order.
        Raises:
            ClassifierError: A text could not be scored; there is no partial answer.
        """
        return self._all([clean(text) for text in texts])

    def moderate_each(self, texts: Sequence[str]) -> list[Verdict | ClassifierError]:
        """
        Judge each text; one that cannot be scored fails alone.

        Args:
            texts: Validated texts.
        Returns:
            A Verdict per text, in the same order, or what stood in its way.
        Raises:
            ClassifierError: No text could be scored, and none is to blame.
        """
        found = self._each([clean(text) for text in texts])
        errors = [each for each in found if isinstance(each, ClassifierError)]
        if errors and len(errors) == len(found) and not errors[0].about_the_text:
            raise_copy(errors[0])
        return found

    def moderate_by_sentence(self, text: str) -> tuple[Verdict, list[Span]]:
        """
        Judge a text, and its sentences one by one, in one call of the classifier.

        Args:
            text: A validated text.
        Returns:
            The Verdict, and a Span for each sentence; of more than ``MAX_SPANS`` neighbours are joined.
        Raises:
            ClassifierError: See `moderate`.
        """
        cleaned, origins = clean(text), origins_of_clean(text)
        found = sentences(cleaned)
        size = math.ceil(len(found) / MAX_SPANS)
        runs = [found[start : start + size] for start in range(0, len(found), size)] if size else []
        places = [(run[0][0], run[-1][1]) for run in runs]
        whole, *verdicts = self._all([cleaned, *(cleaned[begin:end] for begin, end in places)])
        return whole, [
            Span(origins[begin], origins[end], verdict)
            for (begin, end), verdict in zip(places, verdicts, strict=True)
        ]

    def explain(self, text: str, verdict: Verdict) -> list[Explanation] | None:
        """
        Take the scores that led to *verdict* apart, word by word.

        Args:
            text: The text that was judged.
            verdict: Of that text.
        Returns:
            An Explanation for each score among the reasons, or for any violation if there is none; None if
            the classifier that answered cannot be taken apart.
        """
        if self.explainer is None or self.explainer.identity != verdict.classification.classifier:
            return None
        shown = self.policy.terms.read(clean(text)).text
        outer, inner = origins_of_clean(text), origins_of_clean(shown)
        origins = [outer[place] for place in inner]
        labels = [reason.label for reason in verdict.reasons if reason.rule == "score"] or [ANY]
        return [
            replace(explanation, words=tuple(_moved(word, origins) for word in explanation.words))
            for explanation in self.explainer.explain(clean(shown), labels)
        ]

    def read(self, text: str) -> Reading:
        """Read a text as the policy does: what the classifier is to see of it, and the terms in it."""
        return self._read(clean(text))

    def _read(self, cleaned: str) -> Reading:
        reading = self.policy.terms.read(cleaned)
        return replace(reading, text=clean(reading.text)) if reading.masked else reading

    def _all(self, cleaned: Sequence[str]) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for each in self._each(cleaned):
            if isinstance(each, ClassifierError):
                raise_copy(each)
            verdicts.append(each)
        return verdicts

    def _each(self, cleaned: Sequence[str]) -> list[Verdict | ClassifierError]:
        deadline = NEVER if self.deadline_seconds is None else Deadline.after(self.deadline_seconds)
        readings = [self._read(text) for text in cleaned]
        shown = [reading.text for reading in readings if reading.text]
        outcomes = self.classifier.classify(shown, deadline) if shown else []
        if len(outcomes) != len(shown):
            raise BadReplyError("the number of answers differs from the number of texts")
        each = iter(outcomes)
        nothing = Classification(NOTHING, self.classifier.identity, language=SHORT)
        return [self._judged(next(each) if reading.text else nothing, reading) for reading in readings]

    def _judged(self, outcome: Outcome, reading: Reading) -> Verdict | ClassifierError:
        if isinstance(outcome, ClassifierError):
            return outcome
        verdict = self.policy.judge(outcome, reading)
        return LanguageNotJudgedError() if self.policy.refuses(verdict) else verdict


def _moved(word: Contribution, origins: Sequence[int]) -> Contribution:
    """Give a word's place in the text as it was sent."""
    return replace(word, begin=origins[word.begin], end=origins[word.end])
