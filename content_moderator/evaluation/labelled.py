"""Labelled rows as JSON Lines, and what is wrong with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson
from marshmallow import Schema, ValidationError, fields, validate

from content_moderator.core.cleaning import clean
from content_moderator.core.policy import ANY
from content_moderator.core.text import normalise
from content_moderator.validation import flatten_messages


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


def _row_schema(names: Sequence[str]) -> Schema:
    known = validate.OneOf(names, error="Unknown label; there are: {choices}.")
    labels = fields.Dict(
        keys=fields.String(validate=known),
        values=fields.Boolean(truthy={True}, falsy={False}),
        required=True,
        validate=[validate.Length(min=1, error="Must name at least one label."), _check_any],
    )
    text = fields.String(required=True, validate=validate.Regexp(r"(?s).*\S", error="Must not be blank."))
    return Schema.from_dict({"text": text, "labels": labels}, name="LabelledRowSchema")()


def _check_any(labels: Mapping[str, bool]) -> None:
    if labels.get(ANY) is False and any(labels.values()):
        raise ValidationError(f"{ANY} is false, but a label is true.")


def near_duplicate_key(text: str) -> str:
    """Texts that begin with the same words are taken for versions of one, and never split between folds."""
    return " ".join(normalise(text).split()[:6])


def read_rows(lines: Iterable[bytes], names: Sequence[str]) -> tuple[list[LabelledRow], list[BadRow]]:
    """
    Read JSON Lines of ``{"text": "...", "labels": {"HR": true, "S": false}}``; blank lines are skipped.

    Args:
        lines: Of the file.
        names: The labels that there are, ANY included.
    Returns:
        The good rows and the bad ones. ANY is filled in where it follows from the other labels.
    """
    schema = _row_schema(names)
    good: list[LabelledRow] = []
    bad: list[BadRow] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = schema.load(orjson.loads(line))
        except orjson.JSONDecodeError:
            bad.append(BadRow(number, "not JSON"))
        except ValidationError as error:
            bad.append(BadRow(number, _problem(error)))
        else:
            good.append(LabelledRow(clean(row["text"]), _with_any(row["labels"], names)))
    return good, bad


def _problem(error: ValidationError) -> str:
    found = flatten_messages(error.messages, transparent=("_schema", "key", "value"))
    return "; ".join(f"{'.'.join(map(str, path)) or 'row'}: {message}" for path, message in found)


def _with_any(labels: Mapping[str, bool], names: Sequence[str]) -> dict[str, bool]:
    known = dict(labels)
    others = [name for name in names if name != ANY]
    if any(known.get(name) for name in others):
        known[ANY] = True
    elif all(name in known for name in others):
        known.setdefault(ANY, False)
    return known
