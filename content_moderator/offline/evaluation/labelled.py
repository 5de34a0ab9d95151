"""Reads labelled rows in several formats, and reports the problems of bad rows."""

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from content_moderator.domain.errors import ScanError
from content_moderator.domain.label import HARMS
from content_moderator.domain.verdict import ANY
from content_moderator.offline.scanning.row import (
    MAX_FIELD_CHARS,
    MISSING,
    delimiter_of,
    listed,
    member,
    plain,
    shown,
)
from content_moderator.text.cleaning import clean
from content_moderator.text.normalization import is_unicode, normalise

TEXT_FIELDS: Final = ("text", "comment_text", "prompt", "test_case", "tweet", "comment", "message", "content")
"""The fields that can have the text, in this order, if the user names none."""

ID_FIELDS: Final = ("id", "case_id", "comment_id", "rev_id")

KNOWN_MAPS: Final[tuple[tuple[frozenset[str], tuple[str, ...]], ...]] = (
    # Jigsaw's toxic comments; "obscene" and "severe_toxic" have no counterpart among our labels.
    (
        frozenset({"comment_text", "toxic", "threat", "insult", "identity_hate"}),
        ("toxic=ANY", "threat=V", "insult=HR", "identity_hate=H"),
    ),
    # Jigsaw's unintended bias, with shares of annotators.
    (
        frozenset({"comment_text", "target", "threat", "insult", "identity_attack"}),
        ("target=ANY", "threat=V", "insult=HR", "identity_attack=H", "sexual_explicit=S"),
    ),
    (frozenset({"test_case", "label_gold"}), ("label_gold:hateful=H",)),
)
"""The columns by which a data set is recognized, and the mapping of its labels to ours."""

NAMES: Final = {label.category: label.value for label in HARMS} | {"any": ANY}
"""The labels by category name, as in the answers of the API."""

TRUE: Final = frozenset({"1", "true", "yes", "y", "t", "1.0"})
FALSE: Final = frozenset({"0", "false", "no", "n", "f", "0.0"})
NOTHING: Final = frozenset({"", "nan", "na", "n/a", "null", "none"})
"""Cells without a value, as people and pandas write them."""

SHARE: Final = 0.5
"""From this share of annotators on, a label applies."""


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """
    A text and its known labels.

    Args:
        text: The cleaned text, not blank.
        labels: Whether each known label applies; an absent one is unknown, not 0.
        line: Number of the line in the file, from 1.
        name: The id of the row, if it has one.
    """

    text: str
    labels: Mapping[str, bool]
    line: int = 0
    name: str | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """The number of a line that cannot be used, from 1, and the problem; never the content."""

    line: int
    problem: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """
    The mapping of one column to a label.

    Args:
        column: The name of the column.
        value: The value for which the label applies; None if the column has 1, true, yes or a share.
        label: One of our labels.
    """

    column: str
    value: str | None
    label: str


