"""
Hashed n-grams of texts, computed for a whole batch with array operations.

A polynomial prefix hash gives the hash of every substring from two look-ups, so that the n-grams of
words and of characters cost a few passes over the characters each. Three streams are hashed, each
into a block of buckets of its own: words, the characters inside words, and words replaced by the
classes of a lexicon, with negation marked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from content_moderator.core.text import words_of

BLOCK_BITS: Final = 17
BUCKETS_PER_BLOCK: Final = 1 << BLOCK_BITS
BLOCKS: Final = 3
BUCKETS: Final = BLOCKS * BUCKETS_PER_BLOCK

WORD_NGRAMS: Final = (1, 2)
CHARACTER_NGRAMS: Final = (3, 4, 5)
CLASS_NGRAMS: Final = (1, 2, 3)

GROUP_MARK: Final = "§"
"""Stands for any word for a group of people, so that no group's name is evidence by itself."""

NEGATION_REACH: Final = 3
"""How many words after a negator count as negated."""

_BASE: Final = 0x9E3779B97F4A7C15
_INVERSE: Final = pow(_BASE, -1, 1 << 64)
_SPACE: Final = ord(" ")

UInts = NDArray[np.uint64]
Ints = NDArray[np.int64]

Lexicon = Mapping[str, str]
"""From word to the name of its class."""


@dataclass(frozen=True, slots=True)
class Counts:
    """
    How often each feature occurs in each text, sorted by text and then by bucket.

    Args:
        text: Index of the text, shape (n,).
        bucket: Feature in [0, BUCKETS), shape (n,).
        count: Occurrences, at least 1, shape (n,).
    """

    text: Ints
    bucket: Ints
    count: Ints


class _Powers:
    """Powers of the hash base and of its inverse modulo 2**64, grown on demand."""

    def __init__(self) -> None:
        self._tables = self._table(_BASE, 1 << 13), self._table(_INVERSE, 1 << 13)

    def upto(self, length: int) -> tuple[UInts, UInts]:
        tables = self._tables
        if len(tables[0]) < length:
            size = 1 << length.bit_length()
            self._tables = tables = self._table(_BASE, size), self._table(_INVERSE, size)
        return tables[0][:length], tables[1][:length]

    @staticmethod
    def _table(base: int, size: int) -> UInts:
        factors = np.full(size, base, dtype=np.uint64)
        factors[0] = 1
        return np.cumprod(factors, dtype=np.uint64)


_POWERS: Final = _Powers()


class _Spans(NamedTuple):
    """Substrings of a stream, from start to end, and the block and salt to hash them with."""

    starts: Ints
    ends: Ints
    block: int
    salt: int


@dataclass(frozen=True, slots=True)
class _Stream:
    """
    Words of all texts, each with one space before and after, and their prefix hash.

    Args:
        characters: Code points, shape (n,).
        owner: Index of the text of each character, shape (n,).
        prefix: Hash of everything before each character and of all of it, shape (n + 1,).
        inverse: Powers of the inverse of the base, shape (n,).
    """

    characters: NDArray[np.uint32]
    owner: Ints
    prefix: UInts
    inverse: UInts

    @classmethod
    def of(cls, padded: Sequence[str]) -> "_Stream":
        lengths = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
        # Lone surrogates cannot be encoded strictly; callers refuse them, training data may hold some.
        encoded = "".join(padded).encode("utf-32-le", errors="surrogatepass")
        characters = np.frombuffer(encoded, dtype=np.uint32)
        power, inverse = _POWERS.upto(len(characters))
        prefix = np.zeros(len(characters) + 1, dtype=np.uint64)
        np.cumsum((characters + np.uint64(1)) * power, out=prefix[1:])
        return cls(characters, np.repeat(np.arange(len(padded)), lengths), prefix, inverse)

    def keys(self, spans: Sequence[_Spans]) -> Ints:
        """Give ``text * BUCKETS + bucket`` of all substrings, hashed in one go."""
        sizes = [len(each.starts) for each in spans]
        starts = np.concatenate([each.starts for each in spans])
        ends = np.concatenate([each.ends for each in spans])
        salts = np.repeat(np.array([each.salt for each in spans], dtype=np.uint64), sizes)
        blocks = np.repeat([each.block * BUCKETS_PER_BLOCK for each in spans], sizes)
        hashes = (self.prefix[ends] - self.prefix[starts]) * self.inverse[starts]
        keys: Ints = self.owner[starts] * BUCKETS + blocks + _bucket(hashes, salts)
        return keys


