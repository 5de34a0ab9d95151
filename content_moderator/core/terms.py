"""Terms that a community does not want, or does not mind, however they are written."""

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import ahocorasick

from content_moderator.core.alignment import places_of_words
from content_moderator.core.known import Known
from content_moderator.core.text import REWRITES, STRETCHED, normalise, rewrites_knowing, words_of

TermAction = Literal["allow", "review", "block"]

_SEVERITY: Final = ("allow", "review", "block")
_ANY_LETTERS: Final = "*"
_MASK: Final = " "


class Match(NamedTuple):
    """
    A term that stands in a text.

    Args:
        term: As it is listed.
        action: What follows.
    """

    term: str
    action: TermAction


@dataclass(frozen=True, slots=True)
class Reading:
    """
    A cleaned text as one policy reads it.

    Args:
        text: What the classifier is to see: allowed terms are blanked, so that every place stays the same.
        matches: The terms for review and for block, each once, in the order of the text.
        masked: Whether anything is blanked.
        exempt: Whether nothing but allowed terms is there: the classifier sees them, and no score counts.
    """

    text: str
    matches: tuple[Match, ...] = ()
    masked: bool = False
    exempt: bool = False


class _Found(NamedTuple):
    """A match, and the first and the last of the words that it covers."""

    match: Match
    first: int
    last: int


class Terms:
    """
    Finds thousands of terms in one pass over a text.

    Texts and terms are compared as `normalise` makes them, word by word: case, punctuation between words and
    the usual disguises do not matter. A ``*`` at an end of a term stands for any letters there.

    Args:
        listed: Terms by what is to follow.
    Raises:
        ValueError: A term has no word, or stands in two lists; the message names it.

    Source:
        A. V. Aho and M. J. Corasick, "Efficient string matching: an aid to bibliographic search" (1975).
    """

    def __init__(self, listed: Mapping[TermAction, Iterable[str]]) -> None:
        known: dict[str, Match] = {}
        for action in _SEVERITY:
            for term in listed.get(action, ()):
                pattern = pattern_of(term)
                other = known.setdefault(pattern, Match(term, action))
                if other.action != action:
                    raise ValueError(f"{term!r} is also in {other.action}, as {other.term!r}")
        self.count = len(known)
        self.listed = {action: tuple(listed.get(action, ())) for action in _SEVERITY}
        self._rewrites = rewrites_knowing(Known(word for pattern in known for word in pattern.split()))
        self._automaton: Any = ahocorasick.Automaton()
        for pattern, match in known.items():
            self._automaton.add_word(pattern, (pattern, match))
        if known:
            self._automaton.make_automaton()

    def read(self, text: str) -> Reading:
        """Read a cleaned text."""
        if not self.count:
            return Reading(text)
        found = sorted(self._find(text), key=lambda each: each.last)
        allowed = [each for each in found if each.match.action == "allow"]
        reach = _reach(allowed)
        matches = dict.fromkeys(
            each.match for each in found if each.match.action != "allow" and reach(each.first) < each.last
        )
        if not allowed:
            return Reading(text, tuple(matches))
        masked = self._without(text, allowed)
        if words_of(normalise(masked)):
            return Reading(masked, tuple(matches), masked=True)
        return Reading(text, tuple(matches), masked=True, exempt=True)

    def _find(self, text: str) -> Iterator[_Found]:
        normalised = normalise(text, self._rewrites[:-1])
        yield from self._find_among(normalised)
        if STRETCHED.search(normalised):
            # Both ways: "kkk" is a term, and in "freeee" is one.
            pattern, unstretch = self._rewrites[-1]
            yield from self._find_among(pattern.sub(unstretch, normalised))

    def _find_among(self, normalised: str) -> Iterator[_Found]:
        words = words_of(normalised)
        places: Sequence[int] = range(len(words))
        if "_" in normalised:
            parts = [(part, place) for place, word in enumerate(words) for part in _parts(word)]
            words, places = [part for part, _ in parts], [place for _, place in parts]
        joined = f" {' '.join(words)} "
        hits = [(end, *value) for end, value in self._automaton.iter(joined)]
        spaces = [place for place, character in enumerate(joined) if character == " "] if hits else []
        for end, pattern, match in hits:
            begin = end + 1 - len(pattern.lstrip())
            first = bisect.bisect(spaces, begin) - 1
            yield _Found(match, places[first], places[first + pattern.strip().count(" ")])

    def _without(self, text: str, found: Iterable[_Found]) -> str:
        """Blank the words that were found."""
        places = places_of_words(text, self._rewrites)
        characters = list(text)
        for each in found:
            begin, end = places[each.first].begin, places[each.last].end
            characters[begin:end] = _MASK * (end - begin)
        return "".join(characters)


def _reach(found: Iterable[_Found]) -> Callable[[int], int]:
    """Tell for a word how far those reach that begin there or before: what ends no later is inside one."""
    firsts: list[int] = []
    lasts: list[int] = []
    for each in sorted(found, key=lambda each: each.first):
        firsts.append(each.first)
        lasts.append(max(each.last, lasts[-1] if lasts else each.last))
    return lambda word: lasts[place - 1] if (place := bisect.bisect(firsts, word)) else -1


def _parts(word: str) -> list[str]:
    """Divide a word at underscores, which are letters to regular expressions and not to people."""
    return list(filter(None, word.split("_")))


def pattern_of(term: str) -> str:
    """
    Make what is looked for among the words of a text, which stand between single spaces.

    Raises:
        ValueError: The term has no word.
    """
    # Letters that stand in a row stay: "kkk" is a term, and "k" is another.
    normalised = normalise(term.strip(_ANY_LETTERS), REWRITES[:-1])
    words = [part for word in words_of(normalised) for part in _parts(word)]
    if not words:
        raise ValueError(f"{term!r} has no letter, digit or emoji")
    before = "" if term.startswith(_ANY_LETTERS) else " "
    behind = "" if term.endswith(_ANY_LETTERS) else " "
    return f"{before}{' '.join(words)}{behind}"
