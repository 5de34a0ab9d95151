"""The dictionary of English words, so that none of them is taken for a typo."""

import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from content_moderator.text.spacing import is_frequent

FINGERPRINT_BYTES: Final = 3

ENGLISH_SHARE: Final = 0.7
"""Of the words of a text that are known, from which on it is taken for English."""


def is_word(word: str) -> bool:
    """
    Return whether *word*, in lower case, is one: in the dictionary, or often written all the same.

    One in two hundred of what is no word is taken for one.

    Source:
        SCOWL, in its American and British English lists; model_building/dictionary.py writes the file.
    """
    return in_dictionary(word) or is_frequent(word)


def in_dictionary(word: str) -> bool:
    """Return whether *word*, in lower case, is in the dictionary."""
    wanted = fingerprint(word)
    known = _known()
    place = bisect_left(known, wanted)
    return place < len(known) and known[place] == wanted


def mostly_words(tokens: Sequence[str]) -> bool:
    """Return whether most of the words of a text are English, so that what is none is likely to be a slip."""
    words = [token.lower() for token in tokens if token.isalpha()]
    return sum(map(is_word, words)) >= ENGLISH_SHARE * len(words)


def word_set(words: str) -> frozenset[str]:
    """Read words that are written one after the other."""
    return frozenset(words.split())


def fingerprint(word: str) -> int:
    """Return 24 bits that stand for a word."""
    return zlib.crc32(word.encode()) >> 8


@cache
def _known() -> "array[int]":
    data = files(__package__).joinpath("data/dictionary.bin").read_bytes()
    # A byte of every number at a time: one number at a time would hold up the first look-up.
    padded = bytearray(len(data) // FINGERPRINT_BYTES * 4)
    for place in range(FINGERPRINT_BYTES):
        padded[place + 1 :: 4] = data[place::FINGERPRINT_BYTES]
    known = array("I", bytes(padded))
    if sys.byteorder == "little":
        known.byteswap()
    return known
