"""
Decides whether the answer about one text may serve for another that is nearly the same.

A few characters can turn a text into its opposite: "I will kiss you" is two edits from "I will kill you". So
the guard does not look for harm in an edit, it asks for proof of harmlessness: it knows the kinds of edit
that leave the meaning alone (punctuation, numbers, slips of the pen, greetings), refuses every other, and
then asks the embedded model whether the two texts score alike. docs/cache.md has the rules in words, and what
they were measured at. The same two texts always get the same answer.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, get_args

from content_moderator import metrics
from content_moderator.cache.dictionary import mostly_words
from content_moderator.cache.edit import Change, changes, tokens_of
from content_moderator.cache.number import numbers_alike, numbers_in
from content_moderator.cache.slip import HARMFUL, Hazards, is_slip
from content_moderator.core.classification import Classification, Classifier, succeeded
from content_moderator.core.label import HARMS, Label
from content_moderator.settings import SimilarCacheSettings

Refusal = Literal["negation", "weighed", "words", "numbers", "scores", "doubt"]
REFUSALS: Final = get_args(Refusal)

WEIGHED: Final = 0.35
"""Probability of any violation from which on a word by itself weighs; one never seen gets about 0.15."""

WEIGHED_FOR_A_LABEL: Final = 0.8
"""The same for a single label: about words by themselves these are less sure."""

DOUBTFUL: Final = 0.5
"""Probability of any violation from which on the embedded model's doubt about a text counts."""

_WORD: Final = re.compile(r"[\w']+")
_NOT_PUNCTUATION: Final = re.compile(r"[^.,;:!?]+")

_TELLING: Final = HARMFUL | {"gender", "group", "oppose"}
"""Classes of the embedded model's lexicon whose words carry what a text says about people."""


class Guard:
    """
    Compares a text with a remembered one.

    Args:
        judge: The embedded classifier.
        lexicon: Its words and their classes.
        settings: How far scores may move, and whether numbers may change.
    """

    def __init__(self, judge: Classifier, lexicon: Mapping[str, str], settings: SimilarCacheSettings) -> None:
        self._judge = judge
        self._lexicon = lexicon
        self._hazards = Hazards(lexicon)
        for reason in REFUSALS:
            metrics.GUARD_REFUSALS.labels(reason)
        self._settings = settings

    def refusal(self, text: str, remembered: str, answer: Mapping[Label, float]) -> Refusal | None:
        """
        Tell why the answer about *remembered* must not serve for *text*, and count that; None if it may.

        Args:
            text: Folded text that is to be answered.
            remembered: Folded text that was answered.
            answer: The scores of that answer.
        """
        refused = self._refusal(text, remembered, answer)
        if refused:
            metrics.GUARD_REFUSALS.labels(refused).inc()
        return refused

    def _refusal(self, text: str, remembered: str, answer: Mapping[Label, float]) -> Refusal | None:
        new, old = tokens_of(text), tokens_of(remembered)
        if self._negations(text) != self._negations(remembered):
            return "negation"
        words: list[str] = []
        for change in changes(old, new):
            if refused := self._refusal_of(change, old, new):
                return refused
            words += change.words_that_may_weigh
        return self._refusal_by_scores(text, remembered, words, answer)

    def _negations(self, text: str) -> list[tuple[str, ...]]:
        """
        List the negations of a text, with the punctuation around each.

        "Don't! Stop hitting him" and "Don't stop hitting him" have the same words.
        """
        # What is between the words: one piece more than there are words.
        words, between = _WORD.findall(text), _WORD.split(text)
        between[0] = between[-1] = ""
        return [
            (_NOT_PUNCTUATION.sub("", before), bare, _NOT_PUNCTUATION.sub("", behind))
            for word, before, behind in zip(words, between, between[1:], strict=False)
            if self._lexicon.get(bare := word.replace("'", "")) == "negator"
        ]

    def _refusal_of(self, change: Change, old: list[str], new: list[str]) -> Refusal | None:
        """Look at one change by itself, without a model."""
        if change.is_greeting or change.is_apostrophe:
            return None
        kinds = {self._lexicon.get(word.replace("'", "")) for word in change.words}
        kinds |= {self._lexicon.get(word) for word in change.words}
        if "negator" in kinds:
            return "negation"
        if kinds & _TELLING:
            return "weighed"
        if len(change.removed) != len(change.added):
            return "words"
        pairs = zip(change.removed, change.added, strict=True)
        refusals = (self._refusal_of_pair(before, after, old, new) for before, after in pairs)
        return next(filter(None, refusals), None)

    def _refusal_of_pair(self, before: str, after: str, old: list[str], new: list[str]) -> Refusal | None:
        numbers = numbers_in(before, after)
        if numbers and not any(map(self._hazards.spelled_by, (before, after))):
            alike = numbers_alike(*numbers, old, new) and not self._settings.guard_digits
            return None if alike else "numbers"
        slip = is_slip(before, after, self._hazards) and mostly_words(old)
        return None if slip else "words"

    def _refusal_by_scores(
        self, text: str, remembered: str, words: list[str], answer: Mapping[Label, float]
    ) -> Refusal | None:
        new, old, *rest = succeeded(self._judge.classify([text, remembered, *words]))
        if any(map(_weighs, rest)):
            return "weighed"
        if any(abs(new.scores[label] - old.scores[label]) > self._settings.guard_delta for label in Label):
            return "scores"
        if new.unsafe >= DOUBTFUL > 1 - answer[Label.OK]:
            return "doubt"
        return None


def _weighs(word: Classification) -> bool:
    return word.unsafe >= WEIGHED or max(word.scores[label] for label in HARMS) >= WEIGHED_FOR_A_LABEL
