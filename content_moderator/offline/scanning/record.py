"""Encodes judged rows as JSON Lines or CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from content_moderator.domain.errors import ScanError
from content_moderator.domain.label import Label
from content_moderator.domain.verdict import Verdict
from content_moderator.offline.scanning.row import Row
from content_moderator.text.normalization import is_unicode

LAYOUT: Final = 2
"""The version of the output layout; a scan with another one cannot be resumed."""

VERDICT_FIELDS: Final = (
    "labels", "flagged", "decision", "reasons", "language", "policy", "classifier", "cache", "degraded",
)  # fmt: skip
"""The fields of `Verdict.as_dict`."""


class Writer:
    """
    Encodes the output.

    Args:
        path: The output; ``.csv`` is CSV, anything else JSON Lines.
        keep: Names of the input fields to copy.
    """

    def __init__(self, path: Path, keep: Sequence[str]) -> None:
        self._csv = path.suffix.lower() == ".csv"
        self._columns = columns(keep)

    def header(self) -> bytes:
        """Return the beginning of the file."""
        return _csv_line(self._columns) if self._csv else b""

    def record(self, row: Row, verdict: Verdict) -> bytes:
        """Return the output of one row."""
        fields = {"line": row.line, **row.kept, **verdict.as_dict()}
        if not self._csv:
            return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
        flat = _flat(fields)
        return _csv_line([_cell(flat[name]) for name in self._columns])


def columns(keep: Sequence[str]) -> list[str]:
    """Return the columns of CSV."""
    scores = [label.value for label in Label]
    return [
        "line",
        *keep,
        "decision",
        "flagged",
        "language",
        "judged",
        *scores,
        "reasons",
        "classifier",
        "degraded",
    ]


def check_keep(keep: Sequence[str]) -> None:
    """
    Check that input fields can be copied next to the answer.

    Raises:
        ScanError: A field has the name of a field of the answer, or a name that is not UTF-8.
    """
    ours = {*columns(()), *VERDICT_FIELDS}
    for name in keep:
        if name in ours:
            raise ScanError(f"cannot keep {name!r}: a field of the answer has that name")
        if not is_unicode(name):
            raise ScanError(f"cannot keep {name!r}: not UTF-8")


def bad_record(row: Row, problem: str) -> bytes:
    """Return the record of a row that could not be judged, with its content, so that nothing is lost."""
    raw = row.raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    fields = {"line": row.line, "problem": problem, "row": raw.rstrip("\r\n")}
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a judged row."""
    return {
        **fields,
        **{each["label"]: each["score"] for each in fields["labels"]},
        "reasons": ";".join(map(_reason, fields["reasons"])),
        "language": fields["language"]["code"],
        "judged": fields["language"]["judged"],
        "classifier": fields["classifier"]["name"],
    }


def _reason(reason: Mapping[str, Any]) -> str:
    return f"{reason['label']}:{reason['action']}"


def _cell(value: object) -> object:
    return orjson.dumps(value).decode() if isinstance(value, (bool, dict, list)) else value


def _csv_line(cells: Sequence[object]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()
