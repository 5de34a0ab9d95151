"""
Replaces characters that look like Latin letters.

A letter of another alphabet is only replaced if the result is a known word, or if the word has Latin letters,
too: real Russian, Greek or Cherokee must not be changed.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Final

from content_moderator.text.edits import Edit

MIN_EVIDENCE: Final = 3
"""
The least length of a word that proves by itself that its foreign letters stand for Latin ones. Shorter words
are replaced if another word proves it.
"""

MAX_READINGS: Final = 16
"""The largest number of readings of a word whose characters look like several letters."""

_MIN_TURNED: Final = 2

_ODD_ALPHABET: Final = re.compile("[^\u0370-\u03ff\u0400-\u058f\u1f00-\u1fff\\W\\d_]")

_TRADE: Final = re.compile("[\u00a9\u00ae](?![a-zA-Z])")

_LETTERS: Final = re.compile(r"(?:[^\W_]|[^\x00-\x7f\s])++")
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_FLAGS: Final = re.compile("[\U0001f1e6-\U0001f1ff]+")
_FIRST_FLAG: Final = 0x1F1E6
_MIN_FLAG_LETTERS: Final = 6
"""
The least length of a word that is spelled with flags of real regions; longer ones hardly occur by chance.
"""
_FIRST_CIRCLED, _FIRST_SQUARED = 0x1F150, 0x1F170
_LAST_LATIN: Final = 0x24F

# Letters beyond the Latin extensions that belong to no living alphabet.
_LATIN_BLOCKS: Final = (
    (0x250, 0x2FF), (0x1D00, 0x1DBF), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF), (0xAB30, 0xAB6F),
    (0x2000, 0x2BFF), (0x1D000, 0x1FFFF),
)  # fmt: skip

IsKnownWord = Callable[[str], bool]


@cache
def confusables() -> dict[int, str]:
    """Return the Latin letters for each look-alike, by code point."""
    path = files(__package__).joinpath("data/confusables.tsv")
    rows = path.read_text(encoding="utf-8").splitlines()
    pairs = (row.split("\t") for row in rows if not row.startswith("#"))
    table = {int(code, 16): latin for code, latin in pairs}
    for code, latin in list(table.items()):
        other = chr(code).swapcase()
        if len(other) == 1 and not other.isascii():
            table.setdefault(ord(other), latin)
    for first in (_FIRST_CIRCLED, _FIRST_SQUARED, _FIRST_FLAG):
        table |= {first + place: chr(ord("a") + place) for place in range(26)}
    return table


@cache
def _notes(note: str) -> dict[str, str]:
    """Return the characters with a note, and the letter in the note."""
    rows = files(__package__).joinpath("data/lookalike_notes.tsv").read_text(encoding="utf-8").splitlines()
    parts = (row.split("\t") for row in rows if not row.startswith("#"))
    return {chr(int(code, 16)): letter for code, each, letter in parts if each == note}


@cache
def _turned() -> re.Pattern[str]:
    return re.compile(f"[{''.join(_notes('turned'))}]")


@cache
def is_foreign(character: str) -> bool:
    """Return whether a character is a letter of an alphabet other than the Latin one."""
    code = ord(character)
    if code <= _LAST_LATIN or any(first <= code <= last for first, last in _LATIN_BLOCKS):
        return False
    return character.isalpha() or unicodedata.category(character)[0] == "M"


def upside_down(text: str, is_known: IsKnownWord) -> list[Edit]:
    """Return the edits that turn upside-down lines around."""
    turned = _turned()
    if len(turned.findall(text)) < _MIN_TURNED:
        return []
    letters = _notes("turned") | _notes("upside-down")
    edits: list[Edit] = []
    begin = 0
    for line in text.splitlines(keepends=True):
        shown = line.rstrip("\r\n")
        if len(set(turned.findall(shown))) >= _MIN_TURNED:
            right = "".join(letters.get(character, character) for character in reversed(shown))
            words = [word for word in re.findall(r"[^\W\d_]+", right) if word.isascii()]
            if 2 * sum(map(is_known, words)) > len(words):
                edits.append(Edit(begin, begin + len(shown), right))
        begin += len(line)
    return edits


def latinise(text: str, is_known: IsKnownWord) -> list[Edit]:
    """
    Return the edits that replace look-alikes and remove accents.

    Args:
        text: Composed to Unicode NFKC.
        is_known: Returns whether a word in lower case is known.
    """
    found = [(each.start(), each.end(), each[0]) for each in _LETTERS.finditer(text) if not each[0].isascii()]
    mixed = any(_is_mixed(word) and _read(word, is_known) for _, _, word in found)
    foreign = {word for _, _, word in found if _all_foreign(word)}
    likely = {word: reading for word in foreign if (reading := _read(word, is_known, all_letters=mixed))}
    honest = sum(_all_foreign(word) and word not in likely for _, _, word in found)
    evidence = sum(len(word) >= MIN_EVIDENCE for _, _, word in found if word in likely)
    # A word of two letters proves nothing: it follows the other words.
    convinced = (evidence > honest) or (mixed and not honest)
    edits: list[Edit] = []
    for begin, end, word in found:
        new = likely[word] if word in likely and convinced else _latin(word, is_known)
        if new != word:
            edits.append(Edit(begin, end, new))
    return edits


def _latin(word: str, is_known: IsKnownWord) -> str:
    """Return a word with its look-alikes replaced by Latin letters."""
    if _all_foreign(word):
        return without_marks(word)
    if _is_mixed(word):
        latin = sum(character.isascii() and character.isalpha() for character in word)
        reading = _read(word, is_known)
        if reading:
            return reading
        if sum(map(is_foreign, word)) > latin:
            return without_marks(word)
    return _skeleton(word)


def _all_foreign(word: str) -> bool:
    letters = [character for character in word if character.isalpha() or ord(character) in confusables()]
    return bool(letters) and all(map(is_foreign, letters))


def _is_mixed(word: str) -> bool:
    return any(map(is_foreign, word)) and not _all_foreign(word)


def _read(word: str, is_known: IsKnownWord, *, all_letters: bool = False) -> str | None:
    """
    Return the known word that *word* looks like; None if there is none.

    Args:
        word: A word with a letter that is not ASCII.
        is_known: Returns whether a word in lower case is known.
        all_letters: Whether letters that only resemble Latin ones are replaced in words of a living alphabet,
            too.
    """
    plain = without_marks(word)
    options = [_options(character) for character in plain]
    if not all_letters and _all_foreign(word) and not _ODD_ALPHABET.search(word):
        # Some Russian and Greek words look like English ones, so only letters that look exactly the same
        # count.
        same = _notes("same")
        options = [
            each[:1] if character.casefold() in same else []
            for character, each in zip(plain, options, strict=True)
        ]
    if not all(options):
        return None
    readings = itertools.islice(itertools.product(*options), MAX_READINGS)
    for letters in readings:
        reading = "".join(letters)
        if is_known(reading.strip("0123456789")):
            return reading
    return None


def _options(character: str) -> list[str]:
    if character.isascii():
        return [character.lower()]
    lowered = character.casefold()
    first = confusables().get(ord(character)) or confusables().get(ord(lowered[0]))
    second = _notes("second").get(lowered)
    return [each for each in (first, second) if each]


def _skeleton(word: str) -> str:
    return without_marks(_NOT_ASCII.sub(_translated, _TRADE.sub(" ", word)))


def _translated(run: re.Match[str]) -> str:
    return run[0].translate(confusables()) if not _FLAGS.search(run[0]) else _translated_flags(run[0])


def _translated_flags(run: str) -> str:
    return "".join(
        part if _FLAGS.fullmatch(part) else part.translate(confusables())
        for part in re.split(f"({_FLAGS.pattern})", run)
    )


@cache
def _regions() -> frozenset[str]:
    lines = files(__package__).joinpath("data/regions.txt").read_text(encoding="ascii").splitlines()
    return frozenset(region for line in lines if not line.startswith("#") for region in line.split())


def flags(text: str, is_known: IsKnownWord) -> list[Edit]:
    """Return the edits that replace regional indicators by letters, if they spell a word and not flags."""
    edits: list[Edit] = []
    for run in _FLAGS.finditer(text):
        letters = "".join(chr(ord(character) - _FIRST_FLAG + ord("a")) for character in run[0])
        pairs = {letters[place : place + 2] for place in range(0, len(letters), 2)}
        if len(letters) % 2 or (
            is_known(letters) and (len(letters) >= _MIN_FLAG_LETTERS or not pairs <= _regions())
        ):
            edits.append(Edit(run.start(), run.end(), letters))
    return edits


_STRIPPED: Final = re.compile(
    # Latin, Greek and Cyrillic letters with accents, the marks themselves, and Arabic and Hebrew points.
    "[\u00c0-\u024f\u0300-\u03ff\u0400-\u052f\u1e00-\u1fff\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_KEPT: Final = frozenset("йЙ")
_MARKS: Final = frozenset({"Mn", "Me"})


def without_marks(text: str) -> str:
    """
    Remove the marks of Latin, Greek, Cyrillic, Arabic and Hebrew letters.

    Marks of other scripts are vowels or make other letters, as in й.
    """
    return text if text.isascii() else _STRIPPED.sub(_without_marks, text)


def _without_marks(run: re.Match[str]) -> str:
    composed = unicodedata.normalize("NFC", run[0])
    return "".join(
        character
        if character in _KEPT
        else "".join(
            c for c in unicodedata.normalize("NFD", character) if unicodedata.category(c) not in _MARKS
        )
        for character in composed
    )
