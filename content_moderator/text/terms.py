"""Finds the listed terms of a policy in a text, in any spelling."""

import bisect
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import ahocorasick

from content_moderator.domain.action import Action
from content_moderator.domain.errors import ConfigurationError
from content_moderator.text.normalization import STRETCHED, WordNormalizer, without_markup

_ANY_LETTERS: Final = "*"
_MASK: Final = " "


class Match(NamedTuple):
    """
    A listed term that was found in a text.

    Args:
        term: The term as it is listed.
        action: The action of the list.
    """

    term: str
    action: Action


@dataclass(frozen=True, slots=True)
class ScreenedText:
    """
    A cleaned text, screened for the listed terms of one policy.

    Args:
        text: The text for the classifier: allowed terms are blanked, and positions stay the same.
        matches: The terms for review and block, each once, in the order of the text.
        masked: Whether anything is blanked.
        exempt: Whether the text has only allowed terms: then the classifier gets them, and no score counts.
    """

    text: str
    matches: tuple[Match, ...] = ()
    masked: bool = False
    exempt: bool = False


class _Found(NamedTuple):
    """A match, and the indexes of its first and last word."""

    match: Match
    first: int
    last: int


class Terms:
    """
    Finds thousands of listed terms in one pass over a text.

    Texts and terms are compared word by word after normalization, so that case, punctuation between words and
    the usual disguises do not matter. A ``*`` at an end of a term stands for any letters there.

    Args:
        listed: Terms by action.
    Raises:
        ValueError: A term has no word, or is listed for two actions; the message names the term.

    Source:
        A. V. Aho and M. J. Corasick, "Efficient string matching: an aid to bibliographic search" (1975).
    """

    def __init__(self, listed: Mapping[Action, Iterable[str]]) -> None:
        known: dict[str, Match] = {}
        for action in Action:
            for term in listed.get(action, ()):
                pattern = pattern_of(term)
                other = known.setdefault(pattern, Match(term, action))
                if other.action != action:
                    raise ValueError(f"{term!r} is also in {other.action}, as {other.term!r}")
        self.count = len(known)
        self.listed = {action: tuple(listed.get(action, ())) for action in Action}
        words = {word for pattern in known for word in pattern.split()}
        self._normalizer = WordNormalizer(words, unstretch=False)
        # Both forms are searched: "kkk" is a term itself, and "freeee" contains the term "free".
        self._unstretching = WordNormalizer(words)
        self._automaton: Any = ahocorasick.Automaton()
        for pattern, match in known.items():
            self._automaton.add_word(pattern, (pattern, match))
            if (bare := pattern.replace("'", "")) not in known:
                self._automaton.add_word(bare, (bare, match))
        if known:
            self._automaton.make_automaton()

    def screen(self, text: str) -> ScreenedText:
        """Screen a cleaned text."""
        if not self.count:
            return ScreenedText(text)
        matches, allowed = self._matches(text)
        if further := without_markup(text):
            matches |= self._matches(further.text)[0]
        if not allowed:
            return ScreenedText(text, tuple(matches))
        masked = self._without(text, allowed)
        if self._normalizer.words(masked):
            return ScreenedText(masked, tuple(matches), masked=True)
        return ScreenedText(text, tuple(matches), masked=True, exempt=True)

    def _matches(self, text: str) -> tuple[dict[Match, None], list[_Found]]:
        """Return the terms for review and block, in order, and the allowed ones."""
        found = sorted(self._find(text), key=lambda each: each.last)
        allowed = [each for each in found if each.match.action is Action.ALLOW]
        reach = _reach(allowed)
        harmful = (
            each for each in found if each.match.action is not Action.ALLOW and reach(each.first) < each.last
        )
        return dict.fromkeys(each.match for each in harmful), allowed

    def _find(self, text: str) -> Iterator[_Found]:
        words = self._normalizer.words(text)
        yield from self._find_among(words)
        if any(map(STRETCHED.search, words)):
            yield from self._find_among(self._unstretching.words(text))

    def _find_among(self, words: Sequence[str]) -> Iterator[_Found]:
        joined = f" {' '.join(words)} "
        hits = [(end, *value) for end, value in self._automaton.iter(joined)]
        spaces = [place for place, character in enumerate(joined) if character == " "] if hits else []
        for end, pattern, match in hits:
            begin = end + 1 - len(pattern.lstrip())
            first = bisect.bisect(spaces, begin) - 1
            yield _Found(match, first, first + pattern.strip().count(" "))

    def _without(self, text: str, found: Iterable[_Found]) -> str:
        """Return the text with the words that were found blanked."""
        spans = self._unstretching.spans(text)
        characters = list(text)
        for each in found:
            begin, end = spans[each.first].begin, spans[each.last].end
            characters[begin:end] = _MASK * (end - begin)
        return "".join(characters)


def _reach(found: Iterable[_Found]) -> Callable[[int], int]:
    """
    Return a function for the last word of all matches that begin at a word or before; a match that ends there
    or earlier is inside one of them.
    """
    firsts: list[int] = []
    lasts: list[int] = []
    for each in sorted(found, key=lambda each: each.first):
        firsts.append(each.first)
        lasts.append(max(each.last, lasts[-1] if lasts else each.last))
    return lambda word: lasts[place - 1] if (place := bisect.bisect(firsts, word)) else -1


def term_lines(path: str | None, key: str) -> list[str]:
    """
    Read a file of terms, one per line; blank lines and lines that begin with # are ignored.

    Args:
        path: The file; None for no terms.
        key: The setting with the path, for errors.
    Raises:
        ConfigurationError: The file cannot be read or has invalid lines; the message names all of them.
    """
    if path is None:
        return []
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{key}: {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{key}: {path} is not UTF-8") from error
    terms: list[str] = []
    wrong: list[str] = []
    for number, line in enumerate(lines, start=1):
        term = line.strip()
        if not term or term.startswith("#"):
            continue
        try:
            pattern_of(term)
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
        terms.append(term)
    if wrong:
        raise ConfigurationError(f"{key}: {path}: " + "; ".join(wrong))
    return terms


def pattern_of(term: str) -> str:
    """
    Return the pattern of a term, to search in the words of a text with single spaces.

    Raises:
        ValueError: The term has no word, or uses a syntax that terms do not have.
    """
    written = unicodedata.normalize("NFC", term.strip())
    if _EXPRESSION.search(written):
        raise ValueError(
            f"{term!r} looks like a regular expression; a term is words, with * at an end for any letters"
        )
    inner = written.strip(_ANY_LETTERS)
    if _STAR_INSIDE.search(inner):
        raise ValueError(f"{term!r} has a * inside; it may only stand at the beginning or the end of a term")
    words = _term_normalizer().words(inner)
    if not words:
        raise ValueError(f"{term!r} has no letter, digit or emoji")
    before = "" if written.startswith(_ANY_LETTERS) else " "
    behind = "" if written.endswith(_ANY_LETTERS) else " "
    return f"{before}{' '.join(words)}{behind}"


@cache
def _term_normalizer() -> WordNormalizer:
    """Return the normalizer for terms, which are used as they are written."""
    return WordNormalizer((), unstretch=False)


_STAR_INSIDE: Final = re.compile(r"(?<=\w)\*+(?=\w)")
_EXPRESSION: Final = re.compile(
    r"^/.+/[a-z]*$|^(?:regexp?|re):|\\[bBdDsSwW.]|\.[*+?]|\(\?[:=!<]|\[[^\]]+\][*+?]|^\^\w|\w\$$"
)
