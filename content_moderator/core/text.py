"""What is done to a text before a model sees it. Every step takes time linear in the text's length."""

import re
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Final

MAX_EXPANSION: Final = 4
"""Characters that one character may become under NFKC; those that become more are dropped."""

MAX_SENTENCE_CHARS: Final = 300


def clean(text: str) -> str:
    """Compose *text* to Unicode NFC and strip white space at its ends: what every classifier receives."""
    return unicodedata.normalize("NFC", text).strip()


def normalise(text: str) -> str:
    """
    Undo common ways of hiding a word, for the embedded model.

    Undone are compatibility letters (full-width, mathematical), invisible characters, accents,
    letters of other scripts that look Latin (in mostly Latin texts), spaced-out letters, leetspeak
    inside words and stretched letters.

    Args:
        text: Any text.
    Returns:
        Lower-case text, at most ``MAX_EXPANSION`` times as long.
    """
    if not text.isascii():
        text = _latinise(text)
    text = text.lower()
    text = _SPACED.sub(_join_letters, text)
    text = _MIXED_TOKEN.sub(_undo_leet, text)
    return _STRETCHED.sub(r"\1", text)


def words_of(normalised: str) -> str:
    """Reduce a normalised text to its words and emoji, each with one space before and after."""
    return f" {' '.join(_WORD.findall(normalised))} "


def sentences(text: str) -> list[tuple[int, int]]:
    """
    Find the sentences of *text*.

    A sentence ends at a full stop, exclamation or question mark that white space follows, or at a
    line break; one without an end is cut at a space after ``MAX_SENTENCE_CHARS``.

    Returns:
        Begin and end of each, in code points, without the white space between them.
    """
    return [match.span() for match in _SENTENCE.finditer(text)]


def _latinise(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.translate(_oversized()))
    if _mostly_latin(text):
        text = text.translate(confusables())
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not _invisible(character))


def _invisible(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character) in _INVISIBLE_CATEGORIES


def _mostly_latin(text: str) -> bool:
    """Real Cyrillic or Greek must not be mangled: look-alikes count only where Latin prevails."""
    latin = len(_LATIN.findall(text))
    return latin >= len(_LOOKALIKE_SCRIPT.findall(text))


@cache
def confusables() -> dict[int, str]:
    """Give the Latin letter that each look-alike stands for, by code point."""
    rows = files(__package__).joinpath("confusables.tsv").read_text(encoding="utf-8").splitlines()
    pairs = (row.split("\t") for row in rows if not row.startswith("#"))
    return {int(code, 16): latin for code, latin in pairs}


@cache
def _oversized() -> dict[int, str]:
    """U+FDFA becomes 18 characters under NFKC: a few thousand of it would be a cheap attack."""
    return dict.fromkeys(_OVERSIZED, " ")


def _join_letters(run: re.Match[str]) -> str:
    return run[0].replace(run[1], "")


def _undo_leet(token: re.Match[str]) -> str:
    word = token[0].rstrip("!|+")
    if not _LATIN.search(word) or _NUMBER_WITH_UNIT.fullmatch(word):
        return token[0]
    return word.translate(_LEET) + token[0][len(word) :]


_OVERSIZED: Final = (
    *(0x321D, 0x321E, 0x327C, 0x3300, 0x3302, 0x3304, 0x3307, 0x3313, 0x3315, 0x3316),
    *(0x3317, 0x3319, 0x331A, 0x3320, 0x3321, 0x332B, 0x332D, 0x332E, 0x3332, 0x3334),
    *(0x3336, 0x333B, 0x333D, 0x3340, 0x3347, 0x334A, 0x334C, 0x3354, 0x3356, 0x33AE),
    *(0x33AF, 0xFDFA, 0xFDFB),
)
_INVISIBLE_CATEGORIES: Final = frozenset({"Mn", "Me", "Cf", "Cc", "Co", "Cn"})
_LATIN: Final = re.compile(r"[A-Za-z]")
_LOOKALIKE_SCRIPT: Final = re.compile(r"[\u0370-\u052f\u0530-\u058f\u13a0-\u13ff]")

# Three or more lone letters with the same single separator. Nothing may fail after the repeated
# part, so the expression cannot back-track: quadratic behaviour starts with a check at the end.
_LONE: Final = r"(?<![a-z0-9])[a-z](?![a-z0-9])"
_SPACED: Final = re.compile(rf"{_LONE}([ .\-_*/]){_LONE}(?:\1{_LONE})+")

# The look-behind admits only the start of a token and the possessive letters never give back, so
# each character is looked at once: "ababab..." without either takes quadratic time.
_MIXED_TOKEN: Final = re.compile(r"(?<![a-z0-9@$!|+])[a-z]*+[0-9@$!|+][a-z0-9@$!|+]*+")
_NUMBER_WITH_UNIT: Final = re.compile(r"[0-9]++[a-z]{1,3}|[a-z]++[0-9]{2,}")
_SENTENCE: Final = re.compile(
    rf"\S(?:[^.!?\u2026\u3002\n]|[.!?\u2026\u3002](?!\s)){{0,{MAX_SENTENCE_CHARS}}}+[.!?\u2026\u3002]?\S*+"
)
_LEET: Final = str.maketrans("0134578@$!|+", "oieastbasiit")
_STRETCHED: Final = re.compile(r"([a-z])\1{2,}")
_WORD: Final = re.compile(r"[\w'\U0001f300-\U0001faff]+")
