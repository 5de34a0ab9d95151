"""Finds the words in a run of letters that had been spaced out: "w i l l f i n d" is "will find"."""

import math
import struct
import zlib
from collections.abc import Container
from functools import cache
from importlib.resources import files
from typing import Final

MAX_LETTERS: Final = 15
"""Of the longest word that is looked for; makes the time linear in the letters."""

_LONE: Final = {"i": 3, "a": 3}
"""The words of one letter, and how frequent they are."""


def words_in(letters: str, known: Container[str] = ()) -> str:
    """
    Divide *letters* into the words that are most likely, by their frequency.

    Args:
        letters: Lower-case, without spaces.
        known: Further words, as good as the most frequent.
    Returns:
        The same with spaces between the words; what is no known word stays in one piece.
    """
    cost = [0.0]
    begins = [0]
    for end in range(1, len(letters) + 1):
        best, begin = min(
            (cost[start] + _cost(letters[start:end], known), start)
            for start in range(max(0, end - MAX_LETTERS), end)
        )
        cost.append(best)
        begins.append(begin)
    found = []
    end = len(letters)
    while end:
        found.append(letters[begins[end] : end])
        end = begins[end]
    return " ".join(reversed(found))


def is_frequent(word: str) -> bool:
    """Tell whether *word*, in lower case, is among the most frequent of English."""
    return word in _LONE or zlib.crc32(word.encode()) in _ranks()


def _cost(word: str, known: Container[str]) -> float:
    """Give about the negative logarithm of a word's frequency; an unknown one costs more by each letter."""
    if word in known:
        return math.log(10)
    rank = _LONE.get(word) if len(word) == 1 else _ranks().get(zlib.crc32(word.encode()))
    return 10 + 2.5 * len(word) if rank is None else math.log(rank + 10)


@cache
def _ranks() -> dict[int, int]:
    """Read the most frequent words as their CRC-32, by rank; training/words.py writes them."""
    data = files(__package__).joinpath("words.bin").read_bytes()
    return {checksum: rank for rank, (checksum,) in enumerate(struct.iter_unpack("<I", data))}
