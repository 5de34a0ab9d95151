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
"""Classes of the embedded model's lexicon whose words harm."""

_SHORT_CHARS: Final = 3
_LONG_CHARS: Final = 8
_DIGITS_FOR_LETTERS: Final = str.maketrans("0134578", "oieastb")
_VOWELS: Final = frozenset("aeiou")
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _beside() -> dict[str, str]:
    """Return the keys beside and below each key of an English keyboard."""
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
"""What people draw out without meaning anything else."""

_SOUNDS: Final = (("oo", "u"), ("ou", "u"), ("ph", "f"), ("ck", "k"), ("c", "k"), ("z", "s"), ("y", "i"))
"""Letters that sound like others: "stoopid"."""

_STRETCHED: Final = re.compile(r"([a-z])\1{2,}")


class Hazards:
    """
    The words that a slip of the pen must not come near.

    Args:
        lexicon: The embedded model's words and their classes; those of the classes that harm are meant.
    """

    def __init__(self, lexicon: Mapping[str, str]) -> None:
        self._words = _listed_hazards() | {word for word, kind in lexicon.items() if kind in HARMFUL}
        self._long = [word for word in self._words if len(word) > _SHORT_CHARS]
        # Not those of the lexicon: "beatiful" says nothing of beating.
        self._coarse = [word for word in _listed_hazards() if len(word) > _SHORT_CHARS]
        self._sounds = {_sound(word) for word in self._long}
        self._short = {"".join(sorted(word)) for word in self._words if len(word) <= _SHORT_CHARS}

    def __contains__(self, word: object) -> bool:
        return word in self._words

    def spelled_by(self, code: str) -> bool:
        """Return whether letters and digits may be read as one of the words: "a55"."""
        return code.translate(_DIGITS_FOR_LETTERS) in self._words

    def near(self, slip: str, word: str) -> bool:
        """Return whether *slip* may be meant for a word that harms, and not for *word*."""
        return (
            "".join(sorted(slip)) in self._short
            or _sound(slip) in self._sounds
            or process.extractOne(slip, self._long, scorer=OSA.distance, score_cutoff=1) is not None
            or any(hazard in slip and hazard not in word for hazard in self._coarse)
        )


def _sound(word: str) -> str:
    """Write a word by what it sounds like, each letter once in a row."""
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
"""What British spelling has for American."""


def is_spelling(one: str, other: str) -> bool:
    """Return whether two words are one in British and American spelling: "favourite" and "favorite"."""
    if not (in_dictionary(one) and in_dictionary(other)):
        return False
    return any(
        british.sub(american, word) == variant
        for british, american in _SPELLINGS
        for word, variant in ((one, other), (other, one))
    )


def is_slip(one: str, other: str, hazards: Hazards) -> bool:
    """
    Return whether one of two words is but a slip of the pen for the other.

    Two words of the dictionary never are, however alike: "kiss" and "kill". Nor is a word that could as well
    be a slip for one that harms.

    Args:
        one: A word, in lower case.
        other: Another.
        hazards: What it must not come near.
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
    """Return whether one word was drawn out of the other, and may be: "sooo", but not "weeell" or "biiig"."""
    short, long = sorted((one, other), key=len)
    return short in _DRAWN_OUT and short in {_STRETCHED.sub(letters, long) for letters in (r"\1", r"\1\1")}


def _is_slip_for(slip: str, word: str) -> bool:
    """
    Return whether fingers make *slip* of *word*.

    Two letters change places; or one (two in a long word) but the first is left out, struck twice, struck
    beside the right key, or a vowel for another.
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
