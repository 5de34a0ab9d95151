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
        wire_format: WireFormat = HUGGING_FACE,
        ca_file: str | None = None,
    ) -> None:
        self.identity = identity
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        # Compression would let a small reply become a large one.
        headers["Accept-Encoding"] = IDENTITY
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        try:
            self._request = requests.Request("POST", url, headers=headers).prepare()
        except requests.RequestException as error:
            raise ConfigurationError("classifier.config.url: not a URL that can be asked") from error
        self._connect_timeout_seconds = connect_timeout_seconds
        self._wire_format = wire_format
        self._ca_file = ca_file
        self._max_reply_bytes = max_reply_bytes
        self._thread = threading.local()

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """
        Score *texts* in one call, which succeeds or fails as a whole; see `Classifier.classify`.

        Each kind of failure has an error of its own; ``retryable`` tells which may pass.
        """
        if not texts:
            return []
        try:
            return list(self._exchange(texts, context.deadline.remaining))
        except ClassifierError as error:
            return [error] * len(texts)

    def _exchange(self, texts: Sequence[str], seconds: float) -> list[Classification]:
        body = self._wire_format.encode_request(texts, self.identity.model)
        # Prepared once: what differs between two calls is the body.
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
            # Within the exchange: after a reply that cannot be used the connection is not used again either.
            scores = self._wire_format.decode_reply(self._checked(reply), texts=len(texts))
            return [Classification(each, self.identity) for each in scores]

    def _checked(self, reply: Reply) -> bytes:
        """Return the body of a reply that is an answer."""
        if reply.status != requests.codes.ok:
            raise error_of(reply.status, reply.headers, reply.body)
        if reply.compressed:
            raise BadReplyError("the reply is compressed, which was not asked for")
        if len(reply.body) > self._max_reply_bytes:
            raise BadReplyError(f"the reply is larger than {self._max_reply_bytes} bytes")
        if not reply.body:
            # What a connection that closes within the headers looks like to http.client.
            raise ClassifierUnavailableError("the reply is empty")
        return reply.body

    def _session(self) -> OutboundSession:
        """One session for each thread: requests does not promise that they can be shared."""
        session: OutboundSession | None = getattr(self._thread, "session", None)
        if session is None:
            session = self._thread.session = OutboundSession(self._ca_file)
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
    except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
        # ValueError: what of a reply http.client, urllib3 or requests could not read as a number or a text.
        raise ClassifierUnavailableError("the exchange failed") from error
