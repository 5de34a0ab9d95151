"""
Detects the language of a text.

First by alphabet, then by the share of English words, and by a library only if doubt is left. One or two
words are not enough: they count as English.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from content_moderator.text.dictionary import is_word, word_set
from content_moderator.text.lookalike import without_marks
from content_moderator.text.normalization import WORD, words_of

ENGLISH: Final = "en"
UNKNOWN: Final = "und"
"""ISO 639's code for a language that could not be determined."""

MIN_LETTERS: Final = 12
"""A text with fewer Latin letters counts as English, because every detector makes mistakes on such texts."""

MIN_WORDS: Final = 3
"""With fewer words, a text counts as English as well."""

MANY_WORDS: Final = 5
"""This number of words without an English one is another language, whatever the library says."""

ENGLISH_SHARE: Final = 0.7
"""From this share of English words on, the text is English without further checks."""

DOUBTFUL_SHARE: Final = 0.5
"""From this share of English words on, another language is only accepted if the library is sure."""

FEW_WORDS: Final = 8
"""Up to this number of words, the most common words are more reliable than the library."""

USUAL_SHARE: Final = 0.4
"""The share of the words of a text that must be among the most common of its language."""

FOREIGN_WORD: Final = 3
"""
The length of a word in another alphabet with which a text counts as that language. A Chinese or Korean
character counts as three letters, a Japanese one as two.
"""

HARDLY_ANY, SOME_WORDS = 0.25, 4
"""This number of words with at most this share of English ones is in another language, or in none."""

USUAL_LENGTH: Final = 4
"""The least mean length of words; abbreviations in chats are shorter."""

WINDOW, UNKNOWN_IN_A_ROW = 6, 5
"""
The length of a run of words in an English text, and how many of them are unknown if it is in another
language.
"""

MAX_WORD: Final = 40
"""Letters of words that can be English."""

MAX_WORDS: Final = 200
"""The number of words that the library gets."""


class Language(NamedTuple):
    """
    The language of a text.

    Args:
        code: ISO 639-1, or ``und``.
        certain: Whether the text is long enough to determine it.
    """

    code: str
    certain: bool


SHORT: Final = Language(ENGLISH, certain=False)
"""The language of texts that are too short."""


def language_of(text: str, words: Sequence[str] | None = None) -> Language:
    """
    Return the language of a cleaned text; for several languages, one other than English.

    Args:
        text: A cleaned text.
        words: The normalized words, if they are known already.
    """
    if words is None:
        words = words_of(text)
    if not all(map(str.isascii, words)) and (by_alphabet := _by_alphabet(words)):
        return by_alphabet
    words = [word for word in words if word[0].isalpha()]
    letters = sum(map(len, words))
    words = [word for word in words if len(word) > 1]
    if letters < MIN_LETTERS or not words:
        return SHORT
    if len(words) <= FEW_WORDS and (by_words := _by_usual_words(text, words)):
        return by_words
    if _tells_nothing(text, words):
        return SHORT
    english = [len(word) <= MAX_WORD and _is_english(word) for word in words]
    known = sum(english)
    share = known / len(words)
    if share >= ENGLISH_SHARE:
        found = Language(ENGLISH, certain=True)
    else:
        found = _by_unknown_words(_as_written(text, words), share)
    if found.code == ENGLISH and len(words) - known >= UNKNOWN_IN_A_ROW:
        return _inside(words, english) or found
    return found


def _as_written(text: str, words: Sequence[str]) -> Sequence[str]:
    """
    Return the words with at least two letters as they are written; normalized if letters are disguised.

    Normalization removes accents, and reads swear words of some languages as English ones.
    """
    if not text.isascii():
        if not all(map(_is_latin, filter(str.isalpha, text))):
            return words
        text = unicodedata.normalize("NFC", text)
    return [word for word in WORD.findall(text.lower()) if word[0].isalpha() and len(word) > 1]


def _is_latin(letter: str) -> bool:
    """Return whether a letter is Latin, including letters of European languages and Vietnamese."""
    return letter <= "\u024f" or "\u1e00" <= letter <= "\u1eff"


def _by_unknown_words(words: Sequence[str], share: float) -> Language:
    """Return the language by the library, for texts with a low share of English words."""
    code, sure = _by_library(words)
    if share >= DOUBTFUL_SHARE and (not sure or len(words) < MANY_WORDS):
        code = ENGLISH
    elif code in {ENGLISH, UNKNOWN}:
        other = share < DOUBTFUL_SHARE and (
            _many_accents(words)
            or (code == UNKNOWN and len(words) >= MANY_WORDS)
            or _hardly_any(words, share)
        )
        code = UNKNOWN if other else ENGLISH
        sure = sure and not other
    return Language(code, certain=sure)


def _hardly_any(words: Sequence[str], share: float) -> bool:
    """Return whether hardly any of the words are English, and they are not abbreviations."""
    long = sum(map(len, words)) >= USUAL_LENGTH * len(words)
    return share <= HARDLY_ANY and len(words) >= SOME_WORDS and long


