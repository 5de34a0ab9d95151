"""
Hashed n-grams of texts, computed for a whole batch with array operations.

A polynomial prefix hash gives the hash of every substring from two look-ups, so that the n-grams of
words and of characters cost a few passes over the characters each. There are three kinds, each with its own
block of buckets: n-grams of words, of characters inside words, and of word classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from content_moderator.classifiers.embedded.tokens import Lexicon, Tokens, tokens_of

BLOCK_BITS: Final = 17
BUCKETS_PER_BLOCK: Final = 1 << BLOCK_BITS
BLOCKS: Final = 3
BUCKETS: Final = BLOCKS * BUCKETS_PER_BLOCK

_KEY_BITS: Final = BUCKETS.bit_length()

WORDS, CHARACTERS, CLASSES = range(BLOCKS)
"""The number of buckets in each block."""

WORD_NGRAMS: Final = (1, 2)
CHARACTER_NGRAMS: Final = (3, 4, 5)
CLASS_NGRAMS: Final = (1, 2, 3)
ABOUT: Final = 3
"""
Marks for the people a text is about. Each class is also a feature together with each of these marks, at any
distance.
"""

_BASE: Final = 0x9E3779B97F4A7C15
_INVERSE: Final = pow(_BASE, -1, 1 << 64)
_SPACE: Final = ord(" ")

UInts = NDArray[np.uint64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counts:
    """
    The number of occurrences of each feature in each text, sorted by text and then by bucket.

    Args:
        text: Index of the text, shape (n,).
        bucket: Feature in [0, BUCKETS), shape (n,).
        count: Occurrences, at least 1, shape (n,).
    """

    text: Ints
    bucket: Ints
    count: Ints


@dataclass(frozen=True, slots=True)
class Occurrences:
    """
    Every n-gram of one text.

    Args:
        bucket: The feature, shape (n,).
        first: Index of the first token, with the words before the classes, shape (n,).
        last: Index of the last token, shape (n,).
    """

    bucket: Ints
    first: Ints
    last: Ints


def count_features(texts: Sequence[Sequence[str]], lexicon: Lexicon) -> Counts:
    """Count the n-grams of texts, each given as its words."""
    stream = _Stream([tokens_of(words, lexicon) for words in texts])
    keys = stream.keys(stream.ngrams())
    keys.sort()
    # The beginnings of runs of equal keys, and the end of the last run.
    bounds = np.ones(len(keys) + 1, dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=bounds[1:-1])
    runs = bounds.nonzero()[0] if len(keys) else np.zeros(1, dtype=np.int64)
    unique = keys[runs[:-1]]
    return Counts(
        text=unique >> _KEY_BITS, bucket=unique & ((1 << _KEY_BITS) - 1), count=runs[1:] - runs[:-1]
    )


def occurrences(tokens: Tokens) -> Occurrences:
    """Return every n-gram of one text with its tokens."""
    stream = _Stream([tokens])
    ngrams = stream.ngrams()
    # The number of spaces before a character is the number of tokens before it; there is one more between the
    # two halves.
    token = np.cumsum(stream.characters == _SPACE) - 1
    token[stream.half :] -= 1
    first = token[ngrams.starts]
    last = np.where(ngrams.blocks == CHARACTERS * BUCKETS_PER_BLOCK, first, token[ngrams.ends - 1])
    return Occurrences(stream.keys(ngrams), first, last)


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


class _Ngrams(NamedTuple):
    """
    Substrings of a stream.

    Args:
        starts: Where each begins, shape (n,).
        ends: Where it ends, shape (n,).
        blocks: First bucket of its block, shape (n,).
        salts: Distinguishes n-grams of different sizes in one block, shape (n,).
    """

    starts: Ints
    ends: Ints
    blocks: Ints
    salts: UInts


class _Stream:
    """
    The words of all texts, then the classes of all texts, each with one space before and after.

    Attributes:
        characters: Code points, shape (n,).
        half: Index of the first character of the classes.
    """

    def __init__(self, texts: Sequence[Tokens]) -> None:
        padded = [f" {' '.join(each.words)} " for each in texts]
        padded += [f" {' '.join(each.classes)} " for each in texts]
        lengths = [len(each) for each in padded]
        # Lone surrogates cannot be encoded strictly. The API refuses them, but training data can contain
        # some.
        encoded = "".join(padded).encode("utf-32-le", errors="surrogatepass")
        self.characters = np.frombuffer(encoded, dtype=np.uint32)
        self.half = sum(lengths[: len(texts)])
        numbers = np.arange(len(texts))
        self._text = np.concatenate((numbers, numbers)).repeat(lengths)
        self._about = np.array([each.about for each in texts], dtype=bool).reshape(len(texts), ABOUT)

    def ngrams(self) -> _Ngrams:
        """Return all n-grams."""
        spaces = (self.characters == _SPACE).nonzero()[0]
        middle = int(spaces.searchsorted(self.half))
        words, classes = spaces[:middle], spaces[middle:]
        parts = [
            *self._word_ngrams(words, WORD_NGRAMS),
            *self._character_ngrams(words),
            *self._word_ngrams(classes, CLASS_NGRAMS),
        ]
        starts, ends = parts[-len(CLASS_NGRAMS)]
        parts += [(starts[about], ends[about]) for about in self._about[self._text[starts]].T]
        sizes = [len(starts) for starts, _ in parts]
        return _Ngrams(
            starts=np.concatenate([starts for starts, _ in parts]),
            ends=np.concatenate([ends for _, ends in parts]),
            blocks=np.repeat(_PART_BLOCKS, sizes),
            salts=np.repeat(_PART_SALTS, sizes),
        )

    def keys(self, ngrams: _Ngrams) -> Ints:
        """
        Return for each n-gram a number with the index of the text in the high bits and the bucket in the low
        bits.
        """
        power, inverse = _POWERS.upto(len(self.characters))
        prefix = np.zeros(len(self.characters) + 1, dtype=np.uint64)
        np.cumsum((self.characters + np.uint64(1)) * power, out=prefix[1:])
        starts = ngrams.starts
        hashes = (prefix[ngrams.ends] - prefix[starts]) * inverse[starts]
        keys: Ints = (self._text[starts] << _KEY_BITS) + ngrams.blocks + _bucket(hashes, ngrams.salts)
        return keys

    def _word_ngrams(self, spaces: Ints, sizes: Sequence[int]) -> Iterator[tuple[Ints, Ints]]:
        starts, ends = spaces[:-1] + 1, spaces[1:]
        filled = ends > starts
        starts, ends = starts[filled], ends[filled]
        text = self._text[starts]
        for size in sizes:
            firsts = max(len(text) - size + 1, 0)
            inside = text[:firsts] == text[size - 1 :]
            yield starts[:firsts][inside], ends[size - 1 :][inside]

    def _character_ngrams(self, spaces: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Return the character n-grams inside words. A space can only be their first or last character."""
        room = spaces[1:].repeat(spaces[1:] - spaces[:-1]) - np.arange(self.half - 1)
        for size in CHARACTER_NGRAMS:
            starts = (room >= size - 1).nonzero()[0]
            yield starts, starts + size


_PART_BLOCKS: Final = BUCKETS_PER_BLOCK * np.array(
    [WORDS] * len(WORD_NGRAMS)
    + [CHARACTERS] * len(CHARACTER_NGRAMS)
    + [CLASSES] * (len(CLASS_NGRAMS) + ABOUT)
)
_PART_SALTS: Final = np.array(
    [*WORD_NGRAMS, *CHARACTER_NGRAMS, *CLASS_NGRAMS, *range(11, 11 + ABOUT)], dtype=np.uint64
) * np.uint64(0x632BE59BD9B4E019)


def _bucket(hashes: UInts, salts: UInts) -> Ints:
    """
    Return the bucket of each hash within its block.

    Source:
        The finaliser of SplitMix64: Steele et al., "Fast Splittable Pseudorandom Number
        Generators", OOPSLA 2014.
    """
    mixed = hashes + salts
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bucket: Ints = (mixed >> np.uint64(64 - BLOCK_BITS)).astype(np.int64)
    return bucket
