"""Repairs misspelt, split and starred words."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, NamedTuple

from content_moderator.text.dictionary import in_dictionary, is_word, word_set
from content_moderator.text.spacing import is_frequent, words_in

MIN_LETTERS: Final = 4
CACHED_WORDS: Final = 1 << 15
MAX_CACHED_LETTERS: Final = 40
"""Longer words are not cached, because a few of them could fill the memory."""

MIN_GLUED: Final = 6
MAX_GLUED: Final = 40


class _LongWordError(Exception):
    """A word is too long to be cached."""


class Repaired(NamedTuple):
    """Repaired words, and the range of words of the text that they replace: from *first* up to *behind*."""

    words: tuple[str, ...]
    first: int
    behind: int


class Repairs:
    """
    Finds known words that are split, starred, doubled, swapped or misspelt.

    Args:
        words: The known words, in lower case; those with fewer than ``MIN_LETTERS`` are ignored.
        misspelt: Whether common misspellings and joined words are repaired as well.
        spellings: Further words and their replacements.
        unstretched: Returns the plain form of a word with stretched letters; None to keep such words.
    """

    def __init__(
        self,
        words: Iterable[str],
        *,
        misspelt: bool,
        spellings: Mapping[str, str] = MappingProxyType({}),
        unstretched: Callable[[str], str] | None = None,
    ) -> None:
        self._words = frozenset(word for word in words if len(word) >= MIN_LETTERS and word.isalpha())
        self._misspelt = misspelt
        self._unstretched = unstretched
        self._spellings = spellings
        self._shapes: dict[str, str] = {}
        for word in sorted(self._words, key=len):
            self._shapes.setdefault(_shape(word), word)
        self._variants = self._all_variants() if misspelt else {}
        self._starred: dict[str, str] = dict(_STARRED) if misspelt else {}
        for word in sorted(self._words, key=len):
            for key in _with_stars(word):
                self._starred.setdefault(key, word)
        self._read = lru_cache(maxsize=CACHED_WORDS)(self._read_usual)

    def words_of(self, words: list[str]) -> list[str]:
        """Return the repaired words, without their positions; see `places`."""
        try:
            odd = list(map(self._read, words))
        except _LongWordError:
            odd = list(map(self._read_any, words))
        if not any(odd):
            return words
        mine = self._words
        found: list[str] = []
        before = ""
        for word, instead, following in zip(words, odd, [*words[1:], ""], strict=True):
            if word + following in mine and following:
                return [each for repaired in self.places(words) for each in repaired.words]
            if instead and not _is_distance(before, word):
                found += instead
            else:
                found.append(word)
            before = word
        return found

    def places(self, words: Sequence[str]) -> list[Repaired]:
        """Return the words of a text, in order and repaired."""
        found: list[Repaired] = []
        behind = -1
        for place, word in enumerate(words):
            if place < behind:
                continue
            behind = place + 1
            if behind < len(words) and self._is_split(word, words[behind]):
                behind += 1
                found.append(Repaired((word + words[place + 1],), place, behind))
            else:
                instead = (
                    None if _is_distance(words[place - 1] if place else "", word) else self._read_any(word)
                )
                found.append(Repaired(instead or (word,), place, behind))
        return found

    def starred(self, written: str) -> str | None:
        """Return the word that *written* is with some letters starred out; None if there is none."""
        if _INITIALS.fullmatch(written):
            return None
        return self._starred.get(_STARS.sub("*", written))

    def _is_split(self, word: str, following: str) -> bool:
        return word + following in self._words and not (in_dictionary(word) and in_dictionary(following))

    def _read_usual(self, word: str) -> tuple[str, ...] | None:
        if len(word) > MAX_CACHED_LETTERS:
            raise _LongWordError
        return self._read_word(word)

    def _read_any(self, word: str) -> tuple[str, ...] | None:
        return self._read(word) if len(word) <= MAX_CACHED_LETTERS else self._read_word(word)

    def _read_word(self, word: str) -> tuple[str, ...] | None:  # noqa: PLR0911  (one for each kind of repair)
        """
        Return the words that *word* stands for, possibly itself; None if it is a word of the dictionary or no
        word.
        """
        if word in self._spellings:
            return tuple(self._spellings[word].split())
        if not (word.isascii() and word.isalpha()) or word in self._words or in_dictionary(word):
            return None
        if self._unstretched and _STRETCHED.search(word):
            return self._read_word(self._unstretched(word)) or (self._unstretched(word),)
        if len(word) < MIN_LETTERS or is_frequent(word):
            return (word,)
        if word in self._variants:
            return (self._variants[word],)
        if (shaped := self._shapes.get(_shape(word))) and len(word) > len(shaped):
            return (shaped,)
        return (self._misspelt and self._glued(word)) or (word,)

    def _glued(self, word: str) -> tuple[str, ...] | None:
        if not MIN_GLUED <= len(word) <= MAX_GLUED:
            return None
        parts = words_in(word, self._words).split()
        if len(parts) < _TWO or not all(map(self._is_part, parts)):
            return None
        strong = sum(part in _STRONG or (part in self._words and part not in _COMPANIONS) for part in parts)
        telling = strong + sum(part in _COMPANIONS for part in parts)
        enough = telling >= _TWO
        return tuple(parts) if strong and enough else None

    def _is_part(self, part: str) -> bool:
        return part in {"i", "a", "u"} or (len(part) > 1 and (part in self._words or is_frequent(part)))

    def _all_variants(self) -> dict[str, str]:
        """Return words by their common misspellings: letters swapped, missing, or with the same sound."""
        found: dict[str, str] = {}
        for word in sorted(self._words, key=len):
            for variant in _misspellings(word):
                if len(variant) >= MIN_LETTERS and variant not in self._words and not is_word(variant):
                    found.setdefault(variant, word)
        return found


@cache
def spellings() -> Mapping[str, str]:
    """Return the replacements of abbreviations and of spellings that no rule covers."""
    lines = files(__package__).joinpath("data/spellings.tsv").read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))


@cache
def harsh_words() -> frozenset[str]:
    """Return the words that the embedded model finds in all disguises."""
    lines = files(__package__).joinpath("data/harsh_words.txt").read_text(encoding="ascii").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


_TWO: Final = 2
_STRETCHED: Final = re.compile(r"([a-z])\1\1")
_STARS: Final = re.compile("[*#%&^]")
_INITIALS: Final = re.compile("[a-z]&[a-z]s?")
"""Matches words such as R&B."""

MAX_BEHIND_A_STAR: Final = 3
"""The largest number of letters that one star stands for."""

_STARRED: Final = {
    "f***": "fuck",
    "s***": "shit",
    "b****": "bitch",
    "c***": "cunt",
    "s*x": "sex",
    "a*s": "ass",
}
"""Words that are understood even if only one letter is shown."""

_COMPANIONS: Final = word_set(
    "you your yourself urself him her them me myself off up go ass eat shut damn hell"
)
"""Words that show, next to a harsh word, that two words were joined."""

_STRONG: Final = word_set("kill die hang hate dumb fat ugly stupid hurt suck sucks")

_ALIKE: Final = (
    ("ck", "k"), ("ck", "c"), ("ck", "cc"), ("c", "k"), ("k", "c"), ("f", "ph"), ("s", "z"), ("i", "y"),
    ("y", "i"), ("u", "oo"), ("u", "v"), ("oo", "u"), ("er", "a"), ("ing", "in"), ("i", "ee"), ("i", "e"),
    ("ss", "zz"), ("ss", "s"),
)  # fmt: skip
"""Letters that replace others."""


def _shape(word: str) -> str:
    return "".join(letter for letter, _ in itertools.groupby(word))


def _is_distance(before: str, word: str) -> bool:
    """Return whether "kms" is a distance, as in "12 kms"."""
    return word == "kms" and (before.isdecimal() or before in {"few", "many", "km", "some", "of", "or", "in"})


def _with_stars(word: str) -> Iterator[str]:
    """Yield the forms of a word with consecutive letters starred out, each by one star or all by one."""
    for begin in range(1, len(word)):
        for end in range(begin + 1, len(word) + 1):
            if end - begin <= len(word) - 2:
                for stars in {1 if end - begin <= MAX_BEHIND_A_STAR else end - begin, end - begin}:
                    yield f"{word[:begin]}{'*' * stars}{word[end:]}"


def _misspellings(word: str) -> set[str]:
    inner = range(1, len(word) - 1)
    swapped = {word[:place] + word[place + 1] + word[place] + word[place + 2 :] for place in inner}
    without = {word[:place] + word[place + 1 :] for place in inner}
    alike = {word.replace(old, new, 1) for old, new in _ALIKE}
    return swapped | without | alike