def _inside(words: Sequence[str], english: Sequence[bool]) -> Language | None:
    """Return the language of a run of foreign words in an English text."""
    unknown = [not known for known in english]
    count = sum(unknown[:WINDOW])
    for end in range(WINDOW, len(words) + 1):
        if count >= UNKNOWN_IN_A_ROW:
            begin = end - WINDOW
            code, sure = _by_library(words[begin : end + WINDOW])
            if sure and code not in {ENGLISH, UNKNOWN}:
                return Language(code, certain=False)
        if end < len(words):
            count += unknown[end] - unknown[end - WINDOW]
    return None


def _tells_nothing(text: str, words: Sequence[str]) -> bool:
    """Return whether a text is too short or no prose: a word or two, a key, a name."""
    if len(words) < MIN_WORDS:
        # Two words with accents that English does not have are enough.
        return text.isascii() or _is_title(text) or any(map(is_word, words))
    if text.isascii() and len(text.split(maxsplit=MIN_WORDS)) < MIN_WORDS:
        # A key, a path, or words without white space. Keys mix letters and digits, or have few letters.
        whole = [each for each in _PIECE.findall(text) if len(each) > _TWO]
        return len(whole) < MANY_WORDS or sum(map(len, whole)) < _PLAIN * len(text)
    # Names of people and places belong to no language.
    most = SOME_WORDS if text.isascii() else MIN_WORDS
    return len(words) <= most and _is_title(text) and not all(map(is_word, words))


def _is_title(text: str) -> bool:
    return " ".join(word for word in text.split() if word not in _PARTICLES).istitle()


_PARTICLES: Final = word_set("da de del della den der di do dos du el la le van von y zu al bin ibn")
"""Words inside names, in lower case."""


_PIECE: Final = re.compile(r"(?<![A-Za-z0-9])(?:[a-z]++|[A-Z][a-z]++|[A-Z]++)(?![A-Za-z0-9])")
_PLAIN: Final = 0.7
"""The least share of characters in words, in a text without white space that is no key."""


def _many_accents(words: Sequence[str]) -> bool:
    return sum(not word.isascii() for word in words) >= _TWO


def _by_usual_words(text: str, words: Sequence[str]) -> Language | None:
    """
    Return the judged language whose most common words make up a short text; usually None.

    Libraries make mistakes on a few words, some of which are in English dictionaries: "Das war gut", "la vida
    es bella".
    """
    written = _as_written(text, words)
    distinct = set(written)
    if distinct.isdisjoint(_USUAL_ANYWHERE):
        return None
    english = distinct & _USUAL_ENGLISH
    hits = {code: len(distinct & usual) for code, usual in _USUAL.items() if english <= usual}
    telling = {code: len((distinct - english) & _USUAL[code]) for code in hits}
    most = max(hits.values(), default=0)
    found = [code for code, count in hits.items() if count == most and telling[code] >= _TWO]
    if not found or most < (USUAL_SHARE if len(written) > _TWO else 1) * len(distinct):
        return None
    # Some words are common in two languages.
    code = found[0] if len(found) == 1 else _by_library(written)[0]
    return Language(code if code in found else found[0], certain=most >= MIN_WORDS)


@lru_cache(maxsize=1 << 15)
def _is_english(word: str) -> bool:
    if len(word) == _SHORTEST:
        return word in _TWO_LETTERS
    return (is_word(word) and word not in _ALSO_FOREIGN) or ("'" in word and is_word(word.partition("'")[0]))


_TWO: Final = 2


def _usual_words() -> dict[str, frozenset[str]]:
    lines = files(__package__).joinpath("data/usual_words.tsv").read_text(encoding="utf-8").splitlines()
    listed = (line.split("\t") for line in lines if not line.startswith("#"))
    # Many people leave accents out.
    return {code: word_set(words) | word_set(without_marks(words)) for code, words in listed}


_USUAL: Final = _usual_words()
_USUAL_ENGLISH: Final = _USUAL.pop(ENGLISH)
_USUAL_ANYWHERE: Final = frozenset().union(*_USUAL.values())

_SHORTEST: Final = 2
_TWO_LETTERS: Final = word_set(
    "am an as at be by do go he hi if in is it me my no of oh ok on or so to up us we tv pm uk"
)
_ALSO_FOREIGN: Final = word_set(
    "que les des une est pas par sur los las del por con una der das und den dem ein ist het een niet "
    "dat mais mes ses nos vos pour dans che non gli bien tout elle moi toi mon muy mas como para esta "
    "este ich sie wir ihr mit von auf aus bei nach vor wie haben voor naar ook wel nog maar geen zijn"
)
"""Words of other languages that English dictionaries contain, too, and that are rare in English."""


