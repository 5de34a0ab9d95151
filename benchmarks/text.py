"""Generates texts for benchmarks: words of an invented language with the frequencies of a real one."""

import itertools
import random
from collections.abc import Iterator

SYLLABLES = (
    "ba",
    "to",
    "re",
    "mi",
    "con",
    "ter",
    "al",
    "in",
    "es",
    "the",
    "or",
    "an",
    "ing",
    "ly",
    "su",
    "per",
)
WORDS = 8000


class Writer:
    """
    Generates texts.

    Args:
        seed: The same seed gives the same texts.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        # Zipf's law: the n-th most frequent word is n times rarer than the first.
        self._words = [self._word() for _ in range(WORDS)]
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, WORDS + 1)))

    def _word(self) -> str:
        return "".join(self._random.choices(SYLLABLES, k=self._random.randint(1, 4)))

    def text(self, shortest: int = 20, longest: int = 400) -> str:
        """Return a text with a random number of characters."""
        chars = self._random.randint(shortest, longest)
        words, size = list[str](), 0
        while size < chars:
            words += self._random.choices(self._words, cum_weights=self._weights, k=1 + chars // 16)
            size = sum(map(len, words)) + len(words)
        return " ".join(words)[:chars].strip().ljust(shortest, "a")

    def texts(self, count: int) -> Iterator[str]:
        """Return several texts."""
        return (self.text() for _ in range(count))

    def edited(self, text: str, edits: int) -> str:
        """Return a text with some characters replaced, inserted or deleted."""
        letters = list(text)
        for _ in range(edits):
            place = self._random.randrange(len(letters))
            kind = self._random.randrange(3)
            if kind == 0:
                letters[place] = self._random.choice("abcdefghij")
            elif kind == 1:
                letters.insert(place, self._random.choice("abcdefghij"))
            else:
                del letters[place]
        return "".join(letters)

    def choose(self, texts: list[str], count: int) -> list[str]:
        """Return a random sample."""
        return self._random.choices(texts, k=count)

    def number(self, low: int, high: int) -> int:
        """Return a number from *low* to *high*."""
        return self._random.randint(low, high)
