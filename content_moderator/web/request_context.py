"""Each request gets an id, is counted and timed, and leaves one line in the log, without its text."""

import random
import re
import time
from typing import Final

import structlog
from flask import Flask, Response, g, request

from content_moderator.access.access_control import admission_of
from content_moderator.access.api_keys import Caller
from content_moderator.domain.classification import CacheOutcome
from content_moderator.observability import metrics
from content_moderator.web.rate_limit_headers import allowance_headers
from content_moderator.web.state import current_state

REQUEST_ID_HEADER: Final = "X-Request-ID"

_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_NO_ENDPOINT: Final = "none"

_log = structlog.get_logger(__name__)


def install_observation(app: Flask) -> None:
    """Observe every request of *app*, errors on unknown paths included."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_leave)
    _initialise(app)


def request_id_of(given: str | None) -> str:
    """
    Take over the id that the caller has given to its request, or make one.

    Ids need be unique, not secret: asking the system for random bytes would hand the interpreter to another
    thread, which costs an answer from memory more than all the rest.
    """
    return given if given and _WELL_FORMED.fullmatch(given) else f"{random.getrandbits(128):032x}"


def told_of(caller: Caller | None) -> dict[str, str]:
    """Give what a request's line in the log says of who asked."""
    return {"tenant": caller.tenant, "key_id": caller.key_id} if caller else {}


def timing_headers(seconds: float, outcome: CacheOutcome | None) -> dict[str, str]:
    """Tell how long it took and how the cache took part, where browsers and caches look for it."""
    timing = f"total;dur={seconds * 1000:.2f}"
    if outcome is None:
        return {"Server-Timing": timing}
    headers = {"Server-Timing": f'{timing}, cache;desc="{outcome.status}"'}
    if outcome.age_seconds is not None:
        headers["Age"] = str(int(outcome.age_seconds))
    return headers


def write_line(
    endpoint: str,
    method: str,
    status: int,
    seconds: float,
    *,
    code: str | None = None,
    decision: str | None = None,
    cache: str | None = None,
    **more: str,
) -> None:
    """Write the one line of a request. The query is left out: it may hold the text."""
    _log.info(
        "request",
        endpoint=endpoint,
        method=method,
        status=status,
        code=code,
        decision=decision,
        cache=cache,
        duration_ms=round(seconds * 1000, 3),
        **more,
    )


def _initialise(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        metrics.HTTP_REQUEST_SECONDS.labels(rule.endpoint)
        for method in (rule.methods or set()) & _METHODS:
            for status in ("2xx", "4xx", "5xx"):
                metrics.HTTP_REQUESTS.labels(rule.endpoint, method, status)


def _begin() -> None:
    g.started = time.perf_counter()
    g.request_id = request_id_of(request.headers.get(REQUEST_ID_HEADER))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    metrics.HTTP_REQUESTS_IN_PROGRESS.inc()
    counter = metrics.METHOD_CALLS.get(request.endpoint or "")
    if counter and request.method != "OPTIONS":
        counter.inc()


def _finish(response: Response) -> Response:
    seconds = time.perf_counter() - g.started
    endpoint = request.endpoint or _NO_ENDPOINT
    method = request.method if request.method in _METHODS else "other"
    status = f"{response.status_code // 100}xx"
    outcome = g.get("cache")
    metrics.HTTP_REQUESTS.labels(endpoint, method, status).inc()
    metrics.HTTP_REQUEST_SECONDS.labels(endpoint).observe(seconds)
    response.headers[REQUEST_ID_HEADER] = g.request_id
    response.headers.update(timing_headers(seconds, outcome))
    if admission := admission_of(request.environ):
        response.headers.update(allowance_headers(admission.allowances))
    if current_state().settings.logging.requests:
        write_line(
            endpoint,
            method,
            response.status_code,
            seconds,
            code=g.get("error_code"),
            decision=g.get("decision"),
            cache=outcome.status if outcome else None,
            **told_of(g.get("caller")),
        )
    return response


def _leave(_error: BaseException | None) -> None:
    metrics.HTTP_REQUESTS_IN_PROGRESS.dec()
