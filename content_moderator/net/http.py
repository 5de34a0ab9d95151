"""
The hardened outbound HTTP client: requests sessions with one deadline and a limit of bytes.

No proxies or netrc, no redirects, no cookies and no compression. A connection is reused only after a complete
exchange.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Timeout

from content_moderator.net import connection

IDENTITY: Final = "identity"


@dataclass(frozen=True, slots=True)
class Reply:
    """
    The reply of a server.

    Args:
        status: HTTP status code.
        headers: Case-insensitive.
        body: The bytes, at most one more than the limit.
    """

    status: int
    headers: requests.structures.CaseInsensitiveDict[str]
    body: bytes

    @property
    def compressed(self) -> bool:
        """Whether the body is compressed, although compression was not requested."""
        return self.headers.get("Content-Encoding", IDENTITY).lower() != IDENTITY


class OutboundSession(requests.Session):
    """
    A session for one thread, with at most one connection.

    Args:
        ca_file: Path of the file of certificate authorities; None for the public ones.
    """

    def __init__(self, ca_file: str | None = None) -> None:
        super().__init__()
        self.trust_env = False
        self.verify = ca_file or True
        self.headers.clear()
        # requests would store cookies that a server sets.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        adapter = _DeadlineAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """
        Return no redirect target: requests would read the whole body of a redirect, even if it does not
        follow it.
        """

    @contextmanager
    def exchange(
        self,
        request: requests.PreparedRequest,
        *,
        connect_seconds: float,
        seconds: float,
        max_bytes: int,
    ) -> Iterator[Reply]:
        """
        Make one exchange; the block accepts the reply by ending without an exception.

        The connection is kept only if the reply is accepted, the status is 200 and no bytes are left.
        Otherwise a late reply would be taken for the reply to the next request.

        Args:
            request: The prepared request.
            connect_seconds: Longest time to connect.
            seconds: Longest time of the whole exchange.
            max_bytes: Limit for the body.
        Raises:
            RequestException, HTTPError, OSError, ValueError: As raised by requests, urllib3 and http.client.
        """
        # types-requests does not know that requests accepts urllib3's Timeout.
        timeout: Any = Timeout(connect=min(connect_seconds, seconds), total=seconds)
        sound = False
        try:
            with self.send(request, timeout=timeout, allow_redirects=False, stream=True) as response:
                body = _read(response, max_bytes)
                yield Reply(response.status_code, response.headers, body)
                answer = response.raw._original_response  # noqa: SLF001  (requests reads it, too)
                complete = isinstance(answer, connection.Answer) and answer.complete
                sound = complete and response.status_code == requests.codes.ok
        finally:
            if not sound:
                self.close()


def _read(response: requests.Response, max_bytes: int) -> bytes:
    """Read to the end, or one byte more than the limit; only reading to the end detects a truncated body."""
    body = b""
    while wanted := max_bytes + 1 - len(body):
        part: bytes = response.raw.read(wanted, decode_content=False)
        if not part:
            break
        body += part
    return body


class _DeadlineAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = connection.POOLS