@dataclass(slots=True)
class RowReader:
    """
    Reads labelled rows.

    Args:
        names: The labels, including ANY.
        text_field: The field with the text; None to search for it.
        maps: Mappings of columns to labels; see `parse_maps`.
    """

    names: Sequence[str]
    text_field: str | None = None
    maps: Sequence[Mapped] = ()
    good: list[LabelledRow] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)

    def read(self, lines: Iterable[bytes]) -> tuple[list[LabelledRow], list[BadRow]]:
        """
        Read JSON Lines or CSV with a header; blank lines are skipped.

        Returns:
            The good rows and the bad rows. ANY is derived from the other labels where possible.
        Raises:
            ScanError: The file has another format, or no texts or labels at all.
        """
        decoded = (
            line.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape")
            for number, line in enumerate(lines)
        )
        first = next((line for line in decoded if line.strip()), None)
        if first is None:
            return self.good, self.bad
        if first.lstrip().startswith("["):
            raise ScanError("this is a JSON array; rows are one JSON object a line: jq -c '.[]' makes them")
        rest = itertools.chain([first], decoded)
        for line, fields in (
            self._objects(rest) if first.lstrip().startswith("{") else self._records(first, rest)
        ):
            if isinstance(fields, str):
                self.bad.append(BadRow(line, fields))
            else:
                self._add(line, fields)
        return self.good, self.bad

    def _objects(self, lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                fields = orjson.loads(line)
            except orjson.JSONDecodeError:
                yield number, "not JSON"
            else:
                yield number, fields if isinstance(fields, dict) else "not an object"

    def _records(self, header: str, lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
        csv.field_size_limit(MAX_FIELD_CHARS)
        try:
            # A quotation mark that is not closed would make the rest of the file one field.
            columns = next(csv.reader([header], delimiter=delimiter_of(header, ","), strict=True))
            records = csv.reader(lines, delimiter=delimiter_of(header, ","))
            next(records)
        except csv.Error as error:
            raise ScanError(f"the first line is no JSON object, and no header of CSV: {error}") from error
        columns = self._check_columns([column.strip(" \t\ufeff") for column in columns])
        while True:
            try:
                record = next(records, None)
            except csv.Error as error:
                yield records.line_num, f"not CSV: {error}"
                continue
            if record is None:
                return
            if not record:
                continue
            if len(record) != len(columns):
                yield records.line_num, f"{len(record)} columns, but the header has {len(columns)}"
                continue
            yield records.line_num, dict(zip(columns, record, strict=True))

    def _check_columns(self, columns: Sequence[str]) -> list[str]:
        """Return the columns; requested ones have the names by which they were requested."""
        there = listed(columns)
        wanted = [self.text_field] if self.text_field else list(TEXT_FIELDS)
        wanted += [mapped.column for mapped in self.maps]
        named = {plain(name): name for name in reversed([*wanted, *ID_FIELDS, *_KNOWN_COLUMNS])}
        columns = [named.get(plain(column), column) for column in columns]
        if self.text_field is None:
            self.text_field = next((name for name in TEXT_FIELDS if name in columns), None)
        if self.text_field is None or self.text_field not in columns:
            raise ScanError(
                f"the first line is no JSON object, and as CSV it has no column for the text: {there}. "
                "--text-field names it"
            )
        for mapped in self.maps:
            if mapped.column not in columns:
                raise ScanError(f"--map: no column {mapped.column!r}; there are: {there}")
        if not self._maps_of(columns) and not any(_label(column, self.names) for column in columns):
            raise ScanError(f"no column is a label: {there}. --map toxic=ANY,threat=V says what they mean")
        used = [each for each in columns if each in wanted or _label(each, self.names)]
        if twice := next((each for each in used if used.count(each) > 1), None):
            raise ScanError(f"several columns are named {twice!r}")
        return columns

    def _add(self, line: int, fields: Mapping[str, Any]) -> None:
        name = next((str(fields[each]) for each in ID_FIELDS if each in fields), None)
        names = [self.text_field] if self.text_field else TEXT_FIELDS
        text = next((value for each in names if (value := member(fields, each)) is not MISSING), MISSING)
        try:
            row = LabelledRow(_checked(text, names[0]), self._known_labels(fields), line, name)
        except _RowError as error:
            self.bad.append(BadRow(line, str(error), name))
        else:
            self.good.append(row)

    def _known_labels(self, fields: Mapping[str, Any]) -> dict[str, bool]:
        labels = self._labels(fields)
        if not labels:
            raise _RowError("no label is known; there are: " + ", ".join(self.names))
        return _with_any(labels, self.names)

    def _maps_of(self, columns: Iterable[str]) -> Sequence[Mapped]:
        if self.maps:
            return self.maps
        there = set(columns)
        for known, maps in KNOWN_MAPS:
            if known <= there:
                return [each for each in parse_maps(",".join(maps), self.names) if each.column in there]
        return ()

    def _labels(self, fields: Mapping[str, Any]) -> dict[str, bool]:
        found: dict[str, bool] = {}
        maps = self._maps_of(fields)
        for mapped in maps:
            value = member(fields, mapped.column)
            applies = None if value is MISSING else _applies(value, mapped.value, mapped.column)
            if applies is not None:
                found[mapped.label] = found.get(mapped.label, False) or applies
        if maps:
            return found
        within = fields.get("labels")
        if within is not None and not isinstance(within, Mapping):
            raise _RowError("labels is no object")
        for key, value in (within if within is not None else fields).items():
            label = _label(key, self.names)
            if label is None:
                if within is not None:
                    raise _RowError(
                        f"{shown(key)} is no label; there are: {', '.join(self.names)}, or their categories"
                    )
                continue
            applies = _applies(value, None, key)
            if applies is not None:
                found[label] = applies
        if found.get(ANY) is False and any(found.values()):
            raise _RowError(f"{ANY} is false, but a label is true")
        return found


_KNOWN_COLUMNS: Final = sorted(set().union(*(columns for columns, _ in KNOWN_MAPS)))


class _RowError(ValueError):
    """The problem of one row."""


def _checked(text: object, name: str) -> str:
    """Return the cleaned text."""
    if text is MISSING:
        raise _RowError(f"no field {name}")
    if not isinstance(text, str):
        raise _RowError("the text is none")
    if not text.strip():
        raise _RowError("the text is blank")
    if not is_unicode(text):
        raise _RowError("not UTF-8")
    return clean(text)


def parse_maps(written: str, names: Sequence[str]) -> list[Mapped]:
    """
    Parse mappings such as ``toxic=ANY,threat=V`` or ``label_gold:hateful=H``: a column, or one of its values,
    and a label.

    Raises:
        ScanError: The text is malformed or names no label.
    """
    found = []
    for each in filter(None, (part.strip() for part in written.split(","))):
        column, equals, named = each.rpartition("=")
        if not equals or not column.strip():
            raise ScanError(f"--map: {each!r} is not COLUMN=LABEL")
        label = _label(named, names)
        if label is None:
            raise ScanError(
                f"--map: {named.strip()!r} is no label; there are: {', '.join(names)}, or their categories"
            )
        column, colon, value = column.partition(":")
        found.append(Mapped(column.strip(), value.strip() if colon else None, label))
    return found


def _label(name: object, names: Sequence[str]) -> str | None:
    written = str(name).strip()
    # A column "s" or "v" can mean anything.
    label = NAMES.get(written.lower(), written.upper() if len(written) > 1 else written)
    return label if label in names else None


def _applies(value: Any, wanted: str | None, column: str) -> bool | None:
    """Return whether the label applies; None if the cell is empty, or -1 as in Jigsaw's test rows."""
    if wanted is not None:
        return str(value).strip().lower() == wanted.lower()
    if isinstance(value, bool):
        return value
    written = "" if value is None else str(value).strip().lower()
    if written in NOTHING:
        return None
    if written in TRUE or written in FALSE:
        return written in TRUE
    try:
        # Python would accept "0_1" as a number.
        share = float(written.replace("_", "-"))
    except ValueError:
        raise _RowError(f"{column!r} is neither true nor false, nor a share") from None
    if share < 0:
        return None
    if share > 1:
        raise _RowError(f"{column!r} is greater than 1")
    return share >= SHARE


def near_duplicate_key(text: str) -> str:
    """
    Return a key that is equal for texts with the same first words. They count as versions of one text and
    stay in one fold.
    """
    return " ".join(normalise(text).split()[:6])


def read_rows(
    lines: Iterable[bytes],
    names: Sequence[str],
    *,
    text_field: str | None = None,
    maps: Sequence[Mapped] = (),
) -> tuple[list[LabelledRow], list[BadRow]]:
    """Read rows; see `RowReader`."""
    return RowReader(names, text_field, maps).read(lines)


def harmful(row: LabelledRow) -> bool:
    """Return whether a row has any label; unknown labels count as absent."""
    return row.labels.get(ANY, any(row.labels.values()))


def _with_any(labels: Mapping[str, bool], names: Sequence[str]) -> dict[str, bool]:
    known = dict(labels)
    others = [name for name in names if name != ANY]
    if any(known.get(name) for name in others):
        known[ANY] = True
    elif all(name in known for name in others):
        known.setdefault(ANY, False)
    return known
