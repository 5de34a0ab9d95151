"""Opens compressed files and other encodings as one stream of UTF-8."""

import codecs
import gzip
import io
from pathlib import Path
from typing import Any, BinaryIO, Final

from content_moderator.domain.errors import ScanError

LOOKED_AT_BYTES: Final = 65_536
"""The number of bytes at the beginning by which the kind of input is detected."""

_BLOCK_BYTES: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_OTHERS: Final = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"%PDF": "PDF",
    b"PAR1": "Parquet",
}
_MARKS: Final = (
    # The longer ones first: the mark of UTF-32 begins like that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF_8: Final = "utf-8"


def known_encoding(name: str) -> str:
    """
    Return Python's name of a text encoding.

    Raises:
        ScanError: The encoding is unknown.
    """
    try:
        found = codecs.lookup(name)
        "".encode(found.name)
    except (LookupError, ValueError) as error:
        raise ScanError(
            f"there is no encoding {name!r}; known are utf-8, utf-16, cp1252, latin-1, ..."
        ) from error
    return found.name


def as_utf8(stream: BinaryIO, name: str, encoding: str | None = None) -> BinaryIO:
    """
    Return *stream* decompressed and converted to UTF-8.

    Args:
        stream: The stream, at its beginning.
        name: The name of the input, for errors.
        encoding: The encoding of the text; if None, by its byte order mark, otherwise UTF-8.
    Raises:
        ScanError: The input is not text.
    """
    peeked = _peekable(stream)
    begin = _peek(peeked)
    if begin.startswith(_GZIP):
        peeked = io.BufferedReader(_Unzipped(peeked, name), _BLOCK_BYTES)
        begin = _peek(peeked)
    if begin.startswith(_ZIP):
        raise ScanError(f"{name} is a zip archive, as .xlsx is; save it as CSV, or unpack it")
    for magic, kind in _OTHERS.items():
        if begin.startswith(magic):
            raise ScanError(f"{name} is {kind}; unpack it, or save it as CSV or JSON Lines")
    chosen = encoding or next((of for mark, of in _MARKS if begin.startswith(mark)), _UTF_8)
    if chosen not in {"utf-8", "utf-8-sig", "ascii"}:
        return io.BufferedReader(_Recoded(peeked, chosen, name), _BLOCK_BYTES)
    if b"\x00" in begin:
        wide = _looks_wide(begin)
        raise ScanError(
            f"{name} has NUL bytes: "
            + (f"it looks like {wide}; say --encoding {wide}" if wide else "it is no text")
        )
    return peeked


def inner_name(name: str) -> str:
    """Return the name of a file without the extension for compression."""
    return str(Path(name).with_suffix("")) if Path(name).suffix.lower() == ".gz" else name


def _looks_wide(begin: bytes) -> str | None:
    """Return the kind of UTF-16 that bytes look like: for English every second byte is NUL."""
    even, odd = begin[::2].count(0), begin[1::2].count(0)
    if max(even, odd) < len(begin) // 5:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _peekable(stream: BinaryIO) -> io.BufferedReader:
    if isinstance(stream, io.BufferedReader):
        return stream
    return io.BufferedReader(_Plain(stream), _BLOCK_BYTES)


def _peek(stream: io.BufferedReader) -> bytes:
    return stream.peek(LOOKED_AT_BYTES)[:LOOKED_AT_BYTES]


class _Reading(io.RawIOBase):
    """A raw stream with the bytes of `_more`, which returns none at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = self._more()
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def _more(self) -> bytes:
        raise NotImplementedError


class _Plain(_Reading):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream

    def _more(self) -> bytes:
        return self._stream.read(_BLOCK_BYTES)


class _Unzipped(_Reading):
    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__()
        self._file = gzip.GzipFile(fileobj=stream)
        self._name = name

    def _more(self) -> bytes:
        try:
            return self._file.read(_BLOCK_BYTES)
        except (EOFError, OSError) as error:
            raise ScanError(f"{self._name} is not intact gzip: {error}") from error


class _Recoded(_Reading):
    """Converts text to UTF-8. An invalid byte is kept, and makes a bad row."""

    def __init__(self, stream: BinaryIO, encoding: str, name: str) -> None:
        super().__init__()
        self._stream = stream
        self._name = name
        self._encoding = encoding
        errors = (
            "replace" if encoding.startswith(("utf-16", "utf-32", "utf_16", "utf_32")) else "surrogateescape"
        )
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)

    def _more(self) -> bytes:
        try:
            while block := self._stream.read(_BLOCK_BYTES):
                if text := self._decoder.decode(block):
                    return text.encode(_UTF_8, "surrogateescape")
            return self._decoder.decode(b"", final=True).encode(_UTF_8, "surrogateescape")
        except UnicodeError as error:
            raise ScanError(f"{self._name} is not {self._encoding}") from error
