"""Finds listed words with stretched letters."""

import itertools
from collections.abc import Iterable
from typing import Final

MANY: Final = 3
"""A letter that is repeated this often was stretched: no English word has three of the same in a row."""


class StretchedWordMatcher:
    """
    Finds listed words in their plain form and with stretched letters.

    Args:
        words: Normalized, as `normalise` returns them.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(words)
        self._by_shape: dict[str, list[str]] = {}
        for word in sorted(self._words, key=len, reverse=True):
            self._by_shape.setdefault(_shape(word), []).append(word)

    def __contains__(self, word: object) -> bool:
        """Return whether *word* is listed in exactly this form."""
        return word in self._words

    def unstretched(self, word: str) -> str | None:
        """
        Return the longest listed word that *word* is a stretched form of; None if there is none.

        "freeee" is a form of "free". "frreeee" is not: a letter that is written twice was not stretched.
        """
        runs = _runs(word)
        for each in self._by_shape.get(_shape(word), ()):
            if all(shown in {MANY, meant} for shown, meant in zip(runs, _runs(each), strict=True)):
                return each
        return None


def _shape(word: str) -> str:
    return "".join(letter for letter, _ in itertools.groupby(word))


def _runs(word: str) -> list[int]:
    """Return the length of each run of equal letters, ``MANY`` at most."""
    return [min(MANY, sum(1 for _ in run)) for _, run in itertools.groupby(word)]
