"""The records that are stored on a server which others can write to as well."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from content_moderator.domain.classification import is_probability
from content_moderator.domain.label import Label

VERSION: Final = 1
"""Of the form of a record: another is not read."""

MAX_BYTES: Final = 65_536
"""Longer values are not ours."""


@dataclass(frozen=True, slots=True)
class Record:
    """
    An answer about one text.

    Args:
        scores: Of the nine labels.
        answered_at: When a classifier gave them, in seconds since 1970.
        text: The folded text, for look-ups by similarity; None where texts must not be stored.
    """

    scores: dict[Label, float]
    answered_at: float
    text: str | None = None


def write_record(record: Record) -> bytes:
    """Write a record as JSON."""
    value: dict[str, Any] = {
        "v": VERSION,
        "at": record.answered_at,
        "scores": [record.scores[label] for label in Label],
    }
    if record.text is not None:
        value["text"] = record.text
    return orjson.dumps(value)


def read_record(data: bytes) -> Record:
    """
    Read what `write_record` wrote.

    Raises:
        ValueError: It is something else.
    """
    value = orjson.loads(data)
    if not isinstance(value, dict) or value.get("v") != VERSION:
        raise ValueError("not a record of this version")
    scores, answered_at, text = value.get("scores"), value.get("at"), value.get("text")
    if not isinstance(scores, list) or len(scores) != len(Label) or not all(map(is_probability, scores)):
        raise ValueError("not nine probabilities")
    if not isinstance(answered_at, (int, float)) or not (text is None or isinstance(text, str)):
        raise ValueError("not a time, or not a text")
    return Record(dict(zip(Label, map(float, scores), strict=True)), float(answered_at), text)
