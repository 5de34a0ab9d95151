"""Where in a text the words are that a model read after normalising."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

from content_moderator.core.cleaning import clean, visible_places, with_gaps, without_invisible
from content_moderator.core.text import REWRITES, WORD, Rewrites, compose, latinise, mostly_latin, normalise


class Place(NamedTuple):
    """A word as the model read it, and where it stands in the text, in code points."""

    word: str
    begin: int
    end: int


class _Traced(NamedTuple):
    """A text, and for each of its characters where what became of it begins and ends."""

    text: str
    begins: list[int]
    ends: list[int]


def places_of_words(text: str, rewrites: Rewrites = REWRITES) -> list[Place]:
    r"""
    Find the words of `words_of(normalise(text, rewrites))` in *text*, in the same order.

    Returns:
        For "B A D  id\u200bea" the places of "bad" and "idea": all that the model read as the word.
    """
    traced = _rewritten(_latinised(text), rewrites)
    if traced.text != (normalised := normalise(text, rewrites)):
        # Pieces that depend on each other in a way that is not foreseen: the words are somewhere inside.
        traced = _Traced(normalised, [0] * len(normalised), [len(text)] * len(normalised))
    return [
        Place(found[0], traced.begins[found.start()], traced.ends[found.end() - 1])
        for found in WORD.finditer(traced.text)
    ]


def origins_of_clean(text: str) -> list[int]:
    """
    Tell where the characters of ``clean(text)`` stand in *text*.

    Returns:
        The place of each character of the cleaned text, and last the end of what it kept.
    """
    places = visible_places(text)
    gapped = with_gaps(text)
    shown = "".join(gapped[place] for place in places)
    composed, origins, ends = "", list[int](), list[int]()
    for begin, piece in _pieces(shown):
        part = unicodedata.normalize("NFC", piece)
        composed += part
        same = part == piece
        origins += places[begin : begin + len(part)] if same else places[begin : begin + 1] * len(part)
        ends += [places[min(begin + len(piece), len(places)) - 1] + 1 if places else 0] * len(part)
    cleaned = clean(text)
    first = composed.find(cleaned)
    if first < 0:
        # Normal forms that reach across pieces in a way that is not foreseen: all that is known is "inside".
        return [0] * len(cleaned) + [len(text)]
    last = first + len(cleaned)
    return [*origins[first:last], ends[last - 1] if cleaned else 0]


def _latinised(text: str) -> _Traced:
    latin = mostly_latin(compose(without_invisible(text)))
    written: list[str] = []
    begins: list[int] = []
    ends: list[int] = []
    for begin, piece in _pieces(with_gaps(text)):
        shown = without_invisible(piece)
        plain = shown if shown.isascii() else latinise(compose(shown), mostly_latin=latin)
        written.append(plain)
        begins += [begin] * len(plain)
        ends += [begin + len(piece)] * len(plain)
    return _Traced("".join(written).lower(), begins, ends)


def _rewritten(traced: _Traced, rewrites: Rewrites) -> _Traced:
    for pattern, replacement in rewrites:
        traced = _rewrite(traced, pattern, replacement)
    return traced


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Divide a text where normal forms do not reach across: before letters, not before marks."""
    begin = 0
    for index, character in enumerate(text):
        if index and (character.isascii() or not _attaches(text[index - 1], character)):
            yield begin, text[begin:index]
            begin = index
    yield begin, text[begin:]


def _attaches(before: str, character: str) -> bool:
    return unicodedata.combining(character) > 0 or not unicodedata.is_normalized("NFC", before + character)


def _rewrite(
    traced: _Traced, pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str]
) -> _Traced:
    text, begins, ends = traced
    written: list[str] = []
    new_begins: list[int] = []
    new_ends: list[int] = []
    done = 0
    for found in pattern.finditer(text):
        start = found.start()
        new = found.expand(replacement) if isinstance(replacement, str) else replacement(found)
        written += [text[done:start], new]
        new_begins += begins[done:start]
        places = [start + place for place in _places_of(new, found[0])]
        new_begins += (begins[place] for place in places)
        new_ends += ends[done:start]
        new_ends += (ends[place] for place in [*places[:-1], found.end() - 1])
        done = found.end()
    return _Traced("".join([*written, text[done:]]), new_begins + begins[done:], new_ends + ends[done:])


def _places_of(new: str, old: str) -> list[int]:
    """Tell for each character of *new* which one of *old* it was; letters change, go, or come apart."""
    if len(new) == len(old):
        return list(range(len(old)))
    places: list[int] = []
    at = 0
    for character in new:
        place = at if character == " " else old.index(character, at)
        places.append(place)
        at = place + (character != " ")
    return places
