"""
Reads request bodies and JSON strictly.

With gunicorn, Werkzeug silently truncates a chunked body at its limit and accepts an incomplete body. The
standard library's JSON accepts NaN, UTF-16 and lone surrogates, and fails on deep nesting with a
RecursionError. Here each of these is a clear 4xx, and nothing is read beyond the limit.
"""

import collections
import contextlib
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import orjson

from content_moderator.domain.errors import (
    BodyNotJsonError,
    BodyTooLargeError,
    BodyUnreadableError,
    FieldError,
    InvalidFieldsError,
    RequestError,
    UnsupportedEncodingError,
    UnsupportedMediaTypeError,
)

MAX_DISCARDED_BYTES: Final = 8 * 1024 * 1024
"""
The number of bytes beyond the limit that are read and dropped, so that the client sees the 413 and can reuse
the connection. gunicorn drains 64 KiB and then closes the connection, although it has announced to keep it.
"""

MAX_GZIP_MEMBERS: Final = 1024
"""The largest number of gzip members; each costs some microseconds, even if it is empty."""

_READ_BYTES: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


MAX_MEMBERS: Final = 64
"""
The largest number of members of an object: three times what any request needs. Each unknown one becomes an
error.
"""

MAX_ITEMS: Final = 2048
"""The largest number of items of a list; schemas can allow fewer."""

MAX_DEPTH: Final = 8
"""The largest depth of nesting."""

MAX_VALUES: Final = 20_000
"""
The largest number of values: three times that of the longest list of texts. More are refused before parsing.
"""

# The end of a string is optional, so that an incomplete body is not searched again from each quotation mark.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)

_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def read_json(environ: Mapping[str, Any], *, limit_bytes: int, mend_surrogates: bool = False) -> Any:
    """
    Read the body as one JSON value; a missing body counts as an empty object.

    Args:
        environ: The WSGI environment.
        limit_bytes: Largest size of the body, as sent and after decompression.
        mend_surrogates: Whether lone surrogates, which remain where texts are cut, are replaced by U+FFFD.
            Otherwise they make the body invalid.
    Returns:
        The value.
    Raises:
        RequestError: The body is too large, incomplete, of another type or not JSON, or has too many members,
            items or levels.
    """
    body = read_body(environ, limit_bytes=limit_bytes)
    if not body:
        return {}
    _check_media_type(environ.get("CONTENT_TYPE", ""))
    _check_values(body)
    value = _loads(body, mend_surrogates=mend_surrogates)
    _check_size(value, "#", MAX_DEPTH)
    return value


def _loads(body: bytes, *, mend_surrogates: bool) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not mend_surrogates:
            raise BodyNotJsonError from error
    try:
        return orjson.loads(_ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], body))
    except orjson.JSONDecodeError as error:
        raise BodyNotJsonError from error


def _check_values(body: bytes) -> None:
    """
    Refuse JSON with too many values before parsing, because the values take fifty times as much memory.

    Raises:
        InvalidFieldsError: There are more than ``MAX_VALUES``.
    """
    if _separators(body) > MAX_VALUES and _separators(_STRING.sub(b"", body)) > MAX_VALUES:
        raise InvalidFieldsError([FieldError(f"Must have at most {MAX_VALUES} values.", "#")])


def _separators(text: bytes) -> int:
    """Return the number of signs that can precede values, including those in strings."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _check_size(value: Any, pointer: str, depth: int) -> None:
    """
    Refuse objects, lists and nesting that are larger than any valid request.

    Raises:
        InvalidFieldsError: A limit is exceeded.
    """
    if not isinstance(value, (dict, list)):
        return
    most, parts = (MAX_MEMBERS, "members") if isinstance(value, dict) else (MAX_ITEMS, "items")
    if len(value) > most:
        raise InvalidFieldsError(
            [FieldError(f"Must have at most {most} {parts}; this has {len(value)}.", pointer)]
        )
    if not depth:
        raise InvalidFieldsError([FieldError(f"Must have at most {MAX_DEPTH} levels.", pointer)])
    for each in value.values() if isinstance(value, dict) else value:
        # Keys are not named, because they come from the caller and can be anything.
        _check_size(each, pointer, depth - 1)


def read_body(environ: Mapping[str, Any], *, limit_bytes: int) -> bytes:
    """
    Read and decompress the body.

    Args:
        environ: The WSGI environment.
        limit_bytes: Largest size of the body, as sent and after decompression.
    Raises:
        BodyTooLargeError: The body is larger.
        BodyUnreadableError: The body ended early or is not encoded as its headers say.
        UnsupportedEncodingError: The body has a compression other than gzip.
    """
    encoding = environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    plain = _Gunzip(limit_bytes) if encoding in {"gzip", "x-gzip"} else _Plain()
    sent = _read_into(plain, environ, limit_bytes)
    if sent and encoding not in {"identity", "gzip", "x-gzip"}:
        raise UnsupportedEncodingError
    return plain.end()


class _Plain:
    """Collects an uncompressed body."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def take(self, part: bytes) -> None:
        self._parts.append(part)

    def end(self) -> bytes:
        return b"".join(self._parts)


