"""Knows the words of English, so that none of them passes for a slip of the pen."""

import zlib
from array import array
from bisect import bisect_left
from functools import cache
from importlib.resources import files
from typing import Final

from content_moderator.core.spacing import is_frequent

FINGERPRINT_BYTES: Final = 3


def is_word(word: str) -> bool:
    """
    Tell whether *word*, in lower case, is one: in the dictionary, or often written all the same.

    One in two hundred of what is no word is taken for one.

    Source:
        SCOWL, in its American and British English lists; training/dictionary.py writes the file.
    """
    wanted = fingerprint(word)
    known = _known()
    place = bisect_left(known, wanted)
    return (place < len(known) and known[place] == wanted) or is_frequent(word)


def word_set(words: str) -> frozenset[str]:
    """Read words that are written one after the other."""
    return frozenset(words.split())


def fingerprint(word: str) -> int:
    """Give 24 bits that stand for a word."""
    return zlib.crc32(word.encode()) >> 8


@cache
def _known() -> "array[int]":
    data = files(__package__).joinpath("dictionary.bin").read_bytes()
    return array(
        "L",
        (
            int.from_bytes(data[place : place + FINGERPRINT_BYTES], "big")
            for place in range(0, len(data), FINGERPRINT_BYTES)
        ),
    )
