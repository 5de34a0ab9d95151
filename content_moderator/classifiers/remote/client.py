"""KoalaAI/Text-Moderation on a remote server."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import Final

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from content_moderator.classifiers.remote.wire_formats import HUGGING_FACE, WireFormat, error_of
from content_moderator.config.settings import Secret
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, ClassifierIdentity, Outcome
from content_moderator.domain.errors import (
    BadReplyError,
    ClassifierError,
    ClassifierUnavailableError,
    ConfigurationError,
    DeadlineExceededError,
)
from content_moderator.net.http import IDENTITY, OutboundSession, Reply

KOALA: Final = "koala"


class RemoteClassifier:
    """
    Sends texts to a server with one of several text-classification APIs, one request for each call.

    It does not retry, does not follow redirects, ignores proxies and netrc of the environment, and stops at
    its deadline and its limit of bytes. Retries, queueing and stand-ins are the task of its wrappers.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Secret | None,
        identity: ClassifierIdentity,
        connect_timeout_seconds: float,
        max_reply_bytes: int,
        wire_format: WireFormat = HUGGING_FACE,
        ca_file: str | None = None,
    ) -> None:
        self.identity = identity
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        # With compression, a small reply could become a large one.
        headers["Accept-Encoding"] = IDENTITY
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        try:
            self._request = requests.Request("POST", url, headers=headers).prepare()
        except requests.RequestException as error:
            raise ConfigurationError("classifier.config.url: not a URL that can be called") from error
        self._connect_timeout_seconds = connect_timeout_seconds
        self._wire_format = wire_format
        self._ca_file = ca_file
        self._max_reply_bytes = max_reply_bytes
        self._thread = threading.local()

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """
        Score *texts* in one call, which succeeds or fails as a whole; see `Classifier.classify`.

        Each kind of failure has its own error class; ``retryable`` says whether a retry can help.
        """
        if not texts:
            return []
        try:
            return list(self._exchange(texts, context.deadline.remaining))
        except ClassifierError as error:
            return [error] * len(texts)

    def _exchange(self, texts: Sequence[str], seconds: float) -> list[Classification]:
        body = self._wire_format.encode_request(texts, self.identity.model)
        # Prepared once: only the body differs between two calls.
        request = self._request.copy()
        request.prepare_body(body, files=None)
        with (
            _mapped_errors(),
            self._session().exchange(
                request,
                connect_seconds=self._connect_timeout_seconds,
                seconds=seconds,
                max_bytes=self._max_reply_bytes,
            ) as reply,
        ):
            # Checked during the exchange, so that the connection is not reused after an unusable reply.
            scores = self._wire_format.decode_reply(self._checked(reply), texts=len(texts))
            return [Classification(each, self.identity) for each in scores]

    def _checked(self, reply: Reply) -> bytes:
        """Return the body of a successful reply."""
        if reply.status != requests.codes.ok:
            raise error_of(reply.status, reply.headers, reply.body)
        if reply.compressed:
            raise BadReplyError("the reply is compressed, although that was not requested")
        if len(reply.body) > self._max_reply_bytes:
            raise BadReplyError(f"the reply is larger than {self._max_reply_bytes} bytes")
        if not reply.body:
            # http.client reports a connection that is closed within the headers in this way.
            raise ClassifierUnavailableError("the reply is empty")
        return reply.body

    def _session(self) -> OutboundSession:
        """Return the session of this thread: requests does not guarantee that threads can share one."""
        session: OutboundSession | None = getattr(self._thread, "session", None)
        if session is None:
            session = self._thread.session = OutboundSession(self._ca_file)
        return session


@contextmanager
def _mapped_errors() -> Iterator[None]:
    """
    Convert all exceptions of requests and urllib3 into our own errors.

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
    except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
        # ValueError: http.client, urllib3 or requests could not parse a part of the reply.
        raise ClassifierUnavailableError("the exchange failed") from error
