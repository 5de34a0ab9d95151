"""
Finds the nearest of many texts by edit distance, without looking at most of them.

If a text is cut into k + 1 segments, every text within k edits contains at least one of them, near its
original position. Each text is therefore indexed by its segments. To find near copies of another text, its
substrings are looked up, and only texts with a common segment are compared.

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
"""
Bytes that a text and each of its segments need besides their characters, measured by ``benchmarks.cache``.
"""


class Segment(NamedTuple):
    """Where a segment begins, and its length, in characters."""

    begin: int
    length: int


class Window(NamedTuple):
    """
    The positions of a query text where a segment of an indexed text can occur.

    Args:
        segment: Number of the segment.
        first: First position where it can begin.
        behind: The position after the last one.
        length: Of the segment, in characters.
    """

    segment: int
    first: int
    behind: int
    length: int


@dataclass(frozen=True, slots=True)
class Match:
    """
    A text that a look-up found.

    Args:
        key: The key of the indexed text.
        text: The indexed text.
        distance: Levenshtein distance to the query text.
    """

    key: bytes
    text: str
    distance: int


@dataclass(frozen=True, slots=True)
class Nearness:
    """
    The largest distance of two texts.

    Args:
        max_edits: Insertions, deletions and replacements of a character, 1 to 16.
        max_ratio: Edits as a share of the length of the indexed text.
    """

    max_edits: int
    max_ratio: float

    def edits(self, chars: int) -> int:
        """Return the number of edits that are allowed for an indexed text of *chars* characters."""
        return min(self.max_edits, int(self.max_ratio * chars))

    def lengths(self, chars: int) -> Iterator[int]:
        """Return the lengths of indexed texts that are within reach of a text of *chars* characters."""
        for length in range(max(1, chars - self.max_edits), chars + self.max_edits + 1):
            if abs(length - chars) <= self.edits(length):
                yield length


@lru_cache(maxsize=8192)
def segments(chars: int, edits: int) -> tuple[Segment, ...]:
    """Return *edits* + 1 segments of even length for a text of *chars* characters, the longer ones last."""
    short, longer = divmod(chars, edits + 1)
    found, begin = [], 0
    for number in range(edits + 1):
        length = short + (number > edits - longer)
        found.append(Segment(begin, length))
        begin += length
    return tuple(found)


def windows(chars: int, filed_chars: int, edits: int) -> tuple[Window, ...]:
    """
    Return the positions of a query text where the segments of an indexed text must be looked up.

    Args:
        chars: Characters of the query text.
        filed_chars: Characters of the indexed text.
        edits: The number of edits that are allowed; at least the difference of the lengths.
    Returns:
        For each segment the positions that suffice to find every indexed text within *edits*.
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
    Return the substrings of a text of *chars* characters that must be looked up.

    Indexed texts of many lengths are within reach, and their windows overlap. Each number and length of a
    segment is therefore looked up once, from the first possible position to the last.
    """
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for filed_chars in nearness.lengths(chars):
        for number, first, behind, length in windows(chars, filed_chars, nearness.edits(filed_chars)):
            low, high = found.get((number, length), (first, behind))
            found[number, length] = min(low, first), max(high, behind)
    return tuple(Window(number, *span, length) for (number, length), span in found.items())


def nearest(text: str, candidates: Sequence[tuple[bytes, str]], nearness: Nearness) -> Match | None:
    """
    Return the candidate that is nearest to *text*. Candidates are pairs of a key and a text.

    Returns:
        The nearest within reach; ties go to the first.
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
    An index of texts for look-ups by similarity; safe to use from several threads.

    A look-up compares at most ``max_candidates`` texts: those with the rarest common segments first, and of
    these the newest. A segment never has more texts than that, so texts that were constructed to share a
    segment cannot slow look-ups down. Within these limits the nearest text is always found.

    Args:
        settings: The largest distance, and the largest number of comparisons.
    """

    def __init__(self, settings: SimilarCacheSettings) -> None:
        self.nearness = Nearness(settings.max_edits, settings.max_ratio)
        self._max_candidates = settings.max_candidates
        self._lock = threading.Lock()
        # One table for each number and length of a segment: a single table would block for a second when it
        # grows.
        self._tables: dict[tuple[int, int], _Table] = {}
        self._texts: dict[int, tuple[bytes, str]] = {}
        self._numbers: dict[bytes, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._texts)

    def size(self, text: str) -> int:
        """Return the estimated size of *text* in the index, in bytes."""
        return TEXT_BYTES + sys.getsizeof(text) + SEGMENT_BYTES * (self.nearness.edits(len(text)) + 1)

    def add(self, key: bytes, text: str) -> None:
        """Add *text* under *key*; an earlier text of this key is replaced."""
        with self._lock:
            self._remove(key)
            number = self._next
            self._next += 1
            self._texts[number] = key, text
            self._numbers[key] = number
            for place, code in self._codes(text):
                self._file(self._tables.setdefault(place, {}), code, number)

    def remove(self, key: bytes) -> None:
        """Remove the text of *key*, if there is one."""
        with self._lock:
            self._remove(key)

    def find(self, text: str) -> Match | None:
        """
        Return the indexed text that is nearest to *text*.

        Returns:
            The nearest within ``max_edits`` and ``max_ratio``, or None. Ties go to the newest.
        """
        with self._lock:
            numbers = self._candidates(text)
            candidates = [self._texts[number] for number in sorted(numbers, reverse=True)]
        return nearest(text, candidates, self.nearness) if candidates else None

    def _candidates(self, text: str) -> set[int]:
        """
        Return texts that share a segment with the query; those with the rarest segments if there are too
        many.
        """
        alone: set[int] = set()
        shared: list[list[int]] = []
        for number, first, behind, length in places(len(text), self.nearness):
            if (table := self._tables.get((number, length))) is None:
                continue
            find = table.get
            # One expression for speed: it runs some hundred times in each look-up.
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
        Return the table of each segment and its hash.

        Python's hash of a string has a random key in each process, so nobody can construct collisions.
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
