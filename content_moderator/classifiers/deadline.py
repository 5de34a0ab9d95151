"""
urllib3 connections that keep one deadline for the whole exchange.

A socket time-out bounds one read: a server that drips a byte now and then is never timed out by it.
Here the read time-out that urllib3 works out for a request (what its total leaves after connecting
and sending) bounds the status line, the headers and the body together; and connecting is bounded
over all addresses of a host, not for each.
"""

import http.client
import io
import socket
import time
from functools import partial
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from content_moderator import metrics

MIN_CONNECT_SECONDS = 1.0
"""What each address of a host gets at least, while the budget lasts: one black hole must not eat it all."""

MIN_RESEND_SECONDS = 0.001
"""A time-out of 0 would mean a socket that does not block."""


class _BoundedReader(io.RawIOBase):
    """Reads a socket until a deadline on the monotonic clock."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the deadline of the exchange has passed")
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedSocket:
    """The one thing that `http.client.HTTPResponse` asks of a socket."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._sock, self._deadline))


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(cast(socket.socket, _BoundedSocket(sock, deadline)), *args, **kwargs)


class _DeadlineMixin(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        """Try the host's addresses in turn, all of them together within the connect time-out."""
        host, budget = self._dns_host, cast(float, self.timeout)
        ends = time.monotonic() + budget
        addresses = self._addresses()
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

    def _addresses(self) -> list[str]:
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        return [str(address[0]) for *_, address in found]

    def request(self, *args: Any, **kwargs: Any) -> None:
        # A kept-alive socket still has whatever time-out its last read left behind.
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
            # The server had closed the kept-alive connection, which nobody can know before: no fault, and
            # nothing of an answer has come. It is asked once more, on a new one, within the same time.
            if not self._reused:
                raise
            metrics.RETRIES.labels("stale_connection").inc()
            self.close()
            self.timeout = max(deadline - time.monotonic(), MIN_RESEND_SECONDS)
            args, kwargs = self._sent
            super().request(*args, **kwargs)
            return self._response(deadline)

    def _response(self, deadline: float) -> urllib3.HTTPResponse:
        self.response_class = partial(  # type: ignore[assignment]  # a class, or what makes its objects
            _BoundedResponse, deadline=deadline
        )
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


POOLS = {"http": DeadlineHTTPConnectionPool, "https": DeadlineHTTPSConnectionPool}
"""For `urllib3.PoolManager.pool_classes_by_scheme`."""
