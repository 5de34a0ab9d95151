"""Divides a text that is longer than a model reads at once."""

import re
from collections.abc import Iterator
from typing import Final

from content_moderator.core.text import sentences

_PIECE: Final = re.compile(r"[A-Za-z]{1,5}|[0-9]{1,2}|[^\sA-Za-z0-9]|\n")
_WORD: Final = re.compile(r"\S+")


def tokens(text: str) -> int:
    """
    Estimate how many tokens a byte-pair encoder makes of *text*: rather too many than too few.

    Five letters, two digits, or one byte of anything else are counted as one token. English prose then counts
    about half as much again as the encoder makes of it, random letters about as much.

    Source:
        Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), for the encoder: it
        never joins words, and falls back to bytes for what it does not know.
    """
    beyond_ascii = 0 if text.isascii() else sum(len(c.encode("utf-8", "replace")) - 1 for c in text)
    return sum(1 for _ in _PIECE.finditer(text)) + beyond_ascii


def chunks(text: str, *, max_tokens: int) -> list[tuple[int, int]]:
    """
    Divide *text* into parts of at most *max_tokens*, at the ends of sentences.

    A sentence that is too long is divided between words, a word that is too long wherever it is.

    Args:
        text: A cleaned text.
        max_tokens: As `tokens` estimates them.
    Returns:
        Begin and end of each part in code points; nothing but white space lies between them.
    """
    # No token is smaller than a byte.
    if len(text) <= max_tokens and len(text.encode("utf-8", "replace")) <= max_tokens:
        return [(0, len(text))]
    found: list[tuple[int, int]] = []
    room = 0
    for begin, end in _units(text, max_tokens):
        # What lies between two units is white space, of which line breaks count.
        cost = tokens(text[found[-1][1] if found else begin : end])
        if found and cost <= room:
            found[-1] = found[-1][0], end
        else:
            cost = tokens(text[begin:end])
            found.append((begin, end))
            room = max_tokens
        room -= cost
    return found


def _units(text: str, max_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield sentences, words of too long sentences, and pieces of too long words."""
    for sentence in sentences(text):
        if tokens(text[slice(*sentence)]) <= max_tokens:
            yield sentence
            continue
        for word in _WORD.finditer(text, *sentence):
            if tokens(word[0]) <= max_tokens:
                yield word.span()
                continue
            # Four bytes at most are one character.
            size = max_tokens // 4
            for begin in range(word.start(), word.end(), size):
                yield begin, min(begin + size, word.end())
