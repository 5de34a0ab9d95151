"""Undoes the disguises of words in a text, for remote models."""

import itertools
import re
from functools import cache
from typing import Final

from content_moderator.text.normalization import WordNormalizer, without_markup

_WORD: Final = re.compile(r"[a-z0-9]+(?:'(?:t|re|ve|ll|m|d)\b)?")


def deobfuscated(text: str) -> str | None:
    """
    Replace the disguised words of a text by plain ones.

    Disguises are letters of other scripts that look Latin, full-width letters, invisible characters, accents,
    leetspeak, spaced and stretched letters, and mark-up inside words; see `WordNormalizer`.

    Args:
        text: A cleaned text.
    Returns:
        The text with plain words, in upper or lower case as before; None if no word was disguised.
    """
    if further := without_markup(text):
        text = further.text
    elif text.isascii() and _normalizer().words(text) == _WORD.findall(text.lower()):
        return None
    written: list[str] = []
    done = 0
    for (begin, end), spans in itertools.groupby(_normalizer().spans(text), lambda span: span[1:]):
        shown, read = text[begin:end], " ".join(span.word for span in spans)
        if begin < done or shown.lower() == read:
            continue
        written += [text[done:begin], _in_case_of(shown, read)]
        done = end
    return "".join([*written, text[done:]]) if written or further else None


@cache
def _normalizer() -> WordNormalizer:
    return WordNormalizer()


def _in_case_of(shown: str, word: str) -> str:
    letters = [character for character in shown if character.isalpha()]
    if len(letters) > 1 and all(letter.isupper() for letter in letters):
        return word.upper()
    return word.capitalize() if letters and letters[0].isupper() else word
