"""
Answers cached texts in front of Flask.

Finding an identical text takes a microsecond; routing, validation and serialisation take two hundred. So the
simplest requests are handled here: a POST to /classify with a short JSON body that has only a text. If the
answer is in the cache, the rendered response is sent again. All other requests are passed on to Flask, with
the parsed body and the screened text. Responses are the same as those of Flask.
"""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson
import structlog

from content_moderator.cache.answer_cache import AnswerCache
from content_moderator.cache.factory import AnswerCaches
from content_moderator.cache.lookup_metrics import Lookup
from content_moderator.cache.store import Entry
from content_moderator.domain.classification import CacheOutcome
from content_moderator.domain.moderator import Moderator
from content_moderator.observability.audit import AuditLog
from content_moderator.observability.decision_metrics import counts_of
from content_moderator.text.terms import ScreenedText
from content_moderator.web.api.verdict_schema import VerdictSchema
from content_moderator.web.request_body import pieces
from content_moderator.web.request_context import Application, StartResponse
from content_moderator.web.request_record import RequestRecord, record_of
from content_moderator.web.state import Moderators

ENDPOINT: Final = "classify.classify"

MAX_BYTES: Final = 16_384
"""Longer bodies are passed on, because hashing them takes as long as Flask."""

_RESPONSE_BYTES: Final = 300
"""The memory of a rendered response besides its body, in bytes."""

_UNUSUAL: Final = (
    "HTTP_CACHE_CONTROL",
    "HTTP_CONTENT_ENCODING",
    "HTTP_EXPECT",
    "HTTP_ORIGIN",
    "HTTP_TRANSFER_ENCODING",
    "QUERY_STRING",
)

_SHORT: Final = re.compile(r"[0-9]{1,5}")
_SCHEMA: Final = VerdictSchema(exclude=("request_id",))

_Environ = dict[str, Any]

_log = structlog.get_logger(__name__)


class RenderedResponse(NamedTuple):
    """
    A response that has been sent, which is stored with the cache entry.

    Args:
        body: The JSON up to the id of the request.
        decision: The decision.
        counts: Functions to call each time that it is sent.
        moderator: The moderator that decided.
    """

    body: bytes
    decision: str
    counts: Sequence[Callable[[], None]]
    moderator: Moderator


class FastPath:
    """
    The middleware in front of Flask that answers identical texts from the cache.

    Args:
        application: The Flask application.
        moderators: The moderators of all tenants.
        caches: The answer caches.
        max_text_chars: Longer texts are passed on to Flask, which refuses them.
        audit: Records every decision; None if nothing is recorded.
    """

    def __init__(
        self,
        application: Application,
        *,
        moderators: Moderators,
        caches: AnswerCaches,
        max_text_chars: int,
        audit: AuditLog | None,
    ) -> None:
        self._application = application
        self._moderators = moderators
        self._caches = caches
        self._max_text_chars = max_text_chars
        self._audit = audit

    def __call__(self, environ: _Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        record = record_of(environ)
        if _is_plain(environ, record):
            body = self._look_up(environ, record)
            if body is not None:
                headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
                start_response("200 OK", headers)
                return [body]
        return self._application(environ, start_response)

    def _look_up(self, environ: _Environ, record: RequestRecord) -> bytes | None:
        """Return the response body if the answer is cached; otherwise store the parsed body in the record."""
        length = int(environ["CONTENT_LENGTH"])
        sent = _read(environ["wsgi.input"], length)
        text = self._parse(sent, record) if len(sent) == length else None
        if text is None:
            environ["wsgi.input"] = io.BytesIO(sent)
            return None
        caller = record.admission.caller if record.admission else None
        moderator, cache = self._moderators.of(caller), self._caches.of(caller)
        screened = moderator.screen(text)
        lookup = Lookup("exact")
        entry = cache.entry(screened.text)
        response = None if entry is None else _rendered(moderator, cache, screened, entry)
        if entry is None or response is None:
            # Not counted as a miss: the later look-up of `Caching` is counted, and may find the text.
            record.screened = screened
            return None
        lookup.end("hit")
        for count in response.counts:
            count()
        record.decision = response.decision
        record.cache = CacheOutcome("exact", 0, cache.age(entry))
        if self._audit is not None:
            verdict = moderator.policy.judge(cache.answer(entry), screened)
            self._audit.write(text, verdict, request_id=record.request_id, endpoint=ENDPOINT, caller=caller)
        return b'%b,"request_id":"%b"}\n' % (response.body, record.request_id.encode())

    def _parse(self, body: bytes, record: RequestRecord) -> str | None:
        """Return the text of a body that has nothing else, and store the parsed body in the record."""
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(value, dict) or len(value) != 1:
            return None
        text = value.get("text")
        if not isinstance(text, str) or len(text) > self._max_text_chars:
            return None
        record.body = value
        return text


def _rendered(
    moderator: Moderator, cache: AnswerCache, screened: ScreenedText, entry: Entry
) -> RenderedResponse | None:
    """Return the stored response, or render it; None if the policy refuses to answer."""
    response = entry.response
    # Tenants share entries, but have different policies.
    if isinstance(response, RenderedResponse) and response.moderator is moderator and not screened.masked:
        return response
    verdict = moderator.policy.judge(cache.answer(entry), screened)
    if moderator.policy.refuses(verdict):
        return None
    body = orjson.dumps(_SCHEMA.dump(verdict.as_dict()))
    response = RenderedResponse(body[:-1], verdict.decision.value, counts_of(verdict), moderator)
    if not screened.masked:
        # Allowed terms are blanked, so texts that only differ in them share an entry.
        cache.attach(screened.text, entry, response, len(response.body) + _RESPONSE_BYTES)
    return response


def _is_plain(environ: _Environ, record: RequestRecord) -> bool:
    """Return whether a request can be answered here: an admitted POST of a short, uncompressed JSON body."""
    length = environ.get("CONTENT_LENGTH", "")
    return (
        record.endpoint == ENDPOINT
        and environ["REQUEST_METHOD"] == "POST"
        and (record.admission is None or record.admission.refusal is None)
        and environ.get("CONTENT_TYPE") == "application/json"
        and _SHORT.fullmatch(length) is not None
        and int(length) <= MAX_BYTES
        and not any(map(environ.get, _UNUSUAL))
    )


def _read(stream: Any, wanted: int) -> bytes:
    """Read the body. If it is shorter than *wanted*, Flask refuses it."""
    try:
        return b"".join(pieces(stream, wanted))
    except Exception as error:  # noqa: BLE001  (each server has its own for a connection that broke)
        _log.debug("body_broke_off", exception=type(error).__name__)
        return b""
