"""
CPU time of listed terms: `Terms.screen`, compared with one regular expression of the same terms.

    python -m benchmarks.terms
"""

import random
import re
import statistics
import time
from collections.abc import Callable

from benchmarks.text import Writer
from content_moderator.domain.action import Action
from content_moderator.text.normalization import normalise
from content_moderator.text.terms import Terms

TEXTS = 200
ROUNDS = 5
LETTERS = "bcdfghjklmnpqrstvwxz"


def main() -> None:
    """Print the microseconds for each text, and the share of normalization."""
    generator = random.Random(7)
    texts = list(Writer(7).texts(TEXTS))
    print(f"{sum(map(len, texts)) / TEXTS:.0f} characters a text; microseconds a text, median of {ROUNDS}")
    print(f"undoing disguises alone: {_each(normalise, texts):.0f}")
    for number in (10, 1_000, 10_000):
        words = ["".join(generator.choices(LETTERS, k=9)) for _ in range(number)]
        terms = Terms({Action.BLOCK: words})
        ours = _each(terms.screen, texts)
        peer = _each(_Search(re.compile(rf"\b(?:{'|'.join(words)})\b")), texts)
        print(f"{number:6} terms: {ours:.0f}, as a regular expression {peer:.0f} ({peer / ours:.1f} times)")


class _Search:
    def __init__(self, expression: re.Pattern[str]) -> None:
        self._expression = expression

    def __call__(self, text: str) -> object:
        return self._expression.search(normalise(text))


def _each(work: Callable[[str], object], texts: list[str]) -> float:
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for text in texts:
            work(text)
        rounds.append((time.perf_counter() - started) / len(texts) * 1e6)
    return statistics.median(rounds)


if __name__ == "__main__":
    main()
