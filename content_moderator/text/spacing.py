"""Finds the words in a run of spaced letters: "w i l l f i n d" is "will find"."""

import math
import struct
import zlib
from collections.abc import Container
from functools import cache
from importlib.resources import files
from string import ascii_lowercase
from typing import Final

MAX_LETTERS: Final = 15
"""The length of the longest word, which makes the time linear in the number of letters."""

_LONE: Final = {"i": 3, "a": 3}
"""The words of one letter, with their costs."""


def words_in(letters: str, known: Container[str] = ()) -> str:
    """
    Split *letters* into the most likely words, by their frequencies.

    Args:
        letters: Lower-case, without spaces.
        known: Further words, with the cost of the most frequent ones.
    Returns:
        The letters with spaces between the words; unknown parts stay in one piece.
    """
    begins = _begins(letters, known)
    found = []
    end = len(letters)
    while end:
        found.append(letters[begins[end] : end])
        end = begins[end]
    return " ".join(reversed(found))


def is_frequent(word: str) -> bool:
    """Return whether *word*, in lower case, is one of the most frequent English words."""
    return zlib.crc32(word.encode()) in _costs()


def cost_of(word: str) -> float:
    """Return the cost of *word*, in lower case: lower for frequent words, infinity for words that are not."""
    return _costs().get(zlib.crc32(word.encode()), math.inf)


def _begins(letters: str, known: Container[str]) -> list[int]:
    """
    Return for each position in *letters* the beginning of the last word in the best split up to there.

    The cost of a word is about the negative logarithm of its frequency; that of an unknown word grows with
    its length. A text of a megabyte can have half a million letters, so checksums are computed incrementally.
    """
    costs, checksum_of, more_known = _costs(), zlib.crc32, known != ()
    codes = [letter.encode() for letter in letters]
    least = [0.0, *[math.inf] * len(letters)]
    begins = [0] * len(least)
    for start in range(len(letters)):
        so_far = least[start]
        checksum = 0
        end = start
        for code, unknown in zip(codes[start : start + MAX_LETTERS], _UNKNOWN, strict=False):
            checksum = checksum_of(code, checksum)
            end += 1
            cost = so_far + costs.get(checksum, unknown)
            if more_known and letters[start:end] in known:
                cost = so_far + _KNOWN
            if cost < least[end]:
                least[end] = cost
                begins[end] = start
    return begins


_KNOWN: Final = math.log(10)
_UNKNOWN: Final = [10 + 2.5 * letters for letters in range(1, MAX_LETTERS + 1)]
"""The costs of unknown words, by length."""


@cache
def _costs() -> dict[int, float]:
    """Return the costs of the most frequent words by CRC-32; see model_building/words.py."""
    data = files(__package__).joinpath("data/words.bin").read_bytes()
    ranks = {checksum: rank for rank, (checksum,) in enumerate(struct.iter_unpack("<I", data))}
    for letter in ascii_lowercase:
        ranks.pop(zlib.crc32(letter.encode()), None)
    ranks |= {zlib.crc32(letter.encode()): rank for letter, rank in _LONE.items()}
    return {checksum: math.log(rank + 10) for checksum, rank in ranks.items()}
