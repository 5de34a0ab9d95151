"""What is done to a text before a model sees it. Every step takes time linear in the text's length."""

import re
import unicodedata
from collections.abc import Callable, Container
from functools import cache, partial
from importlib.resources import files
from typing import Final, NamedTuple

from content_moderator.core.cleaning import without_invisible
from content_moderator.core.known import Known
from content_moderator.core.spacing import words_in

MAX_EXPANSION: Final = 4
"""Characters that one character may become under NFKC; those that become more are dropped."""

MAX_SENTENCE_CHARS: Final = 300

MIN_CHARS_TO_DIVIDE: Final = 240
"""
A shorter text is one passage, for the weights of the parts were fitted to longer ones. Three friendly
sentences can outweigh a threat in it.
"""

MAX_PASSAGE_CHARS: Final = 160


Rewrites = tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]


def normalise(text: str, rewrites: Rewrites | None = None) -> str:
    """
    Undo common ways of hiding a word, for the embedded model.

    Undone are compatibility letters (full-width, mathematical), invisible characters, accents,
    letters of other scripts that look Latin (in mostly Latin texts), spaced-out letters, leetspeak
    inside words and stretched letters.

    Args:
        text: Any text.
        rewrites: What is done to lower-case text; ``REWRITES`` if None.
    Returns:
        Lower-case text, at most ``MAX_EXPANSION`` times as long.
    """
    text = without_invisible(text)
    if not text.isascii():
        text = compose(text)
        text = latinise(text, mostly_latin=mostly_latin(text))
    text = text.lower()
    for pattern, replacement in rewrites or REWRITES:
        text = pattern.sub(replacement, text)
    return text


def words_of(normalised: str) -> list[str]:
    """Give the words and emoji of a normalised text."""
    return WORD.findall(normalised)


def sentences(text: str) -> list[tuple[int, int]]:
    """
    Find the sentences of *text*.

    A sentence ends at a full stop, exclamation or question mark that white space follows, or at a
    line break; one without an end is cut at a space after ``MAX_SENTENCE_CHARS``.

    Returns:
        Begin and end of each, in code points, without the white space between them.
    """
    return [match.span() for match in _SENTENCE.finditer(text)]


class Division(NamedTuple):
    """
    The parts of a text that are looked at by themselves.

    Args:
        spans: Begin and end of each part, in code points: the whole first, then others, each once.
        passages: Indices of the runs of sentences among *spans*; none for a short text.
        sentences: Indices of the sentences.
    """

    spans: list[tuple[int, int]]
    passages: list[int]
    sentences: list[int]


def divide(text: str) -> Division:
    """
    Divide a text of at least ``MIN_CHARS_TO_DIVIDE`` into its sentences and into passages.

    A passage is as many whole sentences as ``MAX_PASSAGE_CHARS`` hold, or a longer one alone.
    """
    if len(text) < MIN_CHARS_TO_DIVIDE:
        return Division([(0, len(text))], [], [])
    single = sentences(text)
    runs: list[tuple[int, int]] = []
    for begin, end in single:
        if runs and end - runs[-1][0] <= MAX_PASSAGE_CHARS:
            runs[-1] = runs[-1][0], end
        else:
            runs.append((begin, end))
    number = {span: index for index, span in enumerate(dict.fromkeys([(0, len(text)), *runs, *single]))}
    return Division(list(number), [number[span] for span in runs], [number[span] for span in single])


