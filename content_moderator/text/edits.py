"""Changes to a text, applied either fast or so that every character is traced."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Edit(NamedTuple):
    """Characters from *begin* to *end*, and what stands in their place afterwards."""

    begin: int
    end: int
    new: str


Step = Callable[[str], Sequence[Edit]]
"""Returns the edits of one text, in order and apart from each other; none if nothing is to be done."""


class Traced(NamedTuple):
    """A text, and for each of its characters where what became of it begins and ends in the original."""

    text: str
    begins: list[int]
    ends: list[int]

    @classmethod
    def of(cls, text: str) -> "Traced":
        """Return a text in which nothing has been changed yet."""
        return cls(text, list(range(len(text))), list(range(1, len(text) + 1)))


def replacing(pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> Step:
    """Return the step that replaces what *pattern* finds."""

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
    """Return the edited text, traced."""
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
        # All that is edited belongs to the last character that came of it.
        new_ends += (ends[place] for place in [*places[:-1], end - 1][: len(new)])
        done = end
    return Traced("".join([*written, text[done:]]), new_begins + begins[done:], new_ends + ends[done:])


def _places_of(new: str, old: str) -> list[int]:
    """Return for each character of *new* which one of *old* it was; letters change, go, or come apart."""
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
