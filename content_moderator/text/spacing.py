"""Finds the words in a run of letters that had been spaced out: "w i l l f i n d" is "will find"."""

import math
import struct
import zlib
from collections.abc import Container
from functools import cache
from importlib.resources import files
from string import ascii_lowercase
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
    begins = _begins(letters, known)
    found = []
    end = len(letters)
    while end:
        found.append(letters[begins[end] : end])
        end = begins[end]
    return " ".join(reversed(found))


def is_frequent(word: str) -> bool:
    """Return whether *word*, in lower case, is among the most frequent of English."""
    return zlib.crc32(word.encode()) in _costs()


def cost_of(word: str) -> float:
    """
    Return what *word*, in lower case, costs: less the more frequent it is; infinity if it is not
    frequent.
    """
    return _costs().get(zlib.crc32(word.encode()), math.inf)


def _begins(letters: str, known: Container[str]) -> list[int]:
    """
    Find for each place in *letters* where the last word begins, if all before it is divided best.

    A word costs about the negative logarithm of its frequency, an unknown one more by each letter. A text
    of a megabyte may have half a million letters, so a checksum goes on from that of the letters before.
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
"""Costs of a word that is none, by its letters."""


@cache
def _costs() -> dict[int, float]:
    """Read the most frequent words as their CRC-32, and what each costs; see model_building/words.py."""
    data = files(__package__).joinpath("data/words.bin").read_bytes()
    ranks = {checksum: rank for rank, (checksum,) in enumerate(struct.iter_unpack("<I", data))}
    for letter in ascii_lowercase:
        ranks.pop(zlib.crc32(letter.encode()), None)
    ranks |= {zlib.crc32(letter.encode()): rank for letter, rank in _LONE.items()}
    return {checksum: math.log(rank + 10) for checksum, rank in ranks.items()}
