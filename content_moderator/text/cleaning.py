"""
Cleans texts: removes invisible characters, and orders combining marks.

Only this module decides which characters are invisible. Classifiers, terms, alignment and cache all get
cleaned texts. Every step takes time linear in the text's length.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import groupby
from typing import Final

from content_moderator.text.spacing import is_frequent

CLEANING_VERSION: Final = "3"
"""
The version of text cleaning. Change it when the result of `clean` changes, because cached answers belong to
cleaned texts.
"""

MAX_MARKS: Final = 30
"""
The largest number of consecutive marks that are kept. Unicode's normal forms sort them, in quadratic time.

Source:
    UAX 15, "Unicode Normalization Forms", Stream-Safe Text Format.
"""

_INVISIBLE_ASCII: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_INVISIBLE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cn", "Co"})

# Default_Ignorable_Code_Point of Unicode 16 (DerivedCoreProperties.txt), many of which have the category of
# letters and marks; and two that are displayed as nothing: the blank Braille pattern and the object
# replacement.
_BLANK: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\u2800\ufffc]"
)
_MIN_WORDS_APART: Final = 3
"""The least number of pieces that count as separate words; two pieces, "spam" and "word", can be one word."""

_MIN_MEAN_LETTERS: Final = 3
"""The least mean length of pieces that count as separate words."""

# Runs without white space. Control characters that Python counts as white space do not count here.
_BETWEEN_SPACES: Final = re.compile(r"(?:\S|[\x1c-\x1f\x85])+")

_FIRST_MARK: Final = 0x300
_BEHIND_MARKS: Final = 0x20000
_MANY_MARKS: Final = re.compile(rf"[^\x00-\u02ff]{{{MAX_MARKS + 1}}}")


def clean(text: str) -> str:
    """
    Remove invisible characters and superfluous marks from *text*, compose it to Unicode NFC, and strip it.

    Returns:
        The text as all classifiers get it; empty if no character is visible.
    """
    return unicodedata.normalize("NFC", without_invisible(text)).strip()


def without_invisible(text: str) -> str:
    """Remove invisible characters, and consecutive marks beyond ``MAX_MARKS``; see also `with_gaps`."""
    shown = _shown(text)
    if len(shown) < len(text) and (gapped := with_gaps(text)) != text:
        shown = _shown(gapped)
    return _marks().sub(r"\1", shown) if _MANY_MARKS.search(shown) else shown


def visible_places(text: str) -> list[int]:
    """Return the positions of the characters of `without_invisible` in ``with_gaps(text)``."""
    text = with_gaps(text)
    places = [place for place, character in enumerate(text) if not is_invisible(character)]
    shown = "".join(text[place] for place in places)
    if shown.isascii() or not _MANY_MARKS.search(shown):
        return places
    kept: list[int] = []
    done = 0
    for found in _marks().finditer(shown):
        kept += places[done : found.end(1)]
        done = found.end()
    return kept + places[done:]


def with_gaps(text: str) -> str:
    """
    Replace an invisible character between words, but not inside a word, by a space.

    For example between "I", "will" and "kill": a font can show gaps there. Positions do not change.
    """
    return text if _all_visible(text) else _BETWEEN_SPACES.sub(_with_gaps, text)


def _with_gaps(run: re.Match[str]) -> str:
    if _all_visible(run[0]):
        return run[0]
    parts = [(hidden, "".join(part)) for hidden, part in groupby(run[0], is_invisible)]
    words = [part.strip(".,:;!?\"'()-").lower() for hidden, part in parts if not hidden]
    joined = "".join(words)
    if len(words) < _MIN_WORDS_APART or len(joined) < _MIN_MEAN_LETTERS * len(words):
        return run[0]
    if is_frequent(joined) or not all(map(is_frequent, words)):
        return run[0]
    return "".join(f" {part[1:]}" if hidden else part for hidden, part in parts)


def _shown(text: str) -> str:
    shown = _INVISIBLE_ASCII.sub("", text)
    return shown if shown.isascii() else _NOT_ASCII.sub(_visible, shown)


@lru_cache(maxsize=8192)
def is_invisible(character: str) -> bool:
    """
    Return whether a character is invisible, or its appearance is unknown.

    These are control characters except tab, line feed, vertical tab, form feed and carriage return; format
    characters; private use and unassigned code points; default ignorable code points of Unicode; U+2800 and
    U+FFFC.
    """
    if "\t" <= character <= "\r":
        return False
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES or _BLANK.fullmatch(character) is not None


def _visible(run: re.Match[str]) -> str:
    if _all_visible(run[0]):
        return run[0]
    return "".join(character for character in run[0] if not is_invisible(character))


def _all_visible(text: str) -> bool:
    """Return whether *text* certainly has no invisible characters; a fast check."""
    if text.isascii():
        return not _INVISIBLE_ASCII.search(text)
    return text.isprintable() and not _BLANK.search(text)


@cache
def _marks() -> re.Pattern[str]:
    """
    Return a pattern for more than ``MAX_MARKS`` consecutive characters that a normal form sorts, or
    decomposes into such.
    """
    ranges = "".join(f"{begin}-{end}" for begin, end in _runs_of_marks())
    return re.compile(f"([{ranges}]{{{MAX_MARKS}}})[{ranges}]+")


def _runs_of_marks() -> Iterator[tuple[str, str]]:
    begin = end = -1
    for code in range(_FIRST_MARK, _BEHIND_MARKS):
        if unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0]):
            if code != end + 1:
                if begin >= 0:
                    yield chr(begin), chr(end)
                begin = code
            end = code
    yield chr(begin), chr(end)
