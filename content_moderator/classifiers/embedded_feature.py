"""
Hashed n-grams of texts, computed for a whole batch with array operations.

A polynomial prefix hash gives the hash of every substring from two look-ups, so that word 1- and
2-grams and the character 3- to 5-grams inside words cost a few passes over the characters each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from content_moderator.core.text import words_of

BUCKETS_PER_BLOCK: Final = 1 << 17
BUCKETS: Final = 2 * BUCKETS_PER_BLOCK
"""Word n-grams hash into the first half, character n-grams into the second."""

CHARACTER_NGRAMS: Final = (3, 4, 5)

_BASE: Final = 0x9E3779B97F4A7C15
_INVERSE: Final = pow(_BASE, -1, 1 << 64)
_SPACE: Final = ord(" ")

UInts = NDArray[np.uint64]
Ints = NDArray[np.int64]


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


def count_features(normalised: Sequence[str]) -> Counts:
    """Count the n-grams of texts that `content_moderator.core.text.normalise` has been through."""
    padded = [words_of(text) for text in normalised]
    lengths = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    # Lone surrogates cannot be encoded strictly; callers refuse them, training data may hold some.
    encoded = "".join(padded).encode("utf-32-le", errors="surrogatepass")
    characters = np.frombuffer(encoded, dtype=np.uint32)
    owner = np.repeat(np.arange(len(padded), dtype=np.int64), lengths)
    keys = np.concatenate(_ngram_keys(characters, owner))
    unique, counts = np.unique(keys, return_counts=True)
    return Counts(text=unique // BUCKETS, bucket=unique % BUCKETS, count=counts)


def _ngram_keys(characters: NDArray[np.uint32], owner: Ints) -> list[Ints]:
    """One key, ``text * BUCKETS + bucket``, for each n-gram; characters hold one space between words."""
    power, inverse = _POWERS.upto(len(characters))
    prefix = np.zeros(len(characters) + 1, dtype=np.uint64)
    np.cumsum((characters + np.uint64(1)) * power, out=prefix[1:])
    is_space = characters == _SPACE
    spaces = np.flatnonzero(is_space)

    keys = []
    for words in (1, 2):
        starts, ends = spaces[:-words] + 1, spaces[words:]
        inside = (ends > starts) & (owner[starts - 1] == owner[ends])
        starts, ends = starts[inside], ends[inside]
        hashes = (prefix[ends] - prefix[starts]) * inverse[starts]
        keys.append(owner[starts] * BUCKETS + _bucket(hashes, words))

    spaces_before = np.zeros(len(characters) + 1, dtype=np.int64)
    np.cumsum(is_space, out=spaces_before[1:])
    for size in CHARACTER_NGRAMS:
        if len(characters) < size:
            break
        last = len(characters) - size + 1
        inner_spaces = spaces_before[size - 1 :][:last] - spaces_before[1 : last + 1]
        starts = np.flatnonzero(inner_spaces == 0)
        hashes = (prefix[starts + size] - prefix[starts]) * inverse[starts]
        keys.append(owner[starts] * BUCKETS + BUCKETS_PER_BLOCK + _bucket(hashes, size))
    return keys


def _bucket(hashes: UInts, salt: int) -> Ints:
    """
    Mix and fold hashes to a bucket of a block.

    Source:
        The finaliser of SplitMix64: Steele et al., "Fast Splittable Pseudorandom Number
        Generators", OOPSLA 2014.
    """
    mixed = hashes + np.uint64(salt * 0x632BE59BD9B4E019 % (1 << 64))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed >> np.uint64(64 - 17)).astype(np.int64)
