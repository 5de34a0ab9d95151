"""
Decides whether the answer about one text may be used for a near copy of it.

A few characters can turn a text into its opposite: "I will kiss you" is two edits from "I will kill you". So
the guard does not search for harmful edits. It allows a few kinds of edit that do not change the meaning
(punctuation, numbers, typing errors, greetings), refuses all others, and then compares the scores of the
embedded model for both texts. docs/cache.md has the rules and the measurements. The result for two texts is
always the same.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, Protocol, get_args

from content_moderator.cache.near_copies.changes import Change, changes, is_sign, tokens_of
from content_moderator.cache.near_copies.numbers import numbers_alike, numbers_in
from content_moderator.cache.near_copies.typos import HARMFUL, Hazards, is_slip, is_spelling
from content_moderator.config.settings import SimilarCacheSettings
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classifier, succeeded
from content_moderator.domain.label import Label
from content_moderator.observability import metrics
from content_moderator.text.dictionary import mostly_words

Refusal = Literal[
    "language",
    "negation",
    "punctuation",
    "case",
    "farewell",
    "weighed",
    "words",
    "numbers",
    "scores",
    "doubt",
]
REFUSALS: Final = get_args(Refusal)

DOUBTFUL: Final = 0.6
"""From this probability of any violation on, a text counts as doubtful."""

_WORD: Final = re.compile(r"[\w']+")
_NOT_PUNCTUATION: Final = re.compile(r"[^.,;:!?]+")

_CHEERFUL: Final = frozenset({"thanks", "thank", "thx", "ty", "cheers"})

_TELLING: Final = HARMFUL | {"gender", "group", "oppose"}
"""Classes of the embedded model's lexicon whose words decide what a text says about people."""


class SimilarityScorer(Classifier, Protocol):
    """The part of the embedded classifier that the guard uses."""

    @property
    def lexicon(self) -> Mapping[str, str]:
        """Return the words that have a class, and their classes."""
        ...


class Guard:
    """
    Compares a text with a cached one.

    Args:
        judge: The embedded classifier.
        lexicon: The words of the classifier and their classes.
        settings: The largest difference of scores, and whether numbers may change.
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
        Return the reason why the answer about *remembered* cannot be used for *text*, and count it; None if
        it can.

        Args:
            text: The folded text of the request.
            remembered: The folded text of the stored answer.
            answer: The scores of the stored answer.
        """
        refused = self._refusal(text, remembered, answer)
        if refused:
            metrics.GUARD_REFUSALS.labels(refused).inc()
        return refused

    def _refusal(self, text: str, remembered: str, answer: Mapping[Label, float]) -> Refusal | None:
        if text == remembered:
            return None
        new, old = tokens_of(text), tokens_of(remembered)
        if not (mostly_words(old) and mostly_words(new)):
            return "language"
        if self._negations(text) != self._negations(remembered):
            return "negation"
        idle = 0
        for change in changes(old, new):
            if change.is_idle and not change.is_greeting:
                idle += 1
            elif refused := self._refusal_of(change, old):
                return refused
        if idle > 1:
            # Two changes together can move a clause to another sentence: "because", "when".
            return "punctuation"
        return self._refusal_by_scores(text, remembered, answer)

    def _negations(self, text: str) -> list[tuple[str, ...]]:
        """
        List the negations of a text, with the punctuation around each.

        "Don't! Stop hitting him" and "Don't stop hitting him" have the same words.
        """
        # The pieces between the words: one more than there are words.
        words, between = _WORD.findall(text), _WORD.split(text)
        between[0] = between[-1] = ""
        return [
            (_NOT_PUNCTUATION.sub("", before), bare, _NOT_PUNCTUATION.sub("", behind))
            for word, before, behind in zip(words, between, between[1:], strict=False)
            if self._lexicon.get(bare := word.replace("'", "").lower()) == "negator"
        ]

    def _refusal_of(self, change: Change, old: list[str]) -> Refusal | None:
        """Return the reason why one change is not allowed; None if it is. No model is used."""
        if change.is_farewell:
            return "farewell"
        if change.is_greeting and not _CHEERFUL.isdisjoint((*change.removed, *change.added)):
            # Thanks added to a text about violence can change its meaning.
            grave = any(self._lexicon.get(token.lower()) == "violence" for token in old)
            return "farewell" if grave else None
        if change.is_greeting or change.is_apostrophe:
            return None
        by_form = _refusal_by_form(change) or self._refusal_by_class(change)
        return by_form or self._refusal_by_pairs(change, old)

    def _refusal_by_class(self, change: Change) -> Refusal | None:
        kinds = {self._lexicon.get(word.replace("'", "")) for word in change.words}
        kinds |= {self._lexicon.get(word) for word in change.words}
        if "negator" in kinds:
            return "negation"
        return "weighed" if kinds & _TELLING else None

    def _refusal_by_pairs(self, change: Change, old: list[str]) -> Refusal | None:
        if len(change.removed) != len(change.added):
            return "words"
        pairs = enumerate(zip(change.removed, change.added, strict=True), change.place)
        refusals = (self._refusal_of_pair(before, after, old, place) for place, (before, after) in pairs)
        return next(filter(None, refusals), None)

    def _refusal_of_pair(self, before: str, after: str, old: list[str], place: int) -> Refusal | None:
        before, after = before.lower(), after.lower()
        numbers = numbers_in(before, after)
        if numbers and not any(map(self._hazards.spelled_by, (before, after))):
            alike = numbers_alike(*numbers, old, place) and not self._settings.guard_digits
            return None if alike else "numbers"
        if is_spelling(before, after) and before not in self._hazards and after not in self._hazards:
            return None
        return None if is_slip(before, after, self._hazards) else "words"

    def _refusal_by_scores(self, text: str, remembered: str, answer: Mapping[Label, float]) -> Refusal | None:
        new, old = succeeded(self._judge.classify([text, remembered], CallContext()))
        if any(abs(new.scores[label] - old.scores[label]) > self._settings.guard_delta for label in Label):
            return "scores"
        if new.unsafe >= DOUBTFUL > 1 - answer[Label.OK]:
            return "doubt"
        return None


def _refusal_by_form(change: Change) -> Refusal | None:
    if change.has_signs:
        return "punctuation" if all(map(is_sign, (*change.removed, *change.added))) else "words"
    return "case" if change.is_case else None
