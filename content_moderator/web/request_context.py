"""Gives each request an id, counts and times it, adds headers, and writes one log line without the text."""

import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final

from prometheus_client import Counter, Histogram
from werkzeug.routing import Map

from content_moderator.domain.classification import CacheOutcome
from content_moderator.observability import logs, metrics
from content_moderator.web.error_handlers import internal_error
from content_moderator.web.rate_limit_headers import rate_limit_headers
from content_moderator.web.request_record import KEY, RequestRecord
from content_moderator.web.routes import RouteTable
from content_moderator.web.security_headers import SECURITY_HEADERS

REQUEST_ID_HEADER: Final = "X-Request-ID"

_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_NO_ENDPOINT: Final = "none"

_SECURITY_HEADERS: Final = list(SECURITY_HEADERS)
_SECURITY_NAMES: Final = frozenset(name.lower() for name, _ in SECURITY_HEADERS)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
Headers = list[tuple[str, str]]


class RequestContext:
    """
    The outermost middleware: everything that every request needs, however it is answered.

    Args:
        application: Answers the requests.
        url_map: Its routes.
        log_requests: Whether each request writes a line to the log.
    """

    def __init__(self, application: Application, *, url_map: Map, log_requests: bool) -> None:
        self._application = application
        self._routes = RouteTable(url_map)
        self._log_requests = log_requests
        _initialise(url_map)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        method = environ["REQUEST_METHOD"]
        request_id = request_id_of(environ.get("HTTP_X_REQUEST_ID"))
        record = RequestRecord(request_id, time.perf_counter(), self._routes.endpoint_of(environ))
        environ[KEY] = record
        logs.request_id.set(request_id)
        counter = metrics.METHOD_CALLS.get(record.endpoint or "")
        if counter and method != "OPTIONS":
            counter.inc()

        def start(status: str, headers: Headers, *exc_info: Any) -> Any:
            return start_response(status, self._finish(record, method, status, headers), *exc_info)

        try:
            return self._application(environ, start)
        except Exception as error:  # noqa: BLE001  (a mistake in a middleware; Flask answers its own)
            return internal_error(error, environ)(environ, start)

    def _finish(self, record: RequestRecord, method: str, status: str, headers: Headers) -> Headers:
        """Count a request when its response begins, write its log line, and return the headers."""
        seconds = time.perf_counter() - record.started
        endpoint = record.endpoint or _NO_ENDPOINT
        method = method if method in _METHODS else "other"
        _counter(endpoint, method, status[0]).inc()
        _histogram(endpoint).observe(seconds)
        if self._log_requests:
            _log(record, endpoint, method, int(status[:3]), seconds)
        return _completed(headers, record, seconds)


@cache
def _counter(endpoint: str, method: str, status: str) -> Counter:
    """Return the counter for some labels; looking it up takes longer than counting."""
    return metrics.HTTP_REQUESTS.labels(endpoint, method, f"{status}xx")


@cache
def _histogram(endpoint: str) -> Histogram:
    return metrics.HTTP_REQUEST_SECONDS.labels(endpoint)


def request_id_of(given: str | None) -> str:
    """
    Return the request id of the caller if it is well-formed; otherwise a new one.

    Ids must be unique, but not secret. Asking the system for random bytes would release the GIL, which costs
    more than all the rest of a cached response.
    """
    return given if given and _WELL_FORMED.fullmatch(given) else f"{random.getrandbits(128):032x}"


def _completed(headers: Headers, record: RequestRecord, seconds: float) -> Headers:
    present = {name.lower() for name, _ in headers}
    headers = [*headers, (REQUEST_ID_HEADER, record.request_id), *_timing_headers(seconds, record.cache)]
    if record.admission is not None and record.admission.limit_statuses:
        headers += rate_limit_headers(record.admission.limit_statuses)
    if present.isdisjoint(_SECURITY_NAMES):
        return headers + _SECURITY_HEADERS
    return headers + [header for header in _SECURITY_HEADERS if header[0].lower() not in present]


def _timing_headers(seconds: float, cache: CacheOutcome | None) -> Sequence[tuple[str, str]]:
    """Return the ``Server-Timing`` and ``Age`` headers, with the duration and the role of the cache."""
    timing = f"total;dur={seconds * 1000:.2f}"
    if cache is None:
        return [("Server-Timing", timing)]
    headers = [("Server-Timing", f'{timing}, cache;desc="{cache.status}"')]
    if cache.age_seconds is not None:
        headers.append(("Age", str(int(cache.age_seconds))))
    return headers


def _log(record: RequestRecord, endpoint: str, method: str, status: int, seconds: float) -> None:
    """Write the log line of a request, without the query, which can contain the text."""
    event = {
        "endpoint": endpoint,
        "method": method,
        "status": status,
        "code": record.error_code,
        "decision": record.decision,
        "cache": record.cache.status if record.cache else None,
        "duration_ms": round(seconds * 1000, 3),
    }
    caller = record.admission.caller if record.admission else None
    if caller is not None:
        event |= {"tenant": caller.tenant, "key_id": caller.key_id}
    logs.log_request(event)


def _initialise(url_map: Map) -> None:
    """Set the counters of all routes to 0, so that rates exist before the first request."""
    for rule in url_map.iter_rules():
        metrics.HTTP_REQUEST_SECONDS.labels(rule.endpoint)
        for method in (rule.methods or set()) & _METHODS:
            for status in ("2xx", "4xx", "5xx"):
                metrics.HTTP_REQUESTS.labels(rule.endpoint, method, status)