def count_features(normalised: Sequence[str], lexicon: Lexicon) -> Counts:
    """Count the n-grams of texts that `content_moderator.core.text.normalise` has been through."""
    padded = [words_of(text) for text in normalised]
    words = _Stream.of([_without_groups(text, lexicon) for text in padded])
    classes = _Stream.of([_classified(text, lexicon) for text in padded])
    keys = [
        words.keys([*_word_spans(words, WORD_NGRAMS, block=0), *_character_spans(words, block=1)]),
        classes.keys([*_word_spans(classes, CLASS_NGRAMS, block=2)]),
    ]
    unique, counts = np.unique(np.concatenate(keys), return_counts=True)
    return Counts(text=unique // BUCKETS, bucket=unique % BUCKETS, count=counts)


def _without_groups(padded: str, lexicon: Lexicon) -> str:
    """Put one token in the place of each word for a group of people."""
    words = [GROUP_MARK if lexicon.get(word) == "group" else word for word in padded.split()]
    return f" {' '.join(words)} "


def _classified(padded: str, lexicon: Lexicon) -> str:
    """
    Replace words by their classes, join "gay people" into one group, and mark what is negated.

    For example, " we do not hate gay people here " becomes " we do not !<aversion> !§ here ".
    """
    found: list[str] = []
    negated = 0
    previous = ""
    for word in padded.split():
        kind = lexicon.get(word, "")
        kind = "group" if kind == "gender" else kind
        if previous == "group" and kind in {"group", "people"}:
            continue
        previous = kind
        if kind == "negator":
            negated = NEGATION_REACH
            found.append(word)
            continue
        token = GROUP_MARK if kind == "group" else f"<{kind}>" if kind and kind != "people" else word
        found.append(f"!{token}" if negated else token)
        negated = max(0, negated - 1)
    return f" {' '.join(found)} "


def _word_spans(stream: _Stream, sizes: Sequence[int], *, block: int) -> Iterator[_Spans]:
    spaces = np.flatnonzero(stream.characters == _SPACE)
    for size in sizes:
        starts, ends = spaces[:-size] + 1, spaces[size:]
        inside = (ends > starts) & (stream.owner[starts - 1] == stream.owner[ends])
        yield _Spans(starts[inside], ends[inside], block, size)


def _character_spans(stream: _Stream, *, block: int) -> Iterator[_Spans]:
    spaces_before = np.zeros(len(stream.characters) + 1, dtype=np.int64)
    np.cumsum(stream.characters == _SPACE, out=spaces_before[1:])
    for size in CHARACTER_NGRAMS:
        last = max(len(stream.characters) - size + 1, 0)
        inner_spaces = spaces_before[size - 1 :][:last] - spaces_before[1 : last + 1]
        starts = np.flatnonzero(inner_spaces == 0)
        yield _Spans(starts, starts + size, block, size)


def _bucket(hashes: UInts, salts: UInts) -> Ints:
    """
    Mix and fold hashes to a bucket of a block.

    Source:
        The finaliser of SplitMix64: Steele et al., "Fast Splittable Pseudorandom Number
        Generators", OOPSLA 2014.
    """
    mixed = hashes + salts * np.uint64(0x632BE59BD9B4E019)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bucket: Ints = (mixed >> np.uint64(64 - BLOCK_BITS)).astype(np.int64)
    return bucket
