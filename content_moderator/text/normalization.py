"""
Normalizes texts: returns the words that a person reads, also when they are disguised.

The embedded model, listed terms and remote models all use this one implementation. Every step takes time
linear in the text's length.
"""

import html
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Final, NamedTuple

from content_moderator.text.cleaning import visible_places, with_gaps, without_invisible
from content_moderator.text.dictionary import is_word
from content_moderator.text.edits import Edit, Step, Traced, apply, replacing, trace
from content_moderator.text.leetspeak import MIXED_TOKEN, Leetspeak
from content_moderator.text.lookalike import flags, latinise, upside_down
from content_moderator.text.repair import Repairs, harsh_words, spellings
from content_moderator.text.spacing import cost_of, is_frequent, words_in
from content_moderator.text.stretched_words import StretchedWordMatcher

MIN_REPAIRED: Final = 5
"""
The least length of listed words that are found with split, starred or doubled letters: "as s" is no term.
"""

MAX_EXPANSION: Final = 4
"""The largest expansion of one character under NFKC; characters that expand more are dropped."""


class WordSpan(NamedTuple):
    """A normalized word and its position in the text as sent, in code points."""

    word: str
    begin: int
    end: int


class WordNormalizer:
    """
    Returns the words of texts in lower case and without disguises.

    Args:
        listed: Words of listed terms, which are preferred to English words. None for the harsh words of the
            embedded model, which are found in more disguises.
        unstretch: Whether a letter that is repeated three times or more counts as one.
        abbreviations: Whether "u" and "stfu" are expanded. Only the embedded model needs that.
    """

    def __init__(
        self, listed: Iterable[str] | None = None, *, unstretch: bool = True, abbreviations: bool = False
    ) -> None:
        words = frozenset(() if listed is None else listed)
        self._known = StretchedWordMatcher(words)
        self._repairs = Repairs(
            harsh_words() if listed is None else (word for word in words if len(word) >= MIN_REPAIRED),
            misspelt=listed is None,
            spellings=spellings() if abbreviations else {},
            unstretched=self._unstretched if unstretch else None,
        )
        self._foreign: list[Step] = [self._upside_down, self._flags, self._latinise]
        self._spaced: list[Step] = [
            replacing(_SPACED, self._join_letters),
            replacing(_LONE_IDEOGRAPHS, lambda run: _BETWEEN_IDEOGRAPHS.sub("", run[0])),
        ]
        self._signs: list[Step] = [
            replacing(_STARRED, self._unstar),
            replacing(MIXED_TOKEN, Leetspeak(self._known, english=listed is None).undo),
        ]

    def words(self, text: str) -> list[str]:
        """Return the words and emoji of a text, in lower case."""
        text = without_invisible(text)
        if not text.isascii():
            text = text.translate(_TYPOGRAPHY)
        if not text.isascii():
            text = apply(text, _compose(text))
            for step in self._foreign:
                text = apply(text, step(text))
        # Most texts have no capitals except the first letter, which is a fast check.
        if not text[1:].islower() and _CAMEL.search(text):
            text = apply(text, _camel(text))
        text = text.lower() if text.isascii() else text.casefold()
        word = _ASCII_WORD if text.isascii() else WORD
        words = word.findall(text)
        # The next steps find nothing in a text without lone letters or signs.
        alone = _has_lone_letters(words)
        signs = _SIGN.search(text) or ("!" in text and _SIGN_BEFORE_LETTER.search(text))
        if alone or signs:
            for step in (*(self._spaced if alone else ()), *(self._signs if signs else ())):
                text = apply(text, step(text))
            words = word.findall(text)
        return self._repairs.words_of(words)

    def spans(self, text: str) -> list[WordSpan]:
        r"""
        Return the same words as `words`, with their positions.

        "B A D  id\u200bea" gives "bad" and "idea"; each span covers all characters that form the word.
        """
        gapped = with_gaps(text)
        traced = trace(Traced.of(gapped), _hidden(gapped, visible_places(text)))
        traced = trace(traced, _typography(traced.text))
        foreign = () if traced.text.isascii() else (_compose, *self._foreign)
        for step in (*foreign, _camel, _small_letters):
            traced = trace(traced, step(traced.text))
        spaced = self._spaced if _has_lone_letters(WORD.findall(traced.text)) else ()
        for step in (*spaced, *self._signs):
            traced = trace(traced, step(traced.text))
        found = [
            WordSpan(each[0], traced.begins[each.start()], traced.ends[each.end() - 1])
            for each in WORD.finditer(traced.text)
        ]
        return [
            WordSpan(word, found[each.first].begin, found[each.behind - 1].end)
            for each in self._repairs.places([place.word for place in found])
            for word in each.words
        ]

    def _is_known(self, word: str) -> bool:
        return word in self._known or is_word(word)

    def _upside_down(self, text: str) -> list[Edit]:
        return upside_down(text, self._is_known)

    def _flags(self, text: str) -> list[Edit]:
        return flags(text, self._is_known)

    def _latinise(self, text: str) -> list[Edit]:
        return latinise(text, self._is_known)

    def _join_letters(self, run: re.Match[str]) -> str:
        return words_in(run[0].replace(run[1], ""), self._known)

    def _unstar(self, token: re.Match[str]) -> str:
        return self._repairs.starred(token[0]) or token[0]

    def _unstretched(self, word: str) -> str:
        if found := self._known.unstretched(word):
            return found
        single, double = STRETCHED.sub(r"\1", word), STRETCHED.sub(r"\1\1", word)
        if cost_of(single) != cost_of(double):
            return min(single, double, key=cost_of)
        return double if is_word(double) and not is_word(single) else single


