"""Finds the sentences of a text, and the parts that are scored separately."""

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from content_moderator.text.normalization import without_markup, words_of

MAX_SENTENCE_CHARS: Final = 300

MAX_PASSAGE_CHARS: Final = 160

WINDOW_WORDS: Final = 7
"""The number of words in a window of a long sentence."""

WINDOW_STEP: Final = 3
"""The number of words after which the next window begins."""

MIN_WORDS_TO_WINDOW: Final = 10

MIN_WORDS_TO_DIVIDE: Final = 6
"""The least number of words of a sentence whose clauses are scored separately."""

Kind = Literal["whole", "passage", "sentence"]


class Part(NamedTuple):
    """
    A part of a text that is scored separately.

    Args:
        words: The normalized words.
        kind: The kind of part; a window of a long sentence counts as a sentence.
        begin: First character of the part.
        end: The position after the last character.
        first: Index of the first word among the words of these characters.
        marked_up: Whether it is the text without mark-up.
    """

    words: list[str]
    kind: Kind
    begin: int
    end: int
    first: int = 0
    marked_up: bool = False


def sentences(text: str) -> list[tuple[int, int]]:
    """
    Return the sentences of *text*.

    A sentence ends at a full stop, exclamation mark or question mark before white space, or at a line break.
    A sentence without an end is cut at a space after ``MAX_SENTENCE_CHARS``.

    Returns:
        Begin and end of each, in code points, without the white space between them.
    """
    return [match.span() for match in _SENTENCE.finditer(text)]


def parts_of(text: str, words: list[str]) -> list[Part]:
    """
    Return the parts of a cleaned text in which a violation can be hidden.

    These are its sentences, runs of sentences, windows of long sentences, and the text without mark-up.

    Args:
        text: A cleaned text.
        words: The words of the whole text.
    Returns:
        The parts, without the whole text and parts that are equal to it.
    """
    found: list[Part] = []
    if further := without_markup(text):
        read = words_of(further.text)
        if read != words:
            found.append(Part(read, "passage", 0, len(text), marked_up=True))
    single = sentences(text)
    if len(single) < 2:  # noqa: PLR2004
        return [*found, *_within(text, words, 0, len(text))]
    runs: list[tuple[int, int]] = []
    for begin, end in single:
        if runs and end - runs[-1][0] <= MAX_PASSAGE_CHARS:
            runs[-1] = runs[-1][0], end
        else:
            runs.append((begin, end))
    if len(runs) > 1:
        longer = (run for run in runs if run not in single)
        found += [Part(words_of(text[begin:end]), "passage", begin, end) for begin, end in longer]
    for begin, end in single:
        read = words_of(text[begin:end])
        if read:
            found.append(Part(read, "sentence", begin, end))
            found += _within(text, read, begin, end)
    return found


def _within(text: str, words: list[str], begin: int, end: int) -> Iterator[Part]:
    """
    Yield the clauses of a sentence, the windows of a long one, and the words after the greeting in a short
    one.
    """
    if len(words) < MIN_WORDS_TO_DIVIDE:
        if greeting := _GREETING.match(text, begin, end):
            yield Part(words_of(text[greeting.end() : end]), "sentence", greeting.end(), end)
        return
    clauses = [found.span() for found in _CLAUSE.finditer(text, begin, end)]
    if len(clauses) > 1:
        for first, last in clauses:
            read = words_of(text[first:last])
            if len(read) > 1:
                yield Part(read, "sentence", first, last)
    if len(words) >= MIN_WORDS_TO_WINDOW:
        for first in range(0, len(words) - WINDOW_STEP, WINDOW_STEP):
            yield Part(words[first : first + WINDOW_WORDS], "sentence", begin, end, first)


_CLAUSE: Final = re.compile(
    r"(?:[^,;:\u2013\u2014\u3001\uff0c\u2600-\u27bf\U0001f300-\U0001faff-]|[,:](?=\S)|(?<=\S)-)++"
)
_GREETING: Final = re.compile(
    r"(?:hello|hi|hey|good (?:morning|afternoon|evening|night|day)|thanks(?: a lot| for nothing)?|thank you"
    r"|sorry|well done|(?:nice|good|great) (?:try|one|job)|congratulations|happy birthday|welcome(?: back)?"
    r"|(?:good)?bye)[\s,]++(?=\w)",
    re.IGNORECASE,
)
_SENTENCE: Final = re.compile(
    rf"\S(?:[^.!?\u2026\u3002\uff01\uff1f\n]|[.!?\u2026](?!\s)){{0,{MAX_SENTENCE_CHARS}}}+"
    r"(?:[\u3002\uff01\uff1f]++|[.!?\u2026]?\S*+)"
)
