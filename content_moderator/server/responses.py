"""Makes gunicorn send each response in one piece, and answer malformed requests with our own error format."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, cast

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.wsgi import Response

MAX_CHECKED: Final = 64

_checked: dict[str, str] = {}
"""
Headers that gunicorn has already checked. Most are the same in every response, and checking them takes a
tenth of its time.
"""


class WholeResponse(Response):
    """
    A response that is sent in one piece, without a ``Server`` header.

    gunicorn sends the headers first. If a worker is killed before it sends the body, a proxy that already has
    the headers cannot ask another worker. There is no setting for this.
    """

    _held = b""

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Check the headers, except those with the same value as the last header of that name."""
        kept = cast(list[tuple[str, str]], self.headers)
        fresh = []
        for header in headers:
            if _checked.get(header[0]) == header[1]:
                kept.append(header)
            else:
                fresh.append(header)
        super().process_headers(fresh)
        for name, value in fresh:
            # gunicorn stores valid headers, and reads the length.
            if (name, value) in kept and name.lower() != "content-length":
                if len(_checked) >= MAX_CHECKED:
                    _checked.clear()
                _checked[name] = value

    def default_headers(self) -> list[str]:
        """Return gunicorn's headers without ``Server``."""
        return [line for line in super().default_headers() if not line.startswith("Server:")]

    def send_headers(self) -> None:
        """Hold the headers until there is a part of the body."""
        if not self.headers_sent:
            lines = [
                *self.default_headers(),
                *(f"{name}: {value}\r\n" for name, value in self.headers),
                "\r\n",
            ]
            self._held = util.to_bytestring("".join(lines), "latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        self._release(data)

    def _release(self, data: bytes) -> None:
        held, self._held = self._held, b""
        util.write(self.sock, held + data)

    def close(self) -> None:
        """Send the headers if they are still held, and end the response."""
        self.send_headers()
        if self._held:
            self._release(b"")
        super().close()


def write_error(sock: Any, status_int: int, reason: str, mesg: str) -> None:  # noqa: ARG001  (as in gunicorn)
    """
    Answer a malformed request with a problem document; gunicorn would send a page that quotes the request.

    Behind a reverse proxy, clients do not see this response.
    """
    problem = {
        "type": "about:blank",
        "title": reason,
        "status": status_int,
        "code": "internal_error" if status_int == HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request",
        "detail": "The request is not valid HTTP, or its line or headers are too large.",
    }
    body = json.dumps(problem) + "\n"
    head = (
        f"HTTP/1.1 {status_int} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, (head + body).encode("ascii"))


def install() -> None:
    """Make gunicorn use these functions."""
    wsgi.Response = WholeResponse  # type: ignore[misc]
    util.write_error = write_error
