"""How gunicorn writes responses: in one piece, and what is not HTTP is answered as every other error is."""

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
Headers that gunicorn has checked: most are the same in every answer, and checking them takes a tenth of it.
"""


class WholeResponse(Response):
    """
    A response without a name of the server, which leaves in one piece.

    gunicorn sends the headers by themselves: a proxy that has them can ask no other worker any more when this
    one is killed before the body. It has no setting for either.
    """

    _held = b""

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Check the headers, but for those that have the value which the last one of that name had."""
        kept = cast(list[tuple[str, str]], self.headers)
        fresh = []
        for header in headers:
            if _checked.get(header[0]) == header[1]:
                kept.append(header)
            else:
                fresh.append(header)
        super().process_headers(fresh)
        for name, value in fresh:
            # gunicorn keeps what it has found well-formed, and reads the length.
            if (name, value) in kept and name.lower() != "content-length":
                if len(_checked) >= MAX_CHECKED:
                    _checked.clear()
                _checked[name] = value

    def default_headers(self) -> list[str]:
        """Return gunicorn's headers but for ``Server``."""
        return [line for line in super().default_headers() if not line.startswith("Server:")]

    def send_headers(self) -> None:
        """Hold the headers back until there is a part of the body."""
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
        """Send what is held back, and end the response."""
        self.send_headers()
        if self._held:
            self._release(b"")
        super().close()


def write_error(sock: Any, status_int: int, reason: str, mesg: str) -> None:  # noqa: ARG001  (as in gunicorn)
    """
    Answer what is not HTTP in the form of all errors: gunicorn would send a page that quotes the request.

    Behind a reverse proxy nobody sees it.
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
    """Have gunicorn write responses so."""
    wsgi.Response = WholeResponse  # type: ignore[misc]
    util.write_error = write_error