def is_unicode(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: halves of characters cannot, nor bytes that were none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def latinise(text: str, *, mostly_latin: bool) -> str:
    """
    Undo what hides letters: compatibility forms, look-alikes, accents and what could not be read.

    Args:
        text: What `compose` gives of a text, or of a piece of one that ends before a base character.
        mostly_latin: Whether letters that look Latin are taken for Latin; see `mostly_latin`.
    """
    if mostly_latin:
        text = _NOT_ASCII.sub(lambda run: run[0].translate(confusables()), text)
    return _NOT_ASCII.sub(_without_marks, unicodedata.normalize("NFKD", text))


def mostly_latin(text: str) -> bool:
    """Tell of a composed text whether Latin letters prevail: real Cyrillic or Greek must not be mangled."""
    if not _LOOKALIKE_SCRIPT.search(text):
        return True
    return len(_LATIN.findall(text)) >= len(_LOOKALIKE_SCRIPT.findall(text))


def compose(text: str) -> str:
    """Compose a text to Unicode NFKC, without the characters that would become very many."""
    return unicodedata.normalize("NFKC", _OVERSIZED.sub(" ", text))


def _without_marks(run: re.Match[str]) -> str:
    return "".join(c for c in run[0] if c != REPLACEMENT and unicodedata.category(c) not in _MARKS)


@cache
def confusables() -> dict[int, str]:
    """Give the Latin letter that each look-alike stands for, by code point."""
    rows = files(__package__).joinpath("confusables.tsv").read_text(encoding="utf-8").splitlines()
    pairs = (row.split("\t") for row in rows if not row.startswith("#"))
    return {int(code, 16): latin for code, latin in pairs}


def rewrites_knowing(known: Known) -> Rewrites:
    """Give ``REWRITES``, but with words that spaced or stretched letters, or digits, may stand for."""
    return (
        (_SPACED, partial(_join_letters, known=known)),
        (_MIXED_TOKEN, partial(_undo_leet, known=known)),
        (_STRETCHED_WORD, partial(_unstretch, known=known)),
    )


def _join_letters(run: re.Match[str], known: Container[str] = ()) -> str:
    return words_in(run[0].replace(run[1], ""), known)


def _undo_leet(token: re.Match[str], known: Container[str] = ()) -> str:
    word = token[0].rstrip("!|+")
    if not _LATIN.search(word) or word in known:
        return token[0]
    plain = word.translate(_LEET)
    if _NUMBER_WITH_UNIT.fullmatch(word) and not (_MOSTLY_LETTERS.fullmatch(word) and plain in known):
        return token[0]
    return plain + token[0][len(word) :]


def _unstretch(word: re.Match[str], known: Known) -> str:
    return known.unstretched(word[0]) or STRETCHED.sub(r"\1", word[0])


# Each becomes more than MAX_EXPANSION characters under NFKC. U+FDFA becomes 18: a few thousand of it would
# be a cheap attack.
_OVERSIZED: Final = re.compile(
    "[\u321d\u321e\u327c\u3300\u3302\u3304\u3307\u3313\u3315\u3316\u3317\u3319"
    "\u331a\u3320\u3321\u332b\u332d\u332e\u3332\u3334\u3336\u333b\u333d\u3340"
    "\u3347\u334a\u334c\u3354\u3356\u33ae\u33af\ufdfa\ufdfb]"
)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_MARKS: Final = frozenset({"Mn", "Me"})
REPLACEMENT: Final = "\ufffd"
"""Stands where something could not be read: a word goes on behind it."""

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
# "5ex" and "fr33" may be words; "45s" and "a55" are seconds and a road.
_MOSTLY_LETTERS: Final = re.compile(r"[0-9][a-z]{2,}|[a-z]{2,}[0-9]{2}|[a-z]{3,}[0-9]{3}")
_SENTENCE: Final = re.compile(
    rf"\S(?:[^.!?\u2026\u3002\n]|[.!?\u2026\u3002](?!\s)){{0,{MAX_SENTENCE_CHARS}}}+[.!?\u2026\u3002]?\S*+"
)
_LEET: Final = str.maketrans("0134578@$!|+", "oieastbasiit")
STRETCHED: Final = re.compile(r"([a-z])\1{2,}")
# Linear as the above: letters are looked at from the first of a word only.
_STRETCHED_WORD: Final = re.compile(r"(?<![a-z])[a-z]*?([a-z])\1{2}[a-z]*+")
WORD: Final = re.compile(r"[\w'\U0001f300-\U0001faff]+")

REWRITES: Final[Rewrites] = (
    (_SPACED, _join_letters),
    (_MIXED_TOKEN, _undo_leet),
    (STRETCHED, r"\1"),
)
"""What is done to lower-case text, in this order; the last leaves the number of words as it is."""
