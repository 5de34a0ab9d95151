"""Answers every error as a `Failure`, in the error format of its path."""

import math
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from content_moderator.config.validation import flatten_messages
from content_moderator.domain.errors import (
    AnswerableError,
    ClassifierError,
    CredentialsInvalidError,
    FieldError,
    InvalidFieldsError,
    ScopeMissingError,
    answerable_errors,
)
from content_moderator.observability import metrics
from content_moderator.web.compat.openai_errors import OPENAI_ERRORS
from content_moderator.web.compat.perspective_errors import PERSPECTIVE_ERRORS
from content_moderator.web.error_formats import PROBLEM, ErrorFormat, Failure
from content_moderator.web.request_record import record_of

CHALLENGE: Final = 'Bearer realm="content_moderator"'
"""The ``WWW-Authenticate`` header of 401 and 403 responses, by RFC 6750."""

MAX_FIELDS: Final = 20
"""The largest number of field errors in one response."""

INTERNAL_DETAIL: Final = "The service made a mistake; the log has the request id."

_log = structlog.get_logger(__name__)


def install_error_handlers(app: Flask) -> None:
    """Handle our own errors and unexpected exceptions; the API handles those of Werkzeug."""
    app.register_error_handler(AnswerableError, answer_error)
    app.register_error_handler(Exception, answer_unforeseen)


def answer_error(error: AnswerableError) -> Response:
    """Answer one of our own errors with its status, code and sentence."""
    if isinstance(error, ClassifierError):
        log_failure(error)
    failure = Failure(error.status, error.code, error.detail, error.fields, error.retry_after_seconds)
    return answer(
        replace(failure, fields=error.fields[:MAX_FIELDS], more=max(0, len(error.fields) - MAX_FIELDS))
    )


def log_failure(error: ClassifierError, texts: int = 1) -> None:
    """Log why texts could not be scored; callers are told less."""
    _log.warning("classifier_failed", code=error.code, reason=str(error), cause=_cause(error), texts=texts)


def answer_http_exception(error: HTTPException) -> Response:
    """Answer an error of Werkzeug or webargs: unknown path, wrong method, invalid fields."""
    messages = (getattr(error, "data", None) or {}).get("messages")
    if messages is not None:
        return answer_error(InvalidFieldsError(list(_field_errors(messages))))
    status = HTTPStatus(error.code or 500)
    code, detail = _HTTP_CODES.get(status, "bad_request"), _HTTP_DETAILS.get(status, "")
    response = answer(Failure(status, code, detail))
    for name, value in error.get_headers():
        if name not in {"Content-Type", "Content-Length"}:
            response.headers[name] = value
    return response


def answer_unforeseen(error: Exception) -> Response:
    """
    Answer an unexpected exception with a 500 without details.

    The type and location of the exception are logged, but not its message, which can quote the text.
    """
    return internal_error(error, request.environ)


def internal_error(error: Exception, environ: Mapping[str, Any]) -> Response:
    """Return the response for an unexpected exception, in Flask or outside of it; see `answer_unforeseen`."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    _log.error("internal_error", exception=type(error).__name__, where=where)
    return _write(Failure(500, "internal_error", INTERNAL_DETAIL), environ)


def answer(failure: Failure) -> Response:
    """Return the response with a failure for the current request of Flask."""
    return _write(failure, request.environ)


ERROR_FORMATS: Final = {"/v1/": OPENAI_ERRORS, "/v1alpha1/": PERSPECTIVE_ERRORS}
"""The error formats by beginning of the path; all other paths have that of our own API."""


def error_format_of(path: str) -> ErrorFormat:
    """Return the error format of a path. Unknown routes have one as well."""
    return next((each for prefix, each in ERROR_FORMATS.items() if path.startswith(prefix)), PROBLEM)


def _write(failure: Failure, environ: Mapping[str, Any]) -> Response:
    """Count a failure and return the response in the error format of its path."""
    metrics.ERRORS.labels(failure.code).inc()
    record = record_of(environ)
    record.error_code = failure.code
    response = error_format_of(environ["PATH_INFO"]).write(failure, record.request_id)
    if failure.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        response.headers["WWW-Authenticate"] = CHALLENGE + _CHALLENGES.get(failure.code, "")
    if failure.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(failure.retry_after_seconds)))
    return response


def _cause(error: BaseException) -> str | None:
    return type(error.__cause__).__name__ if error.__cause__ else None


def _field_errors(messages: Mapping[str, Any]) -> Iterator[FieldError]:
    """Flatten webargs' messages, which are grouped by location and nested like the data."""
    for location, found in messages.items():
        # marshmallow puts "key" and "value" between a dictionary and its items.
        for keys, detail in flatten_messages(found, transparent=("_schema", "key", "value")):
            path = [_name(key) for key in keys]
            if location == "query":
                yield FieldError(detail, parameter=path[0] if path else None)
            else:
                yield FieldError(detail, pointer="".join(["#", *(f"/{_escape(part)}" for part in path)]))


def _name(key: object) -> str:
    """Return a key if it looks like a name: keys of callers can be anything."""
    return str(key) if _PLAIN_NAME.fullmatch(str(key)) else "?"


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _examples() -> Iterator[Failure]:
    """Return one failure for each code."""
    missing = [FieldError("Missing data for required field.", pointer="#/text")]
    for error in answerable_errors():
        fields = missing if error is InvalidFieldsError else ()
        yield Failure(error.status, error.code, error.detail, fields, error.retry_after_seconds)
    for status, code in ({400: "bad_request"} | _HTTP_CODES).items():
        yield Failure(status, code, _HTTP_DETAILS.get(status, INTERNAL_DETAIL))


_CHALLENGES: Final = {
    CredentialsInvalidError.code: ', error="invalid_token"',
    ScopeMissingError.code: ', error="insufficient_scope"',
}
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HTTP_CODES: Final = {404: "not_found", 405: "method_not_allowed", 500: "internal_error"}
_HTTP_DETAILS: Final = {
    400: "The request is not valid.",
    404: "There is nothing at this path.",
    405: "This path does not take this method; see the Allow header.",
}

EXAMPLES: Final = tuple(_examples())
"""One failure for each code, as examples in the API's description."""
