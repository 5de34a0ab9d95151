"""Matches listed words whose letters are stretched."""

import itertools
from collections.abc import Iterable
from typing import Final

MANY: Final = 3
"""So many times the same letter are one that was stretched; words have two of the same."""


class StretchedWordMatcher:
    """
    Knows words.

    Args:
        words: As `normalise` makes them.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(words)
        self._by_shape: dict[str, list[str]] = {}
        for word in sorted(self._words, key=len, reverse=True):
            self._by_shape.setdefault(_shape(word), []).append(word)

    def __contains__(self, word: object) -> bool:
        """Return whether it is one of them, as it is."""
        return word in self._words

    def unstretched(self, word: str) -> str | None:
        """
        Find the longest of them that *word* may be with some letters stretched; None if it is none.

        "freeee" may be "free". "frreeee" may not: a letter that stands there twice was not stretched.
        """
        runs = _runs(word)
        for each in self._by_shape.get(_shape(word), ()):
            if all(shown in {MANY, meant} for shown, meant in zip(runs, _runs(each), strict=True)):
                return each
        return None


def _shape(word: str) -> str:
    return "".join(letter for letter, _ in itertools.groupby(word))


def _runs(word: str) -> list[int]:
    """Count how often each letter stands there in a row, ``MANY`` at most."""
    return [min(MANY, sum(1 for _ in run)) for _, run in itertools.groupby(word)]