@cache
def _embedded_normalizer() -> WordNormalizer:
    """Return the normalizer of the embedded model."""
    return WordNormalizer(abbreviations=True)


def normalise(text: str) -> str:
    """Return the normalized words of a text, separated by single spaces."""
    return " ".join(_embedded_normalizer().words(text))


def words_of(text: str) -> list[str]:
    """Return the normalized words of a text; see `WordNormalizer.words`."""
    return _embedded_normalizer().words(text)


def word_spans(text: str) -> list[WordSpan]:
    """Return the normalized words of a text with their positions; see `WordNormalizer.spans`."""
    return _embedded_normalizer().spans(text)


def may_have_markup(text: str) -> bool:
    """Return whether a text has signs that can be mark-up."""
    return _MARKUP_SIGN.search(text) is not None


def without_markup(text: str) -> Traced | None:
    """
    Return a text without HTML, BBCode and Markdown marks inside words, and with entities decoded.

    It is used in addition to the text itself. None if there is no mark-up.
    """
    if not may_have_markup(text):
        return None
    traced = Traced.of(text)
    for step in (_ENTITIES, _TAGS, _PERCENT, _EMPHASIS):
        traced = trace(traced, step(traced.text))
    return traced if traced.text != text else None


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded in UTF-8; lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def mostly_latin(text: str) -> bool:
    """Return whether most letters of a composed text are Latin rather than of similar alphabets."""
    if not _LOOKALIKE_SCRIPT.search(text):
        return True
    return len(_LATIN.findall(text)) >= len(_LOOKALIKE_SCRIPT.findall(text))


def compose(text: str) -> str:
    """Compose a text to Unicode NFKC, without characters that expand too much."""
    return unicodedata.normalize("NFKC", _OVERSIZED.sub(" ", text))


def _compose(text: str) -> list[Edit]:
    """Return the edits that compose characters and drop ornaments."""
    if text.isascii():
        return []
    edits: list[Edit] = []
    for run in _COMPOSED.finditer(text):
        new = _ADORNING.sub(
            "", compose(_ADORNING.sub("", _MARKS_OF_TRADE.sub(" ", run[0]))).translate(_TYPOGRAPHY)
        )
        if new != run[0]:
            edits.append(Edit(run.start(), run.end(), new))
    return edits


def _has_lone_letters(words: list[str]) -> bool:
    """Return whether words can be spaced letters: three lone letters, not all words, or two ideographs."""
    lone = list(map(len, words)).count(1)
    if lone < _MIN_IDEOGRAPHS:
        return False
    odd = sum(len(word) == 1 and word not in _ONE_LETTER_WORDS for word in words)
    return odd > 0 and (lone >= _MIN_LONE or not all(map(str.isascii, words)))


def _typography(text: str) -> list[Edit]:
    if text.isascii():
        return []
    plain = text.translate(_TYPOGRAPHY)
    pairs = enumerate(zip(text, plain, strict=True))
    return [Edit(place, place + 1, new) for place, (old, new) in pairs if old != new]


def _hidden(text: str, kept: Iterable[int]) -> list[Edit]:
    visible = set(kept)
    return [Edit(place, place + 1, "") for place in range(len(text)) if place not in visible]


def _camel(text: str) -> list[Edit]:
    """Return the edits that separate words in camel case: "GoAwayNow", but not "iPhone" or "CaSiNo"."""
    edits: list[Edit] = []
    for token in _CAMEL_TOKEN.finditer(text):
        parts = _CAMEL_PART.findall(token[0])
        if len(token[0]) < _MIN_CAMEL * len(parts) or len(parts) == 1:
            continue
        if all(len(part) > 1 for part in parts) and all(is_frequent(part.lower()) for part in parts):
            edits += (
                Edit(token.start() + place, token.start() + place, " ")
                for place in [found.start() for found in _CAMEL_PART.finditer(token[0])][1:]
            )
    return edits


def _small_letters(text: str) -> list[Edit]:
    return [
        Edit(run.start(), run.end(), new)
        for run in _TOKEN.finditer(text)
        if (new := run[0].casefold()) != run[0]
    ]


def _ideographs(begin: int, end: int) -> str:
    return f"{chr(begin)}-{chr(end)}"


