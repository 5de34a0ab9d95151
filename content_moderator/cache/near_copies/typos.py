"""Tells typos from other words."""

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA, Editop, Levenshtein

from content_moderator.text.dictionary import in_dictionary, is_word, word_set

HARMFUL: Final = frozenset({"aversion", "belittle", "called", "dehumanise", "insult", "selfharm", "violence"})
"""Classes of the embedded model's lexicon with harmful words."""

_SHORT_CHARS: Final = 3
_LONG_CHARS: Final = 8
_DIGITS_FOR_LETTERS: Final = str.maketrans("0134578", "oieastb")
_VOWELS: Final = frozenset("aeiou")
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _beside() -> dict[str, str]:
    """Return for each key of an English keyboard the keys next to it and below it."""
    found: dict[str, set[str]] = {key: set() for row in _ROWS for key in row}
    for row, below in zip(_ROWS, (*_ROWS[1:], ""), strict=True):
        for place, key in enumerate(row):
            others = row[place + 1 : place + 2] + below[max(0, place - 1) : place + 1]
            for other in others:
                found[key].add(other)
                found[other].add(key)
    return {key: "".join(sorted(others)) for key, others in found.items()}


_BESIDE: Final = defaultdict(str, _beside())
_DRAWN_OUT: Final = word_set(
    "so no yes very really too please hi hey hello oh wow aw long late good great much sooner"
)
"""Words that people stretch without changing their meaning."""

_SOUNDS: Final = (("oo", "u"), ("ou", "u"), ("ph", "f"), ("ck", "k"), ("c", "k"), ("z", "s"), ("y", "i"))
"""Letters with the same sound: "stoopid"."""

_STRETCHED: Final = re.compile(r"([a-z])\1{2,}")


class Hazards:
    """
    The harmful words that a typing error must not be close to.

    Args:
        lexicon: The embedded model's words and their classes; only the harmful classes are used.
    """

    def __init__(self, lexicon: Mapping[str, str]) -> None:
        self._words = _listed_hazards() | {word for word, kind in lexicon.items() if kind in HARMFUL}
        self._long = [word for word in self._words if len(word) > _SHORT_CHARS]
        # Without the words of the lexicon: "beatiful" has nothing to do with beating.
        self._coarse = [word for word in _listed_hazards() if len(word) > _SHORT_CHARS]
        self._sounds = {_sound(word) for word in self._long}
        self._short = {"".join(sorted(word)) for word in self._words if len(word) <= _SHORT_CHARS}

    def __contains__(self, word: object) -> bool:
        return word in self._words

    def spelled_by(self, code: str) -> bool:
        """Return whether letters and digits can be read as one of the words: "a55"."""
        return code.translate(_DIGITS_FOR_LETTERS) in self._words

    def near(self, slip: str, word: str) -> bool:
        """Return whether *slip* could be a typing error for a harmful word instead of *word*."""
        return (
            "".join(sorted(slip)) in self._short
            or _sound(slip) in self._sounds
            or process.extractOne(slip, self._long, scorer=OSA.distance, score_cutoff=1) is not None
            or any(hazard in slip and hazard not in word for hazard in self._coarse)
        )


def _sound(word: str) -> str:
    """Return the sound of a word, without repeated letters."""
    for letters, sound in _SOUNDS:
        word = word.replace(letters, sound)
    return "".join(letter for letter, _ in groupby(word))


_SPELLINGS: Final = tuple(
    (re.compile(british), american)
    for british, american in (
        (r"(?<=[a-z]{3})our", "or"),
        (r"(?<=[a-z]{3})is(?=e|ing|ation)", "iz"),
        (r"ys(?=e|ing)", "yz"),
        (r"(?<=[bt])re(?=s?$)", "er"),
        (r"ogue(?=s?$)", "og"),
        (r"(?<=[a-z]{2})ence(?=s?$)", "ense"),
        (r"(?<=[a-z]e)ll(?=ed$|ing$|ers?$)", "l"),
        (r"grey", "gray"),
    )
)
"""British spellings and their American forms."""


def is_spelling(one: str, other: str) -> bool:
    """Return whether two words are the British and American spelling of one: "favourite" and "favorite"."""
    if not (in_dictionary(one) and in_dictionary(other)):
        return False
    return any(
        british.sub(american, word) == variant
        for british, american in _SPELLINGS
        for word, variant in ((one, other), (other, one))
    )


def is_slip(one: str, other: str, hazards: Hazards) -> bool:
    """
    Return whether one of two words is only a typing error for the other.

    Two words of the dictionary never are, however similar: "kiss" and "kill". A word that could also be a
    typing error for a harmful word is not one either.

    Args:
        one: A word, in lower case.
        other: Another.
        hazards: The harmful words.
    """
    if not all(word.isascii() and word.isalpha() for word in (one, other)):
        return False
    if _STRETCHED.search(one + " " + other):
        return _is_stretched(one, other)
    known = [is_word(word) for word in (one, other)]
    if sum(known) != 1:
        return False
    word, slip = (one, other) if known[0] else (other, one)
    return _is_slip_for(slip, word) and word not in hazards and not hazards.near(slip, word)


def _is_stretched(one: str, other: str) -> bool:
    """Return whether one word is an allowed stretched form of the other: "sooo", but not "weeell"."""
    short, long = sorted((one, other), key=len)
    return short in _DRAWN_OUT and short in {_STRETCHED.sub(letters, long) for letters in (r"\1", r"\1\1")}


def _is_slip_for(slip: str, word: str) -> bool:
    """
    Return whether *slip* is a typical typing error for *word*.

    Two letters are swapped; or one letter (two in a long word) other than the first is missing, doubled,
    replaced by a neighbouring key, or by another vowel.
    """
    distance = OSA.distance(slip, word)
    if len(word) < _SHORT_CHARS:
        return False
    if distance == 1 and sorted(slip) == sorted(word):
        return True
    if len(word) == _SHORT_CHARS or slip[0] != word[0] or distance > (2 if len(word) >= _LONG_CHARS else 1):
        return False
    return all(_is_likely(edit, word, slip) for edit in Levenshtein.editops(word, slip))


def _is_likely(edit: Editop, word: str, slip: str) -> bool:
    if edit.tag == "delete":
        return True
    typed = slip[edit.dest_pos]
    if edit.tag == "replace":
        return typed in _BESIDE[word[edit.src_pos]] or {typed, word[edit.src_pos]} <= _VOWELS
    around = slip[edit.dest_pos - 1 : edit.dest_pos] + slip[edit.dest_pos + 1 : edit.dest_pos + 2]
    return typed in _VOWELS or any(typed == other or typed in _BESIDE[other] for other in around)


@cache
def _listed_hazards() -> frozenset[str]:
    lines = files(__package__).joinpath("hazards.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