_ALPHABETS: Final = (
    # First and last letter, the most common language of the alphabet, and the number of Latin letters that
    # one is worth.
    (0x0370, 0x03FF, "el", 1), (0x0400, 0x052F, "ru", 1), (0x0530, 0x058F, "hy", 1),
    (0x0590, 0x05FF, "he", 1), (0x0600, 0x06FF, "ar", 1), (0x0750, 0x077F, "ar", 1),
    (0x0900, 0x097F, "hi", 1), (0x0980, 0x09FF, "bn", 1), (0x0A00, 0x0A7F, "pa", 1),
    (0x0A80, 0x0AFF, "gu", 1), (0x0B80, 0x0BFF, "ta", 1), (0x0C00, 0x0C7F, "te", 1),
    (0x0C80, 0x0CFF, "kn", 1), (0x0D00, 0x0D7F, "ml", 1), (0x0D80, 0x0DFF, "si", 1),
    (0x0E00, 0x0E7F, "th", 1), (0x0E80, 0x0EFF, "lo", 1), (0x0F00, 0x0FFF, "bo", 1),
    (0x1000, 0x109F, "my", 1), (0x10A0, 0x10FF, "ka", 1), (0x1100, 0x11FF, "ko", 2),
    (0x1200, 0x137F, "am", 2), (0x13A0, 0x13FF, "chr", 1), (0x1780, 0x17FF, "km", 1),
    (0x1F00, 0x1FFF, "el", 1), (0x3040, 0x30FF, "ja", 2), (0x3130, 0x318F, "ko", 2),
    (0x3400, 0x4DBF, "zh", 3), (0x4E00, 0x9FFF, "zh", 3), (0xAC00, 0xD7AF, "ko", 3),
    (0x20000, 0x323AF, "zh", 3),
)  # fmt: skip
_SIGNS_OF: Final = (
    ("uk", re.compile("[іїєґ]")),
    ("be", re.compile("ў")),
    ("sr", re.compile("[ђјљњћџ]")),
    ("fa", re.compile("[پچژگک]")),
)
"""Letters that only one language of an alphabet has."""

_BASE: Final = {"uk": "ru", "be": "ru", "sr": "ru", "fa": "ar"}


@cache
def _alphabet(character: str) -> tuple[str, int] | None:
    code = ord(character)
    for first, last, language, worth in _ALPHABETS:
        if first <= code <= last:
            return language, worth
    if code < _FIRST_FOREIGN or not character.isalpha():
        return None
    name = unicodedata.name(character, "")
    return None if any(part in name for part in _LATIN_NAMES) else (UNKNOWN, 1)


_FIRST_FOREIGN: Final = 0x0370
_LATIN_NAMES: Final = ("LATIN", "MODIFIER", "MATHEMATICAL", "FULLWIDTH", "SIGN", "SYMBOL", "ORDINAL")


def _by_alphabet(words: Sequence[str]) -> Language | None:
    """
    Return the language of the most frequent alphabet, or of a whole word; None if that is Latin.

    A single character is no word.
    """
    counts: Counter[str] = Counter()
    latin = longest = 0
    for word in words:
        if word.isascii():
            latin += len(word)
            continue
        inside = 0
        for character in filter(str.isalpha, word):
            if found := _alphabet(character):
                counts[found[0]] += found[1]
                inside += found[1]
            else:
                latin += 1
        longest = max(longest, inside)
    foreign = sum(counts.values())
    if foreign <= latin and longest < FOREIGN_WORD:
        return None
    # Japanese uses Chinese characters as well.
    code = "ja" if counts["ja"] and counts["ja"] + counts["zh"] > foreign / 2 else counts.most_common(1)[0][0]
    if any(code == base for base in _BASE.values()):
        letters = "".join(words)
        for special, signs in _SIGNS_OF:
            if _BASE[special] == code and signs.search(letters):
                code = special
                break
    return Language(code, certain=foreign > latin and foreign >= MIN_LETTERS // 2)


def _by_library(words: Sequence[str]) -> tuple[str, bool]:
    """Return the language by the library, and whether it is sure."""
    text = " ".join(words[:MAX_WORDS])
    detect = _detector()
    if detect is None:
        return UNKNOWN, False
    try:
        sure, _, found = detect(text, bestEffort=True)
    except ValueError:
        # The library raises an error for characters that are no text.
        return UNKNOWN, False
    code = found[0][1]
    if code == "af" and _AFRIKAANS.isdisjoint(words):
        code = "nl"
    return _SAME.get(code, code), bool(sure)


_AFRIKAANS: Final = word_set("ek nie jy hulle baie julle hy 'n vir")
"""Afrikaans words that Dutch does not have; the library takes Dutch for Afrikaans."""

_SAME: Final = {
    "un": UNKNOWN,
    "xxx": UNKNOWN,
    "sco": ENGLISH,
    "la": ENGLISH,
    "iw": "he",
    "zh-Hant": "zh",
    "nb": "no",
    "nn": "no",
    "co": "it",
    "rm": "it",
}
"""Codes that are replaced: synonyms, and dialects that the library reports for short texts."""


@cache
def _detector() -> Any:
    """Return CLD2's function; None if there is no build of the library for this system."""
    try:
        import pycld2  # noqa: PLC0415  (not to be had on every platform)
    except ImportError:
        return None
    return pycld2.detect
