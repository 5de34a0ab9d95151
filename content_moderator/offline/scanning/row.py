"""Reads texts from JSON Lines, CSV or plain lines, one row at a time, with the position of each."""

import csv
import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, Literal

import orjson

from content_moderator.domain.errors import ScanError
from content_moderator.text.normalization import is_unicode

Form = Literal["jsonl", "csv", "tsv", "lines"]

FORMS: Final[Mapping[str, Form]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
}
"""The formats by file name extension; anything else is plain lines."""

TEXT: Final = "text"
MAX_FIELD_CHARS: Final = 10_000_000
"""The largest CSV field. A longer one comes from a quotation mark that is not closed."""

MAX_LINE_BYTES: Final = 10_000_000
"""
The longest line. A longer one is a bad row and is not kept in memory; only its number and size are reported.
"""

NOT_UTF8: Final = "not UTF-8"

MAX_NAMES_SHOWN, MAX_NAME_SHOWN = 40, 30
"""
The number of columns in an error, and of characters of each: without a header, they are texts of the first
row.
"""

MISSING: Final = object()
"""The value of a member that does not exist."""

ARRAY: Final = "the input is a JSON array; rows are one JSON object a line: jq -c '.[]' makes them"

_DELIMITERS: Final = ",;\t|"
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row of the input.

    Args:
        line: Number of its first line, from 1.
        raw: The row as read; bytes that are not UTF-8 are lone surrogates.
        text: The text to judge; None if the row is bad.
        kept: The fields to copy.
        problem: The problem of a bad row; never its content.
    """

    line: int
    raw: str
    text: str | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


class LongLineError(Exception):
    """
    A line exceeds the longest length; it was skipped.

    Args:
        size: The size of the line in bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"the line has {size} bytes; {MAX_LINE_BYTES} at most are read")


class Lines:
    """
    The lines of a binary stream, with the position and the digest of what was read.

    Args:
        stream: The stream, at its beginning.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.offset = 0
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._stream.readline(MAX_LINE_BYTES + 1)
        if not raw:
            raise StopIteration
        self._pass(raw)
        self.number += 1
        if len(raw) > MAX_LINE_BYTES:
            self._skip_line(raw)
        line = raw.decode("utf-8", "surrogateescape")
        self.taken.append(line)
        # A byte order mark is not part of the first field.
        return line.removeprefix("\ufeff") if self.number == 1 else line

    def _skip_line(self, raw: bytes) -> None:
        size = len(raw)
        while not raw.endswith(b"\n") and (raw := self._stream.readline(_BLOCK_BYTES)):
            self._pass(raw)
            size += len(raw)
        raise LongLineError(size)

    @property
    def digest(self) -> str:
        """Return the digest of what was read, in hexadecimal digits."""
        return self._digest.hexdigest()

    def skip_to(self, offset: int, number: int) -> None:
        """
        Skip what an earlier scan has read.

        Raises:
            ScanError: The input is shorter.
        """
        while self.offset < offset:
            block = self._stream.read(min(_BLOCK_BYTES, offset - self.offset))
            if not block:
                raise ScanError("the input is shorter than what an earlier run has read")
            self._pass(block)
        self.number = number

    def _pass(self, data: bytes) -> None:
        self._digest.update(data)
        self.offset += len(data)


class RowReader:
    """
    Reads rows.

    Args:
        lines: The lines of the input.
        form: The format of the rows.
        text_field: The field with the text; ignored for plain lines.
        keep: Other fields to copy.
        max_chars: Longest text; longer ones are bad rows.
    Raises:
        ScanError: The input does not have these fields.
    """

    def __init__(
        self, lines: Lines, form: Form, *, text_field: str, keep: Sequence[str], max_chars: int
    ) -> None:
        self._lines = lines
        self._text_field = text_field
        self._keep = keep
        self._max_chars = max_chars
        self._columns: list[str] = []
        self._read: Callable[[], Iterator[Row]]
        if form in {"csv", "tsv"}:
            csv.field_size_limit(MAX_FIELD_CHARS)
            self._read_header("," if form == "csv" else "\t")
            self._read = self._read_records
        else:
            if form == "lines" and set(keep) - {TEXT}:
                raise ScanError(f"plain lines have no fields but {TEXT}")
            self._read = self._read_objects if form == "jsonl" else self._read_lines

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows from the current line on, without blank ones."""
        return self._read()

    def _read_header(self, delimiter: str) -> None:
        try:
            first = next(self._lines, "")
            delimiter = delimiter_of(first, delimiter)
            self._records = csv.reader(
                itertools.chain([first], self._lines), delimiter=delimiter, strict=True
            )
            self._columns = next(self._records, [])
        except (csv.Error, LongLineError) as error:
            raise ScanError(f"the header is not CSV: {error}") from error
        if not all(map(is_unicode, self._columns)):
            raise ScanError("the header is not UTF-8")
        self._column_of = {name: self._column(name) for name in (self._text_field, *self._keep)}

    def _column(self, name: str) -> int:
        """Return the column with this name; without an exact match, ignore case and surrounding spaces."""
        for same in (lambda other: other == name, lambda other: plain(other) == plain(name)):
            found = [place for place, column in enumerate(self._columns) if same(column)]
            if len(found) > 1:
                raise ScanError(f"several columns are named {self._columns[found[0]]!r}")
            if found:
                return found[0]
        there = listed(self._columns)
        if not there:
            raise ScanError("the input is empty: it has no header")
        hint = ". --text-field names another" if name == self._text_field else ", of which --keep repeats any"
        raise ScanError(f"no column {name!r}; there are: {there}{hint}")

    def _each_line(self) -> Iterator[str | Row]:
        """Yield each line, or a bad row for a line that is too long."""
        while True:
            try:
                yield next(self._lines)
            except StopIteration:
                return
            except LongLineError as error:
                self._lines.taken.clear()
                yield self._bad(str(error))

    def _read_lines(self) -> Iterator[Row]:
        for line in self._each_line():
            if isinstance(line, Row):
                yield line
                continue
            self._lines.taken[:-1] = []
            text = line.rstrip("\r\n")
            yield from self._row(text, {TEXT: text}, TEXT)

    def _read_objects(self) -> Iterator[Row]:
        for line in self._each_line():
            if isinstance(line, Row):
                yield line
                continue
            self._lines.taken[:-1] = []
            if not line.strip():
                continue
            try:
                # This also fails for bytes that are not UTF-8.
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                if self._lines.number == 1 and line.lstrip().startswith("["):
                    raise ScanError(ARRAY) from None
                yield self._bad("not JSON in UTF-8")
                continue
            fields = {self._text_field: value} if isinstance(value, str) else value
            if isinstance(fields, list) and self._lines.number == 1:
                raise ScanError(ARRAY)
            if not isinstance(fields, dict):
                yield self._bad("neither an object nor a text")
                continue
            text = member(fields, self._text_field)
            if text is MISSING:
                yield self._bad(f"no field {self._text_field}")
                continue
            kept = {
                name: None if (value := member(fields, name)) is MISSING else value for name in self._keep
            }
            yield from self._row(text, kept, self._text_field, blank_is_bad=True)

    def _read_records(self) -> Iterator[Row]:
        while True:
            self._lines.taken.clear()
            try:
                record = next(self._records)
            except StopIteration:
                return
            except LongLineError as error:
                # If the record began on an earlier line, that part is lost as well.
                yield self._bad(str(error))
                continue
            except csv.Error as error:
                yield self._bad(f"not CSV: {error}")
                continue
            if not record:
                continue
            if len(record) != len(self._columns):
                yield self._bad(f"{len(record)} columns, but the header has {len(self._columns)}")
                continue
            fields = {name: record[place] for name, place in self._column_of.items()}
            yield from self._row(fields[self._text_field], fields, self._text_field, blank_is_bad=True)

    def _row(
        self, text: object, fields: Mapping[str, Any], name: str, *, blank_is_bad: bool = False
    ) -> Iterator[Row]:
        if not isinstance(text, str):
            yield self._bad(f"{name} is not a text")
        elif not text.strip():
            if blank_is_bad:
                yield self._bad(f"{name} is blank")
        elif len(text) > self._max_chars:
            yield self._bad(f"{name} has {len(text)} characters; http.max_text_chars is {self._max_chars}")
        elif not is_unicode(text):
            yield self._bad(NOT_UTF8)
        else:
            kept = {key: fields.get(key) for key in self._keep}
            if _is_json(kept):
                yield Row(self._begin(), self._raw(), text, kept)
            else:
                yield self._bad("a field to keep is not UTF-8, or has too many levels")

    def _bad(self, problem: str) -> Row:
        return Row(self._begin(), self._raw(), problem=problem)

    def _begin(self) -> int:
        return self._lines.number - max(len(self._lines.taken), 1) + 1

    def _raw(self) -> str:
        raw = "".join(self._lines.taken)
        self._lines.taken.clear()
        return raw


