"""Undoes the disguises of words in a text."""

import itertools
import re
from functools import cache
from typing import Final

from content_moderator.text.normalization import Reader, without_markup

_WORD: Final = re.compile(r"[a-z0-9]+(?:'(?:t|re|ve|ll|m|d)\b)?")


def deobfuscated(text: str) -> str | None:
    """
    Undo the disguises of a text, and leave all else as it is.

    Every word that `Reader` reads otherwise than it is written is put in its place as read: letters of other
    scripts that look Latin, full-width letters, invisible characters, accents, leetspeak, spaced and
    stretched letters, mark-up inside words.

    Args:
        text: A cleaned text.
    Returns:
        The text with plain words, their case kept as far as it can be told; None if nothing was disguised.
    """
    if further := without_markup(text):
        text = further.text
    elif text.isascii() and _reader().words(text) == _WORD.findall(text.lower()):
        return None
    written: list[str] = []
    done = 0
    for (begin, end), places in itertools.groupby(_reader().places(text), lambda place: place[1:]):
        shown, read = text[begin:end], " ".join(place.word for place in places)
        if begin < done or shown.lower() == read:
            continue
        written += [text[done:begin], _in_case_of(shown, read)]
        done = end
    return "".join([*written, text[done:]]) if written or further else None


@cache
def _reader() -> Reader:
    return Reader()


def _in_case_of(shown: str, word: str) -> str:
    letters = [character for character in shown if character.isalpha()]
    if len(letters) > 1 and all(letter.isupper() for letter in letters):
        return word.upper()
    return word.capitalize() if letters and letters[0].isupper() else word
