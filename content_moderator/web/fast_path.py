"""
Answers what is remembered before Flask is asked.

An identical text is found in a microsecond; routing, validating and serialising around it take two hundred.
So the plainest of requests, and no other, is looked at here: a POST to /classify with a short JSON body that
holds a text and nothing else. If its answer is remembered it is sent as it was sent before; if not, or if
anything at all is out of the ordinary, Flask gets the request as it came. Nothing is decided here that is not
decided there.
"""

import io
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import orjson
import structlog

from content_moderator.access.access_control import Admission, Entrance
from content_moderator.cache.answer_cache import Memory
from content_moderator.cache.lookup_metrics import Lookup
from content_moderator.cache.store import Entry
from content_moderator.domain.classification import CacheOutcome
from content_moderator.domain.errors import AnswerableError
from content_moderator.domain.policy import Policy
from content_moderator.observability import metrics
from content_moderator.text.terms import Reading
from content_moderator.web.api.classify import counts_of, parts_of
from content_moderator.web.api.schemas import VerdictSchema
from content_moderator.web.rate_limit_headers import allowance_headers
from content_moderator.web.request_body import pieces
from content_moderator.web.request_context import (
    REQUEST_ID_HEADER,
    request_id_of,
    timing_headers,
    told_of,
    write_line,
)
from content_moderator.web.security_headers import HEADERS
from content_moderator.web.state import Desks

ENDPOINT: Final = "classify.classify"
PATH: Final = "/classify"
MAX_BYTES: Final = 16_384
"""Longer bodies are not looked at: hashing them takes as long as what is saved."""

_NOTE_BYTES: Final = 300
"""What a note takes besides the answer."""

_UNUSUAL: Final = (
    "HTTP_CACHE_CONTROL",
    "HTTP_CONTENT_ENCODING",
    "HTTP_EXPECT",
    "HTTP_ORIGIN",
    "HTTP_TRANSFER_ENCODING",
    "QUERY_STRING",
)

_SHORT: Final = re.compile(r"[0-9]{1,5}")
_HEADERS: Final = tuple(HEADERS.items())
_SCHEMA: Final = VerdictSchema(exclude=("request_id",))

_Environ = dict[str, Any]
_StartResponse = Callable[..., Any]
_Application = Callable[[_Environ, _StartResponse], Iterable[bytes]]

_log = structlog.get_logger(__name__)


class _Note(NamedTuple):
    """
    An answer that has been sent.

    Args:
        body: Its JSON up to the id of the request.
        decision: What was decided.
        counts: What to call each time that it is sent.
        policy: What decided.
    """

    body: bytes
    decision: str
    counts: list[Callable[[], None]]
    policy: Policy


class Shortcut:
    """
    A WSGI application around Flask's.

    Args:
        application: Flask's.
        desks: Where texts are judged, and what is remembered there.
        entrance: Lets requests in.
        max_text_chars: Longer texts are Flask's to refuse.
        log_requests: Whether each request leaves a line.
    """

    def __init__(
        self,
        application: _Application,
        *,
        desks: Desks,
        entrance: Entrance,
        max_text_chars: int,
        log_requests: bool,
    ) -> None:
        self._application = application
        self._desks = desks
        self._entrance = entrance
        self._max_text_chars = max_text_chars
        self._log_requests = log_requests
        self._calls = metrics.METHOD_CALLS[ENDPOINT]
        self._requests = metrics.HTTP_REQUESTS.labels(ENDPOINT, "POST", "2xx")
        self._seconds = metrics.HTTP_REQUEST_SECONDS.labels(ENDPOINT)

    def __call__(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        started = time.perf_counter()
        if not _is_plain(environ):
            return self._application(environ, start_response)
        try:
            admission = self._entrance.admit(environ, "classify")
        except AnswerableError:
            # Flask asks as well, is told the same, and says what is wrong.
            return self._application(environ, start_response)
        length = int(environ["CONTENT_LENGTH"])
        body = _read(environ["wsgi.input"], length)
        desk = self._desks.of(admission.caller)
        if len(body) == length and desk.memory and (text := self._text(body)) is not None:
            reading = desk.moderator.read(text)
            lookup = Lookup("exact")
            if (entry := desk.memory.entry(reading.text)) is not None:
                lookup.end("hit")
                note = _note_of(desk.policy, desk.memory, reading, entry)
                age_seconds = desk.memory.age(entry)
                return self._answer(environ, start_response, note, age_seconds, started, admission=admission)
        environ["wsgi.input"] = io.BytesIO(body)
        return self._application(environ, start_response)

    def _text(self, body: bytes) -> str | None:
        """Give the text of a body that holds nothing else."""
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(value, dict) or len(value) != 1:
            return None
        text = value.get("text")
        return text if isinstance(text, str) and len(text) <= self._max_text_chars else None

    def _answer(
        self,
        environ: _Environ,
        start_response: _StartResponse,
        note: _Note,
        age_seconds: float,
        started: float,
        *,
        admission: Admission,
    ) -> list[bytes]:
        request_id = request_id_of(environ.get("HTTP_X_REQUEST_ID"))
        body = b'%b,"request_id":"%b"}\n' % (note.body, request_id.encode())
        outcome = CacheOutcome("exact", 0, age_seconds)
        self._calls.inc()
        for count in note.counts:
            count()
        self._requests.inc()
        seconds = time.perf_counter() - started
        self._seconds.observe(seconds)
        if self._log_requests:
            parts = {"decision": note.decision, "cache": "exact", "request_id": request_id} | told_of(
                admission.caller
            )
            write_line(ENDPOINT, "POST", 200, seconds, **parts)
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            (REQUEST_ID_HEADER, request_id),
            *timing_headers(seconds, outcome).items(),
            *allowance_headers(admission.allowances).items(),
            *_HEADERS,
        ]
        start_response("200 OK", headers)
        return [body]


def _note_of(policy: Policy, memory: Memory, reading: Reading, entry: Entry) -> _Note:
    """Find the answer that has been sent, or make it; what another policy has decided is another answer."""
    note = entry.note
    if isinstance(note, _Note) and note.policy is policy and not reading.masked:
        return note
    verdict = policy.judge(memory.answer(entry), reading)
    body = orjson.dumps(_SCHEMA.dump(parts_of(verdict)))
    note = _Note(body[:-1], verdict.decision, counts_of(verdict), policy)
    if not reading.masked:
        # Not so if terms are blanked: texts that differ in these alone have an entry in common.
        memory.annotate(reading.text, entry, note, len(note.body) + _NOTE_BYTES)
    return note


def _is_plain(environ: _Environ) -> bool:
    length = environ.get("CONTENT_LENGTH", "")
    return (
        environ["PATH_INFO"] == PATH
        and environ["REQUEST_METHOD"] == "POST"
        and environ.get("CONTENT_TYPE") == "application/json"
        and _SHORT.fullmatch(length) is not None
        and int(length) <= MAX_BYTES
        and not any(map(environ.get, _UNUSUAL))
    )


def _read(stream: Any, wanted: int) -> bytes:
    """Read the body; one that breaks off is shorter than *wanted*, and Flask's to refuse."""
    try:
        return b"".join(pieces(stream, wanted))
    except Exception as error:  # noqa: BLE001  (each server has its own for a connection that broke)
        _log.debug("body_broke_off", exception=type(error).__name__)
        return b""
