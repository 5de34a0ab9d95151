"""
urllib3 connections with one deadline for the whole exchange, and a check whether they can be reused.

The time-out of a socket applies to one read, so a server that sends a byte now and then never runs into it.
Here the read time-out that urllib3 computes for a request (the rest of its total after connecting and
sending) applies to the status line, the headers and the body together. The connect time-out applies to all
addresses of a host together.

If bytes are left on a connection after a reply, the next request would get them as its reply, about another
text. `Answer.complete` tells whether nothing is left; see `content_moderator.net.http`.
"""

import http.client
import io
import re
import socket
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from content_moderator.observability import metrics

MIN_CONNECT_SECONDS: Final = 1.0
"""
The least time for each address of a host, so that one address that does not answer cannot use up all of it.
"""

MIN_RESEND_SECONDS: Final = 0.001
"""The smallest time-out; 0 would make the socket non-blocking."""

MAX_INTERIM_ANSWERS: Final = 8
"""The largest number of interim responses (100 and 102 to 199, RFC 9110, 15.2) before the final one."""

_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,16}[ \t]*(?:;[^\r\n]*)?\r?\n")
_MAX_LINE_BYTES: Final = 65_536


class _BoundedReader(io.RawIOBase):
    """Reads a socket until a deadline on the monotonic clock."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.ended:
            return 0
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the deadline of the exchange has passed")
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Buffer(io.BufferedReader):
    """The received bytes that have not been read yet; `leftover` are those after the end of the reply."""

    leftover = False

    def close(self) -> None:
        if not self.closed:
            # Otherwise peek() would wait for more bytes.
            cast(_BoundedReader, self.raw).ended = True
            self.leftover = bool(self.peek(1))
        super().close()


class _BoundedSocket:
    """The one method of a socket that `http.client.HTTPResponse` uses."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _Buffer(_BoundedReader(self._sock, self._deadline))


class Answer(http.client.HTTPResponse):
    """
    A response that is read until a deadline, and that knows whether its end is certain.

    Args:
        sock: The socket to read from.
        deadline: In monotonic seconds.
    """

    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(cast(socket.socket, _BoundedSocket(sock, deadline)), *args, **kwargs)
        self._sock = sock
        self._buffer = cast(_Buffer, self.fp)

    @property
    def complete(self) -> bool:
        """Whether it was read to the end that its headers announce, with no bytes after it."""
        return self._buffer.closed and not self._buffer.leftover and self._framed and not _pending(self._sock)

    @property
    def _framed(self) -> bool:
        """Return whether exactly one thing marks its end: a length or chunks."""
        lengths = set(self.headers.get_all("Content-Length", ()))
        encodings = self.headers.get_all("Transfer-Encoding", [])
        if self.headers.defects or (lengths and encodings) or len(lengths) > 1 or self.will_close:
            return False
        if encodings:
            return [each.strip().lower() for each in encodings] == ["chunked"]
        return any(map(_LENGTH.fullmatch, lengths))

    def _read_status(self) -> tuple[str, int, str]:
        """Skip interim responses, except 101, after which another protocol follows."""
        for _ in range(MAX_INTERIM_ANSWERS + 1):
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 <= found[1] < 200 or found[1] == http.HTTPStatus.SWITCHING_PROTOCOLS:  # noqa: PLR2004
                return found
            http.client.parse_headers(self.fp)
        raise http.client.BadStatusLine("too many interim answers")

    def _get_chunk_left(self) -> int | None:
        """Read the size of the next chunk. Only digits are valid; int() would accept -5, +5 and 1_0."""
        if self.chunk_left:
            return self.chunk_left
        if self.chunk_left is not None and self.fp.read(2) != b"\r\n":
            raise http.client.IncompleteRead(b"")
        line = self.fp.readline(_MAX_LINE_BYTES)
        if not _CHUNK_SIZE.fullmatch(line):
            raise http.client.IncompleteRead(b"")
        self.chunk_left: int | None = int(line.partition(b";")[0], 16)
        if self.chunk_left == 0:
            http.client.parse_headers(self.fp)  # the trailer
            self._close_conn()  # type: ignore[attr-defined]
            self.chunk_left = None
        return self.chunk_left


