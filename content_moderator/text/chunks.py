"""Splits texts that are longer than the limit of a model."""

import math
import re
from collections.abc import Iterator
from typing import Final

from content_moderator.text.sentence import sentences

BYTES_PER_TOKEN: Final = 3
"""Bytes per token in usual text; a low estimate, English has about four."""

_WORD: Final = re.compile(r"\S+")
_WHITE: Final = re.compile(r"\s+")


def max_tokens(text: str) -> int:
    """
    Return the largest number of tokens of *text* for any byte-level byte-pair encoder: its bytes in UTF-8.

    Such an encoder begins with single bytes and only joins them. Estimates by words and letters are too low
    for some texts: random letters, mixed case, white space.

    Source:
        Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), for the encoder.
    """
    return len(text.encode("utf-8", "replace"))


def usual_tokens(text: str) -> int:
    """Return the estimated number of tokens of usual text. It is no upper bound: see `max_tokens`."""
    return math.ceil(max_tokens(text) / BYTES_PER_TOKEN)


def collapse_white_space(text: str) -> str:
    """Replace each run of white space by a line break if it contains one, otherwise by a space."""
    return _WHITE.sub(lambda run: "\n" if "\n" in run[0] else " ", text)


def parts_of(text: str, *, max_bytes: int) -> list[str]:
    """Return the parts of a text; see `chunks`."""
    return [text[begin:end] for begin, end in chunks(text, max_bytes=max_bytes)]


def chunks(text: str, *, max_bytes: int) -> list[tuple[int, int]]:
    """
    Split *text* into parts of at most *max_bytes* in UTF-8, at the ends of sentences.

    A sentence that is too long is split between words, and a word that is too long anywhere.

    Args:
        text: A cleaned text.
        max_bytes: At least 4, the size of the largest character.
    Returns:
        Begin and end of each part in code points; only white space is between them.
    """
    if max_tokens(text) <= max_bytes:
        return [(0, len(text))]
    found: list[tuple[int, int]] = []
    room = 0
    for begin, end in _units(text, max_bytes):
        cost = max_tokens(text[found[-1][1] if found else begin : end])
        if found and cost <= room:
            found[-1] = found[-1][0], end
        else:
            cost = max_tokens(text[begin:end])
            found.append((begin, end))
            room = max_bytes
        room -= cost
    return found


def _units(text: str, max_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield sentences, words of too long sentences, and pieces of too long words."""
    for sentence in sentences(text):
        if max_tokens(text[slice(*sentence)]) <= max_bytes:
            yield sentence
            continue
        for word in _WORD.finditer(text, *sentence):
            if max_tokens(word[0]) <= max_bytes:
                yield word.span()
                continue
            # A character has at most four bytes.
            size = max_bytes // 4
            for begin in range(word.start(), word.end(), size):
                yield begin, min(begin + size, word.end())