def member(fields: Mapping[str, Any], name: str) -> Any:
    """
    Return a member of an object, by name or by path.

    Args:
        fields: The object.
        name: A name, names separated by dots ("comment.body", "items.0.text"), or a JSON pointer ("/a/b").
    Returns:
        The value, or ``MISSING``.
    """
    if name in fields:
        return fields[name]
    way = name[1:].split("/") if name.startswith("/") else name.split(".")
    found: Any = fields
    for step in way:
        if isinstance(found, Mapping) and step in found:
            found = found[step]
        elif isinstance(found, list) and _INDEX.fullmatch(step) and int(step) < len(found):
            found = found[int(step)]
        else:
            return MISSING
    return found


_INDEX: Final = re.compile("[0-9]{1,9}")


def delimiter_of(header: str, usual: str) -> str:
    """Return the delimiter of a header: the one that gives the most columns."""
    outside: str = _QUOTED.sub("", header)
    signs: list[str] = [usual, *_DELIMITERS]
    return max(signs, key=outside.count)


_QUOTED: Final = re.compile('"[^"]*"')


def plain(column: str) -> str:
    """Return a name in lower case and without surrounding spaces."""
    return column.strip(" \t\ufeff").casefold()


def shown(name: str) -> str:
    """Quote the beginning of a name for an error; it can be a text."""
    return repr(name if len(name) <= MAX_NAME_SHOWN else f"{name[: MAX_NAME_SHOWN - 3]}...")


def listed(columns: Sequence[str]) -> str:
    """Return the names of columns as a list for an error."""
    more = f" and {len(columns) - MAX_NAMES_SHOWN} more" if len(columns) > MAX_NAMES_SHOWN else ""
    return ", ".join(map(shown, columns[:MAX_NAMES_SHOWN])) + more


def _is_json(kept: Mapping[str, Any]) -> bool:
    """Return whether fields can be written as JSON."""
    try:
        orjson.dumps(kept)
    except TypeError:
        return False
    return True