_OVERSIZED: Final = re.compile(
    # Each expands to more than MAX_EXPANSION characters under NFKC. U+FDFA expands to 18: a few thousand of
    # it would be a cheap attack.
    "[\u321d\u321e\u327c\u3300\u3302\u3304\u3307\u3313\u3315\u3316\u3317\u3319"
    "\u331a\u3320\u3321\u332b\u332d\u332e\u3332\u3334\u3336\u333b\u333d\u3340"
    "\u3347\u334a\u334c\u3354\u3356\u33ae\u33af\ufdfa\ufdfb]"
)
_TYPOGRAPHY: Final = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b\u02bc\u02bb\u02b9\u2032\u055a\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015", "-")
    | {"\u2026": ".", "\u00a0": " ", "\u2022": "*"}
)
"""Typographic signs and their plain forms."""
_ADORNING: Final = re.compile("[\u0640\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\ufffd]")
_MARKS_OF_TRADE: Final = re.compile("[\u2122\u2120\u2117]")
_COMPOSED: Final = re.compile(r"[^\s\x80-\U0010ffff]?[^\x00-\x7f]+")
_LATIN: Final = re.compile(r"[A-Za-z]")
_LOOKALIKE_SCRIPT: Final = re.compile(r"[\u0370-\u052f\u0530-\u058f\u13a0-\u13ff]")
_TOKEN: Final = re.compile(r"\S+")

_CAMEL: Final = re.compile(r"[a-z][A-Z]")
_CAMEL_TOKEN: Final = re.compile(r"(?<![A-Za-z])[A-Z]?[a-z]++(?:[A-Z][a-z]*+)++")
_CAMEL_PART: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]")
_MIN_CAMEL: Final = 3
"""The least mean length of the parts."""

# Three or more lone letters with the same separator of one to three characters. The pattern ends with its
# repeated part, so that it cannot backtrack; a check after that part would take quadratic time.
_LONE: Final = r"(?<![^\W_])[a-z](?![^\W_])"
_MIN_LONE: Final = 3
_MIN_IDEOGRAPHS: Final = 2
_ONE_LETTER_WORDS: Final = frozenset("ia")
_SPACED: Final = re.compile(rf"{_LONE}([\W_]{{1,3}}?){_LONE}(?:\1{_LONE})+")

_HAN: Final = "".join(
    (_ideographs(0x3400, 0x4DBF), _ideographs(0x4E00, 0x9FFF), _ideographs(0x20000, 0x323AF), "\u3005")
)
_LONE_IDEOGRAPHS: Final = re.compile(rf"(?<![{_HAN}])[{_HAN}](?:[^\w\n]{{1,2}}[{_HAN}](?![{_HAN}]))+")
_BETWEEN_IDEOGRAPHS: Final = re.compile(rf"[^{_HAN}]+")

_STARRED: Final = re.compile(r"(?<![a-z*#%&^])[a-z]++[*#%&^]++[a-z]*+(?![*#%&^])")

STRETCHED: Final = re.compile(r"([a-z])\1{2,}")
_SIGN: Final = re.compile(r"[0-9@$|+*#%&^]")
_SIGN_BEFORE_LETTER: Final = re.compile(r"![a-z]")

_EMOJI: Final = (
    "\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001f1e5\U0001f200-\U0001faff"
)


def _mark_ranges() -> str:
    """Return the ranges of combining marks, for a character class."""
    codes = [code for code in range(0x300, 0x20000) if unicodedata.category(chr(code)) in {"Mn", "Mc"}]
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(begin)}-{chr(end)}" for begin, end in ranges)


_WORD_CHARACTER: Final = rf"(?:[^\W_]|[{_mark_ranges()}])"
WORD: Final = re.compile(
    rf"{_WORD_CHARACTER}++(?:'(?:t|re|ve|ll|m|d)(?![^\W_]))?|[\U0001f1e6-\U0001f1ff]{{1,2}}|[{_EMOJI}]"
)

_ASCII_WORD: Final = re.compile(r"[a-z0-9]++(?:'(?:t|re|ve|ll|m|d)(?![a-z0-9]))?")
"""The same for ASCII, which is three times as fast."""

_MARKUP_SIGN: Final = re.compile(r"[&<\[%*_~`|]")
_ENTITIES: Final = replacing(
    re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,31}[0-9]{0,2});?"),
    lambda found: html.unescape(found[0]),
)
_TAGS: Final = replacing(
    re.compile(r"</?[a-zA-Z!][^<>]{0,200}>|\[/?[a-zA-Z*][^\[\]\n]{0,100}\]"), lambda _: ""
)
_PERCENT: Final = replacing(
    re.compile(r"(?<=[a-zA-Z])%[46][1-9a-fA-F]|%[57][0-9aA](?=[a-zA-Z])"),
    lambda found: chr(int(found[0][1:], 16)),
)
_EMPHASIS: Final = replacing(
    re.compile(
        r"(?<=[^\W_])(?:\*{1,3}|_{1,3}|~~|\|\||`+)(?=[^\W_])|(?<![^\W_])(?:\*{1,3}|_{1,3}|~~)(?=[^\W_])"
    ),
    lambda _: "",
)
