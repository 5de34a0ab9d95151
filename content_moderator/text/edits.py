"""Edits of a text, which are applied either fast or with the origin of every character."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Edit(NamedTuple):
    """An edit: the characters from *begin* to *end*, and their replacement."""

    begin: int
    end: int
    new: str


Step = Callable[[str], Sequence[Edit]]
"""Returns the edits of a text, in order and without overlaps."""


class Traced(NamedTuple):
    """A text, with the begin and end of the origin of each character in the original text."""

    text: str
    begins: list[int]
    ends: list[int]

    @classmethod
    def of(cls, text: str) -> "Traced":
        """Return a text without edits."""
        return cls(text, list(range(len(text))), list(range(1, len(text) + 1)))


def replacing(pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> Step:
    """Return the step that replaces the matches of *pattern*."""

    def edits(text: str) -> list[Edit]:
        return [
            Edit(found.start(), found.end(), new)
            for found in pattern.finditer(text)
            if (new := replace(found)) != found[0]
        ]

    return edits


def apply(text: str, edits: Sequence[Edit]) -> str:
    """Return the edited text."""
    if not edits:
        return text
    written: list[str] = []
    done = 0
    for begin, end, new in edits:
        written += [text[done:begin], new]
        done = end
    return "".join([*written, text[done:]])


def trace(traced: Traced, edits: Iterable[Edit]) -> Traced:
    """Return the edited text with the origins of its characters."""
    text, begins, ends = traced
    written: list[str] = []
    new_begins: list[int] = []
    new_ends: list[int] = []
    done = 0
    for begin, end, new in edits:
        written += [text[done:begin], new]
        places = [begin + place for place in _places_of(new, text[begin:end])]
        new_begins += begins[done:begin]
        new_begins += (begins[place] for place in places)
        new_ends += ends[done:begin]
        # The whole edited range is the origin of the last character of the replacement.
        new_ends += (ends[place] for place in [*places[:-1], end - 1][: len(new)])
        done = end
    return Traced("".join([*written, text[done:]]), new_begins + begins[done:], new_ends + ends[done:])


def _places_of(new: str, old: str) -> list[int]:
    """Return for each character of *new* its index in *old*; letters can change, disappear or multiply."""
    if len(new) == len(old):
        return list(range(len(old)))
    places: list[int] = []
    at = 0
    for character in new:
        found = old.find(character, at) if character != " " else -1
        place = found if found >= 0 else min(at, len(old) - 1)
        places.append(place)
        if character != " ":
            at = place + 1
    return places