def _pending(sock: Any) -> int:
    """Return the number of decrypted bytes that have not been read; the socket does not show them."""
    return sock.pending() if hasattr(sock, "pending") else 0


def addresses_of(host: str, port: int | None, seconds: float) -> list[str]:
    """
    Resolve a host name, with a time-out.

    The system's resolver has no time-out and can block for half a minute, so it runs in a separate thread.

    Raises:
        TimeoutError: The resolver did not answer in time.
        OSError, UnicodeError: As raised by ``socket.getaddrinfo``.
    """
    found: Future[list[str]] = Future()

    def resolve() -> None:
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except Exception as error:  # noqa: BLE001  (raised in the thread that waits)
            found.set_exception(error)
        else:
            found.set_result([str(address[0]) for *_, address in addresses])

    threading.Thread(target=resolve, name="resolve", daemon=True).start()
    return found.result(seconds)


class _DeadlineMixin(HTTPConnection):
    @property
    def is_connected(self) -> bool:
        return super().is_connected and not _pending(self.sock)

    def _new_conn(self) -> socket.socket:
        """Connect to the host's addresses in turn; the connect time-out applies to all of them together."""
        host, budget = self._dns_host, cast(float, self.timeout)
        ends = time.monotonic() + budget
        addresses = self._addresses(budget)
        failure: Exception = NewConnectionError(self, "the name has no address")
        try:
            for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
                remaining = ends - time.monotonic()
                if remaining <= 0:
                    break
                self._dns_host = address
                self.timeout = min(remaining, max(remaining / left, MIN_CONNECT_SECONDS))
                try:
                    return super()._new_conn()
                except (NewConnectionError, ConnectTimeoutError) as error:
                    failure = error
            raise failure
        finally:
            self._dns_host, self.timeout = host, budget

    def _addresses(self, seconds: float) -> list[str]:
        try:
            return addresses_of(self._dns_host, self.port, seconds)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "the name was not resolved in time") from error
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]

    def request(self, *args: Any, **kwargs: Any) -> None:
        # A reused socket still has the time-out of its last read.
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
        self._reused = self.sock is not None
        self._sent = args, kwargs
        super().request(*args, **kwargs)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as in urllib3
        deadline = time.monotonic() + cast(float, self.timeout)
        try:
            return self._response(deadline)
        except ConnectionError:
            # The server had closed the idle connection. That cannot be known before, and no byte of a reply
            # has arrived. The request is sent once more on a new connection, within the same time.
            if not self._reused:
                raise
            metrics.RETRIES.labels("stale_connection").inc()
            self.close()
            self.timeout = max(deadline - time.monotonic(), MIN_RESEND_SECONDS)
            args, kwargs = self._sent
            super().request(*args, **kwargs)
            return self._response(deadline)

    def _response(self, deadline: float) -> urllib3.HTTPResponse:
        self.response_class = partial(Answer, deadline=deadline)  # type: ignore[assignment]  # a class, or what makes its objects
        return super().getresponse()


class DeadlineHTTPConnection(_DeadlineMixin, HTTPConnection):
    """Plain HTTP with one deadline."""


class DeadlineHTTPSConnection(_DeadlineMixin, HTTPSConnection):
    """HTTPS with one deadline."""


class DeadlineHTTPConnectionPool(urllib3.HTTPConnectionPool):
    """A pool of plain connections."""

    ConnectionCls = DeadlineHTTPConnection


class DeadlineHTTPSConnectionPool(urllib3.HTTPSConnectionPool):
    """A pool of TLS connections."""

    ConnectionCls = DeadlineHTTPSConnection


POOLS: Final = {"http": DeadlineHTTPConnectionPool, "https": DeadlineHTTPSConnectionPool}
"""The value for `urllib3.PoolManager.pool_classes_by_scheme`."""
