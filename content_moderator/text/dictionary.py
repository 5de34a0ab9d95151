"""The dictionary of English words, which are never taken for typing errors."""

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
"""The share of known words from which on a text counts as English."""


def is_word(word: str) -> bool:
    """
    Return whether *word*, in lower case, is in the dictionary or frequent.

    One in two hundred other strings is taken for a word.

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
    """Return whether most words of a text are English, so that unknown words are probably typing errors."""
    words = [token.lower() for token in tokens if token.isalpha()]
    return sum(map(is_word, words)) >= ENGLISH_SHARE * len(words)


def word_set(words: str) -> frozenset[str]:
    """Return the words of a string as a set."""
    return frozenset(words.split())


def fingerprint(word: str) -> int:
    """Return the 24-bit fingerprint of a word."""
    return zlib.crc32(word.encode()) >> 8


@cache
def _known() -> "array[int]":
    data = files(__package__).joinpath("data/dictionary.bin").read_bytes()
    # Byte by byte for all numbers together; reading number by number would delay the first look-up.
    padded = bytearray(len(data) // FINGERPRINT_BYTES * 4)
    for place in range(FINGERPRINT_BYTES):
        padded[place + 1 :: 4] = data[place::FINGERPRINT_BYTES]
    known = array("I", bytes(padded))
    if sys.byteorder == "little":
        known.byteswap()
    return known
