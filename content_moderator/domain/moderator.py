"""Moderates texts: screen, classify, judge."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, Classifier, Outcome, raise_copy
from content_moderator.domain.errors import ClassifierError, LanguageNotJudgedError
from content_moderator.domain.explanation import Contribution, Explainer, Explanation
from content_moderator.domain.label import Label
from content_moderator.domain.policy import Policy
from content_moderator.domain.verdict import ANY, Span, Verdict
from content_moderator.text.alignment import origins_of_clean
from content_moderator.text.cleaning import clean
from content_moderator.text.language import SHORT
from content_moderator.text.sentence import sentences
from content_moderator.text.terms import ScreenedText

MAX_SPANS: Final = 100
"""The largest number of spans: a text of many sentences must not cause as many calls to a remote model."""

NOTHING: Final = dict.fromkeys(Label, 0.0) | {Label.OK: 1.0}
"""The scores of a text without visible characters."""

ANYTIME: Final = CallContext()
"""The context of a call without a deadline or a caller."""

Judgement = Verdict | ClassifierError
"""The result for one text: a verdict or an error."""


@dataclass(frozen=True, slots=True)
class Moderator:
    """
    Decides about texts: screen, classify, judge.

    Args:
        classifier: Scores the texts.
        policy: Turns scores into decisions; it has rules for each classifier that can answer.
        explainer: Explains scores that it gave itself; None if no classifier can.
    """

    classifier: Classifier
    policy: Policy
    explainer: Explainer | None = None

    def moderate(self, texts: Sequence[str], context: CallContext = ANYTIME) -> list[Verdict]:
        """
        Judge each text.

        Args:
            texts: Validated texts.
            context: The call's deadline, and how the cache takes part.
        Returns:
            One Verdict per text, in the same order.
        Raises:
            ClassifierError: A text could not be scored; there is no partial answer.
        """
        return all_verdicts(self.judge([self.screen(text) for text in texts], context))

    def moderate_each(self, texts: Sequence[str], context: CallContext = ANYTIME) -> list[Judgement]:
        """
        Judge each text; a text that cannot be scored gets an error.

        Args:
            texts: Validated texts.
            context: The call's deadline, and how the cache takes part.
        Returns:
            A Verdict or an error for each text, in the same order.
        Raises:
            ClassifierError: The call failed as a whole.
        """
        found = self.judge([self.screen(text) for text in texts], context)
        errors = [each for each in found if isinstance(each, ClassifierError)]
        if errors and len(errors) == len(found) and not errors[0].about_the_text:
            raise_copy(errors[0])
        return found

    def moderate_by_sentence(self, text: str, context: CallContext = ANYTIME) -> tuple[Verdict, list[Span]]:
        """
        Judge a text and each of its sentences, in one call of the classifier.

        Args:
            text: A validated text.
            context: The call's deadline, and how the cache takes part.
        Returns:
            The Verdict, and a Span for each sentence. Neighbours are joined if there are more than
            ``MAX_SPANS``.
        Raises:
            ClassifierError: See `moderate`.
        """
        cleaned, origins = clean(text), origins_of_clean(text)
        found = sentences(cleaned)
        size = math.ceil(len(found) / MAX_SPANS)
        runs = [found[start : start + size] for start in range(0, len(found), size)] if size else []
        places = [(run[0][0], run[-1][1]) for run in runs]
        parts = [cleaned, *(cleaned[begin:end] for begin, end in places)]
        whole, *verdicts = all_verdicts(self.judge([self._screen(part) for part in parts], context))
        return whole, [
            Span(origins[begin], origins[end], verdict)
            for (begin, end), verdict in zip(places, verdicts, strict=True)
        ]

    def screen(self, text: str) -> ScreenedText:
        """Clean a text and find its listed terms."""
        return self._screen(clean(text))

    def judge(self, texts: Sequence[ScreenedText], context: CallContext) -> list[Judgement]:
        """
        Judge screened texts.

        Returns:
            A Verdict or an error for each text, in the same order.
        """
        shown = [screened.text for screened in texts if screened.text]
        outcomes = iter(self.classifier.classify(shown, context) if shown else ())
        # A text without visible characters is harmless, and no classifier is asked.
        empty = Classification(NOTHING, self.classifier.identity, language=SHORT)
        return [self._judged(next(outcomes) if screened.text else empty, screened) for screened in texts]

    def explain(self, text: str, verdict: Verdict) -> list[Explanation] | None:
        """
        Explain the scores that led to *verdict*, word by word.

        Args:
            text: The text that was judged.
            verdict: The verdict about it.
        Returns:
            An Explanation for each score among the reasons, or for any violation if there is none; None if
            the classifier that answered cannot explain its scores.
        """
        if self.explainer is None or self.explainer.identity != verdict.classification.classifier:
            return None
        shown = self.policy.terms.screen(clean(text)).text
        outer, inner = origins_of_clean(text), origins_of_clean(shown)
        origins = [outer[place] for place in inner]
        labels = [reason.label for reason in verdict.reasons if reason.rule == "score"] or [ANY]
        return [
            replace(explanation, words=tuple(_moved(word, origins) for word in explanation.words))
            for explanation in self.explainer.explain(clean(shown), labels)
        ]

    def _screen(self, cleaned: str) -> ScreenedText:
        screened = self.policy.terms.screen(cleaned)
        return replace(screened, text=clean(screened.text)) if screened.masked else screened

    def _judged(self, outcome: Outcome, screened: ScreenedText) -> Judgement:
        if isinstance(outcome, ClassifierError):
            return outcome
        verdict = self.policy.judge(outcome, screened)
        return LanguageNotJudgedError() if self.policy.refuses(verdict) else verdict


def all_verdicts(judgements: Sequence[Judgement]) -> list[Verdict]:
    """
    Return the verdicts if every text has one.

    Raises:
        ClassifierError: The error of the first text without a verdict.
    """
    verdicts: list[Verdict] = []
    for each in judgements:
        if isinstance(each, ClassifierError):
            raise_copy(each)
        verdicts.append(each)
    return verdicts


def _moved(word: Contribution, origins: Sequence[int]) -> Contribution:
    """Return a contribution with its position in the text as sent."""
    return replace(word, begin=origins[word.begin], end=origins[word.end])
