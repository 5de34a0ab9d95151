"""Every error, whatever raised it, as one shape: RFC 9457 ``application/problem+json``."""

import math
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from flask import Flask, Response, g
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException

from content_moderator import metrics
from content_moderator.errors import AnswerableError, FieldError, InvalidFieldsError, flatten_messages
from content_moderator.web.schemas import without_none

PROBLEM_JSON: Final = "application/problem+json"

_log = structlog.get_logger(__name__)


class FieldErrorSchema(Schema):
    """One thing that is wrong in a request."""

    detail = fields.String(metadata={"description": "What is wrong; limits are named, values never echoed."})
    pointer = fields.String(metadata={"description": "JSON pointer into the body, as a URI fragment."})
    parameter = fields.String(metadata={"description": "Name of the query parameter."})


class ProblemSchema(Schema):
    """An error, after RFC 9457."""

    type = fields.String(metadata={"description": "Always about:blank; switch on code."})
    title = fields.String(metadata={"description": "The status in words."})
    status = fields.Integer(metadata={"description": "HTTP status code."})
    code = fields.String(metadata={"description": "Stable word for this kind of error."})
    detail = fields.String(metadata={"description": "A sentence for people."})
    request_id = fields.String(metadata={"description": "Also in the X-Request-ID header and the log."})
    errors = fields.List(fields.Nested(FieldErrorSchema))


def install_error_handlers(app: Flask) -> None:
    """Answer our own errors and everything unforeseen; the API answers Werkzeug's."""
    app.register_error_handler(AnswerableError, answer_error)
    app.register_error_handler(Exception, answer_unforeseen)


def answer_error(error: AnswerableError) -> Response:
    """Answer one of our own errors with its status, code and sentence."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("classifier_failed", code=error.code, reason=str(error), cause=_cause(error))
    response = problem(error.status, error.code, error.detail, error.fields)
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    return response


def answer_http_exception(error: HTTPException) -> Response:
    """Answer an error of Werkzeug or webargs: unknown path, wrong method, invalid fields."""
    messages = (getattr(error, "data", None) or {}).get("messages")
    if messages is not None:
        return answer_error(InvalidFieldsError(list(_field_errors(messages))))
    status = HTTPStatus(error.code or 500)
    response = problem(status, _HTTP_CODES.get(status, "bad_request"), _HTTP_DETAILS.get(status, ""))
    for name, value in error.get_headers():
        if name not in {"Content-Type", "Content-Length"}:
            response.headers[name] = value
    return response


def answer_unforeseen(error: Exception) -> Response:
    """
    Answer a mistake of our own with a bare 500.

    The log gets the exception's type and where it happened, not its message: messages quote values,
    and the value may be the text.
    """
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    _log.error("internal_error", exception=type(error).__name__, where=where)
    return problem(500, "internal_error", "The service made a mistake; the log has the request id.")


def problem(status: int, code: str, detail: str, errors: Sequence[FieldError] = ()) -> Response:
    """Write a problem document."""
    metrics.ERRORS.labels(code).inc()
    g.error_code = code
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
        "request_id": g.request_id,
    }
    if errors:
        body["errors"] = [without_none(asdict(error)) for error in errors]
    return Response(orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE), status, mimetype=PROBLEM_JSON)


def _cause(error: BaseException) -> str | None:
    return type(error.__cause__).__name__ if error.__cause__ else None


def _field_errors(messages: Mapping[str, Any]) -> Iterator[FieldError]:
    """Flatten webargs' messages, which are grouped by location and nested like the data."""
    for location, found in messages.items():
        for keys, detail in flatten_messages(found):
            path = [_name(key) for key in keys]
            if location == "query":
                yield FieldError(detail, parameter=path[0] if path else None)
            else:
                yield FieldError(detail, pointer="".join(["#", *(f"/{_escape(part)}" for part in path)]))


def _name(key: object) -> str:
    """A key is named only if it looks like a name: it is the caller's, and may be anything."""
    return str(key) if _PLAIN_NAME.fullmatch(str(key)) else "?"


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HTTP_CODES: Final = {404: "not_found", 405: "method_not_allowed", 500: "internal_error"}
_HTTP_DETAILS: Final = {
    400: "The request is not valid.",
    404: "There is nothing at this path.",
    405: "This path does not take this method; see the Allow header.",
}
