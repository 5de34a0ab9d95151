"""Encodes the records of the shared cache, and checks them: others may be able to write to the server."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from content_moderator.domain.classification import is_probability
from content_moderator.domain.label import Label

VERSION: Final = 1
"""Version of the record format; records of other versions are not read."""

MAX_BYTES: Final = 65_536
"""The largest size of a record, in bytes."""


@dataclass(frozen=True, slots=True)
class Record:
    """
    The answer about one text.

    Args:
        scores: The scores of the nine labels.
        answered_at: Time of the answer, in seconds since 1970.
        text: The folded text, to find near copies; None if texts must not be stored.
    """

    scores: dict[Label, float]
    answered_at: float
    text: str | None = None


def write_record(record: Record) -> bytes:
    """Encode a record as JSON."""
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
    Decode a record; see `write_record`.

    Raises:
        ValueError: The data is not a valid record.
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