class _Gunzip:
    """
    Decompresses a body of gzip members twice: while it arrives, to measure its size, and at the end, to
    return it.

    A gzip bomb is refused at its beginning, before decompressed data is stored.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._left = self._limit_bytes = limit_bytes
        self._sent: list[bytes] = []
        self._member: Any = None
        self._members = 0

    def take(self, part: bytes) -> None:
        self._sent.append(part)
        while part:
            self._member = self._member or self._begin()
            try:
                self._left -= len(self._member.decompress(part, _READ_BYTES))
            except zlib.error as error:
                raise BodyUnreadableError from error
            if self._left < 0:
                raise BodyTooLargeError(self._limit_bytes)
            if self._member.eof:
                part, self._member = self._member.unused_data, None
            else:
                part = self._member.unconsumed_tail

    def _begin(self) -> Any:
        self._members += 1
        if self._members > MAX_GZIP_MEMBERS:
            raise BodyUnreadableError
        return zlib.decompressobj(_GZIP)

    def end(self) -> bytes:
        if self._member is not None:
            raise BodyUnreadableError
        # All members in one pass, because a pass for each would copy the rest each time.
        return gzip.GzipFile(fileobj=io.BytesIO(b"".join(self._sent))).read() if self._sent else b""


def _read_into(plain: _Plain | _Gunzip, environ: Mapping[str, Any], limit_bytes: int) -> int:
    """Read the body; return the number of bytes as sent."""
    declared = _declared_length(environ)
    if declared is None and not environ.get("wsgi.input_terminated"):
        return 0
    stream = environ["wsgi.input"]
    if declared is not None and declared > limit_bytes:
        # A client with an Expect header has not sent anything yet.
        if not environ.get("HTTP_EXPECT"):
            _discard(stream, declared)
        raise BodyTooLargeError(limit_bytes)
    sent = 0
    try:
        for part in pieces(stream, limit_bytes + 1 if declared is None else declared):
            sent += len(part)
            plain.take(part)
    except RequestError:
        _discard(stream, MAX_DISCARDED_BYTES if declared is None else declared - sent)
        raise
    except Exception as error:
        # Each WSGI server has its own exceptions for a broken body; all are handled alike.
        raise BodyUnreadableError from error
    if sent > limit_bytes:
        _discard(stream, MAX_DISCARDED_BYTES)
        raise BodyTooLargeError(limit_bytes)
    if declared is not None and sent < declared:
        raise BodyUnreadableError
    return sent


def _discard(stream: _Stream, size: int) -> None:
    """Read and drop up to *size* bytes."""
    with contextlib.suppress(Exception):
        collections.deque(pieces(stream, min(size, MAX_DISCARDED_BYTES)), maxlen=0)


def _declared_length(environ: Mapping[str, Any]) -> int | None:
    """Return Content-Length; None for a chunked or missing body."""
    value = environ.get("CONTENT_LENGTH", "")
    if environ.get("HTTP_TRANSFER_ENCODING") or not value:
        return None
    if not (value.isascii() and value.isdigit()):
        raise BodyUnreadableError
    return int(value)


def pieces(stream: _Stream, wanted: int) -> Iterator[bytes]:
    """Read *wanted* bytes or to the end; a single read can return less."""
    while wanted > 0 and (part := stream.read(min(wanted, _READ_BYTES))):
        yield part
        wanted -= len(part)


def _check_media_type(content_type: str) -> None:
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaTypeError
    for parameter in filter(None, map(str.strip, parameters.lower().split(";"))):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in {"utf-8", "utf8"}:
            raise UnsupportedMediaTypeError
