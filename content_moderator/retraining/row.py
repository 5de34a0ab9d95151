"""Labelled rows as JSON Lines, and what is wrong with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from content_moderator.classifiers.embedded_model import HEADS
from content_moderator.core.policy import ANY
from content_moderator.core.text import clean, normalise
from content_moderator.errors import flatten_messages


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """
    A text and what is known of it.

    Args:
        text: Cleaned, not blank.
        labels: Whether each known head applies; an absent one is unknown, not 0.
    """

    text: str
    labels: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that cannot be used, counted from 1, and why; never its content."""

    line: int
    problem: str


class _RowSchema(Schema):
    text = fields.String(required=True, validate=validate.Regexp(r"(?s).*\S", error="Must not be blank."))
    labels = fields.Dict(
        keys=fields.String(validate=validate.OneOf(HEADS, error="Unknown label; there are: {choices}.")),
        values=fields.Boolean(truthy={True}, falsy={False}),
        required=True,
        validate=validate.Length(min=1, error="Must name at least one label."),
    )

    @validates_schema
    def _any_follows(self, data: Mapping[str, Any], **_: Any) -> None:
        labels = data.get("labels", {})
        if labels.get(ANY) is False and any(labels.values()):
            raise ValidationError(f"{ANY} is false, but a label is true.", "labels")


def near_duplicate_key(text: str) -> str:
    """Texts that begin with the same words are taken for versions of one, and never split between folds."""
    return " ".join(normalise(text).split()[:6])


def read_rows(lines: Iterable[bytes]) -> tuple[list[LabelledRow], list[BadRow]]:
    """
    Read JSON Lines of ``{"text": "...", "labels": {"HR": true, "S": false}}``; blank lines are skipped.

    Returns:
        The good rows and the bad ones. ANY is filled in where it follows from the other labels.
    """
    good: list[LabelledRow] = []
    bad: list[BadRow] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _RowSchema().load(orjson.loads(line))
        except orjson.JSONDecodeError:
            bad.append(BadRow(number, "not JSON"))
        except ValidationError as error:
            bad.append(BadRow(number, _problem(error)))
        else:
            good.append(LabelledRow(clean(row["text"]), _with_any(row["labels"])))
    return good, bad


def _problem(error: ValidationError) -> str:
    found = flatten_messages(error.messages, transparent=("_schema", "key", "value"))
    return "; ".join(f"{'.'.join(map(str, path)) or 'row'}: {message}" for path, message in found)


def _with_any(labels: Mapping[str, bool]) -> dict[str, bool]:
    known = dict(labels)
    others: Sequence[str] = HEADS[:-1]
    if any(known.get(name) for name in others):
        known[ANY] = True
    elif all(name in known for name in others):
        known.setdefault(ANY, False)
    return known
