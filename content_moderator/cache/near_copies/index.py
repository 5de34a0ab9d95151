"""
Finds the nearest of many texts by edit distance, without looking at most of them.

A text that is cut into k + 1 segments shares at least one of them, near the place where it stood, with every
text that k edits make of it. So each text is filed under its segments, and whoever looks for near copies of
another text looks its substrings up: what they have in common is compared, the rest never seen.

Source:
    Li, Deng, Wang, Feng, "Pass-Join: A Partition-based Method for Similarity Joins", PVLDB 5(3), 2011: even
    segments, and the substrings of section 4.4 ("multi-match-aware").
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from content_moderator.config.settings import SimilarCacheSettings

TEXT_BYTES: Final = 260
SEGMENT_BYTES: Final = 95
"""What a text and each of its segments take besides the characters: measured by ``benchmarks.cache``."""


class Segment(NamedTuple):
    """Where a segment begins, and its length, in characters."""

    begin: int
    length: int


class Window(NamedTuple):
    """
    Where in a text that is looked up a segment of another may stand.

    Args:
        segment: Its number.
        first: First place where it may begin.
        behind: Behind the last such place.
        length: Of the segment, in characters.
    """

    segment: int
    first: int
    behind: int
    length: int


@dataclass(frozen=True, slots=True)
class Match:
    """
    A text that was found.

    Args:
        key: Under which it was filed.
        text: The text, as it was filed.
        distance: Its Levenshtein distance to the text that was looked up.
    """

    key: bytes
    text: str
    distance: int


@dataclass(frozen=True, slots=True)
class Nearness:
    """
    How far apart two texts may be.

    Args:
        max_edits: Insertions, deletions and replacements of a character, 1 to 16.
        max_ratio: The same as a share of the length of the text that is filed.
    """

    max_edits: int
    max_ratio: float

    def edits(self, chars: int) -> int:
        """Return how many edits may lie between a filed text of *chars* characters and another."""
        return min(self.max_edits, int(self.max_ratio * chars))

    def lengths(self, chars: int) -> Iterator[int]:
        """Return the lengths of filed texts that are within reach of one of *chars* characters."""
        for length in range(max(1, chars - self.max_edits), chars + self.max_edits + 1):
            if abs(length - chars) <= self.edits(length):
                yield length


@lru_cache(maxsize=8192)
def segments(chars: int, edits: int) -> tuple[Segment, ...]:
    """Cut a text of *chars* characters into *edits* + 1 parts of even length, the longer ones last."""
    short, longer = divmod(chars, edits + 1)
    found, begin = [], 0
    for number in range(edits + 1):
        length = short + (number > edits - longer)
        found.append(Segment(begin, length))
        begin += length
    return tuple(found)


def windows(chars: int, filed_chars: int, edits: int) -> tuple[Window, ...]:
    """
    Return where in a text the segments of a filed one are to be looked for.

    Args:
        chars: Characters of the text that is looked up.
        filed_chars: Characters of the filed text.
        edits: That may lie between the two; not less than their lengths differ by.
    Returns:
        For each segment the places that suffice to find every filed text within *edits*.
    """
    shift = chars - filed_chars
    found = []
    for number, (begin, length) in enumerate(segments(filed_chars, edits)):
        left, right = number, edits - number
        first = max(0, begin - left, begin + shift - right)
        behind = min(chars - length, begin + left, begin + shift + right) + 1
        if behind > first:
            found.append(Window(number, first, behind, length))
    return tuple(found)


@lru_cache(maxsize=8192)
def places(chars: int, nearness: Nearness) -> tuple[Window, ...]:
    """
    Return which substrings of a text of *chars* characters to look up.

    Filed texts of many lengths are within reach. Their windows overlap, so one look-up serves them all: for
    each number and length of a segment, from the first place where one may begin to the last.
    """
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for filed_chars in nearness.lengths(chars):
        for number, first, behind, length in windows(chars, filed_chars, nearness.edits(filed_chars)):
            low, high = found.get((number, length), (first, behind))
            found[number, length] = min(low, first), max(high, behind)
    return tuple(Window(number, *span, length) for (number, length), span in found.items())


def nearest(text: str, candidates: Sequence[tuple[bytes, str]], nearness: Nearness) -> Match | None:
    """
    Compare *text* with each candidate, a key and a text.

    Returns:
        The nearest within reach; of equals the one that comes first.
    """
    found = process.extract(
        text,
        [candidate for _, candidate in candidates],
        scorer=Levenshtein.distance,
        score_cutoff=nearness.max_edits,
        limit=None,
    )
    for candidate, distance, place in found:
        if distance <= nearness.edits(len(candidate)):
            return Match(candidates[place][0], candidate, int(distance))
    return None


_Posting = int | list[int]
_Table = dict[int, _Posting]


class NearCopyIndex:
    """
    Texts filed for look-ups by similarity; safe to use from several threads.

    At most ``max_candidates`` texts are compared in one look-up, those first that share the rarest segments,
    and the newest of those that share one; and no segment files more, so that texts which were made to share
    a segment slow nothing down. Within these bounds the nearest text is always found.

    Args:
        settings: How near is near enough, and how many texts are compared.
    """

    def __init__(self, settings: SimilarCacheSettings) -> None:
        self.nearness = Nearness(settings.max_edits, settings.max_ratio)
        self._max_candidates = settings.max_candidates
        self._lock = threading.Lock()
        # By number and length of the segment: a table for all would stand still for a second when it grows.
        self._tables: dict[tuple[int, int], _Table] = {}
        self._texts: dict[int, tuple[bytes, str]] = {}
        self._numbers: dict[bytes, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._texts)

    def size(self, text: str) -> int:
        """Estimate the bytes that filing *text* takes."""
        return TEXT_BYTES + sys.getsizeof(text) + SEGMENT_BYTES * (self.nearness.edits(len(text)) + 1)

    def add(self, key: bytes, text: str) -> None:
        """File *text* under *key*, in the place of any other of that key."""
        with self._lock:
            self._remove(key)
            number = self._next
            self._next += 1
            self._texts[number] = key, text
            self._numbers[key] = number
            for place, code in self._codes(text):
                self._file(self._tables.setdefault(place, {}), code, number)

    def remove(self, key: bytes) -> None:
        """Forget the text of *key*, if there is one."""
        with self._lock:
            self._remove(key)

    def find(self, text: str) -> Match | None:
        """
        Find the filed text nearest to *text*.

        Returns:
            The nearest within ``max_edits`` and ``max_ratio``, or None. Ties go to the newest.
        """
        with self._lock:
            numbers = self._candidates(text)
            candidates = [self._texts[number] for number in sorted(numbers, reverse=True)]
        return nearest(text, candidates, self.nearness) if candidates else None

    def _candidates(self, text: str) -> set[int]:
        """Collect texts that share a segment; the rarest segments first, if there are too many."""
        alone: set[int] = set()
        shared: list[list[int]] = []
        for number, first, behind, length in places(len(text), self.nearness):
            if (table := self._tables.get((number, length))) is None:
                continue
            find = table.get
            # One expression: this runs some hundred times for each look-up.
            found = [
                posting
                for begin in range(first, behind)
                if (posting := find(hash(text[begin : begin + length]))) is not None
            ]
            for posting in found:
                if isinstance(posting, int):
                    alone.add(posting)
                else:
                    shared.append(posting)
        shared.sort(key=len)
        for numbers in shared:
            room = self._max_candidates - len(alone)
            if room <= 0:
                break
            alone.update(numbers[-room:])
        return alone

    def _codes(self, text: str) -> Iterator[tuple[tuple[int, int], int]]:
        """
        Return the table and the code of each segment.

        Python's hash of a text has another key in each process: nobody outside can make two collide.
        """
        for number, (begin, length) in enumerate(segments(len(text), self.nearness.edits(len(text)))):
            yield (number, length), hash(text[begin : begin + length])

    def _file(self, table: _Table, code: int, number: int) -> None:
        posting = table.get(code)
        if posting is None:
            table[code] = number
        elif isinstance(posting, int):
            table[code] = [posting, number]
        else:
            if len(posting) >= self._max_candidates:
                del posting[0]
            posting.append(number)

    def _remove(self, key: bytes) -> None:
        number = self._numbers.pop(key, None)
        if number is None:
            return
        _, text = self._texts.pop(number)
        for place, code in self._codes(text):
            table = self._tables[place]
            self._unfile(table, code, number)
            if not table:
                del self._tables[place]

    @staticmethod
    def _unfile(table: _Table, code: int, number: int) -> None:
        posting = table.get(code)
        if posting == number:
            del table[code]
        elif isinstance(posting, list) and number in posting:
            posting.remove(number)
            if len(posting) == 1:
                table[code] = posting[0]
