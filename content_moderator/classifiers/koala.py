"""KoalaAI/Text-Moderation on a remote server: the only module that imports requests."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import Timeout

from content_moderator.classifiers import deadline
from content_moderator.classifiers.protocol import HUGGING_FACE, Protocol, error_of
from content_moderator.core.classification import Classification, ClassifierIdentity
from content_moderator.errors import (
    BadReplyError,
    ClassifierUnavailableError,
    ConfigurationError,
    DeadlineExceededError,
)
from content_moderator.settings import Secret

NAME: Final = "koala"


class KoalaClassifier:
    """
    Asks a server that speaks one of three text-classification APIs, once for each call.

    It never retries, follows no redirect, reads no proxy or netrc from the environment, and gives
    up at its deadline and its limit of bytes. Repeating, queueing and standing in are the work of
    the classifiers around it.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Secret | None,
        identity: ClassifierIdentity,
        connect_timeout_seconds: float,
        max_reply_bytes: int,
        protocol: Protocol = HUGGING_FACE,
        ca_file: str | None = None,
    ) -> None:
        self.identity = identity
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        # Compression would let a small reply become a large one.
        headers["Accept-Encoding"] = "identity"
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        try:
            self._request = requests.Request("POST", url, headers=headers).prepare()
        except requests.RequestException as error:
            raise ConfigurationError("classifier.config.url: not a URL that can be asked") from error
        self._connect_timeout_seconds = connect_timeout_seconds
        self._protocol = protocol
        self._ca_file = ca_file
        self._max_reply_bytes = max_reply_bytes
        self._thread = threading.local()

    def classify_within(self, texts: Sequence[str], seconds: float) -> list[Classification]:
        """
        Score *texts* in one call; see `BoundedClassifier.classify_within`.

        Raises:
            ClassifierError: Each row of the API's failures has its own; ``retryable`` tells which
                may pass.
        """
        if not texts:
            return []
        scores = self._protocol.decode_reply(self._post(texts, seconds), texts=len(texts))
        return [Classification(each, self.identity) for each in scores]

    def _post(self, texts: Sequence[str], seconds: float) -> bytes:
        request = self._protocol.encode_request(texts, self.identity.model)
        with _mapped_errors(), self._send(request, seconds) as response:
            body = self._read(response)
            if response.status_code != requests.codes.ok:
                raise error_of(response.status_code, response.headers, body)
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise BadReplyError("the reply is compressed, which was not asked for")
            if len(body) > self._max_reply_bytes:
                raise BadReplyError(f"the reply is larger than {self._max_reply_bytes} bytes")
            if not body:
                # What a connection that closes within the headers looks like to http.client.
                raise ClassifierUnavailableError("the reply is empty")
            return body

    def _read(self, response: requests.Response) -> bytes:
        """Read to the end or one byte past the limit; only a read at the end tells a body cut short."""
        body = b""
        while wanted := self._max_reply_bytes + 1 - len(body):
            part: bytes = response.raw.read(wanted, decode_content=False)
            if not part:
                break
            body += part
        return body

    def _send(self, body: bytes, seconds: float) -> requests.Response:
        # Prepared once: what differs between two calls is the body.
        prepared = self._request.copy()
        prepared.prepare_body(body, files=None)
        # types-requests does not know that urllib3's is accepted.
        timeout: Any = Timeout(connect=min(self._connect_timeout_seconds, seconds), total=seconds)
        return self._session().send(prepared, timeout=timeout, allow_redirects=False, stream=True)

    def _session(self) -> requests.Session:
        """One session for each thread: requests does not promise that they can be shared."""
        session: requests.Session | None = getattr(self._thread, "session", None)
        if session is None:
            session = self._thread.session = _new_session()
            session.verify = self._ca_file or True
        return session


class _DeadlineAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = deadline.POOLS


def _new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers.clear()
    adapter = _DeadlineAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


@contextmanager
def _mapped_errors() -> Iterator[None]:
    """
    Turn what requests and urllib3 raise into our own errors; nothing else is let through.

    The order matters: a ConnectTimeout is also a ConnectionError and a Timeout.
    """
    try:
        yield
    except requests.ConnectTimeout as error:
        raise ClassifierUnavailableError("no connection in time") from error
    except (requests.ReadTimeout, ReadTimeoutError, TimeoutError) as error:
        raise DeadlineExceededError("no complete reply in time") from error
    except requests.exceptions.SSLError as error:
        raise ClassifierUnavailableError("TLS failed") from error
    except requests.ConnectionError as error:
        raise ClassifierUnavailableError("no connection, or it broke") from error
    except (requests.RequestException, HTTPError, OSError) as error:
        raise ClassifierUnavailableError("the exchange failed") from error
