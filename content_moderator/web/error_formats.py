"""
The error formats of our API, OpenAI's and Google's.

Ours is RFC 9457. The paths of other services' APIs have those services' shapes, so that their client
libraries raise what they always did; the code is the same everywhere.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final

import orjson
from flask import Response
from marshmallow import Schema, fields

from content_moderator.domain.errors import FieldError
from content_moderator.web.api.examples import REQUEST_ID
from content_moderator.web.api.schemas import without_none

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"

MAX_RETRY_SECONDS: Final = 60.0
"""Longer than this some of OpenAI's client libraries do not wait, and ask again at once instead."""


@dataclass(frozen=True, slots=True)
class Failure:
    """
    What went wrong, before it is written.

    Args:
        status: HTTP status code; a dialect may have another for it.
        code: Stable word.
        detail: A sentence for people.
        fields: What is wrong where.
        retry_after_seconds: When it is worth asking again; None if that would not help.
        more: How many more fields are wrong than *fields* says.
    """

    status: int
    code: str
    detail: str
    fields: Sequence[FieldError] = ()
    retry_after_seconds: float | None = None
    more: int = 0

    @property
    def sentence(self) -> str:
        """What is wrong, in one line."""
        said = [f"{place(each)}: {each.detail}" for each in self.fields]
        if self.more:
            said.append(f"And {self.more} more.")
        return " ".join(said) or self.detail


class FieldErrorSchema(Schema):
    """One thing that is wrong in a request."""

    detail = fields.String(metadata={"description": "What is wrong; limits are named, values never echoed."})
    pointer = fields.String(metadata={"description": "JSON pointer into the body, as a URI fragment."})
    parameter = fields.String(metadata={"description": "Name of the query parameter."})


class ProblemSchema(Schema):
    """An error, after RFC 9457."""

    type = fields.String(required=True, metadata={"description": "Always about:blank; switch on code."})
    title = fields.String(required=True, metadata={"description": "The status in words."})
    status = fields.Integer(required=True, metadata={"description": "HTTP status code."})
    code = fields.String(required=True, metadata={"description": "Stable word for this kind of error."})
    detail = fields.String(required=True, metadata={"description": "A sentence for people."})
    request_id = fields.String(
        required=True, metadata={"description": "Also in the X-Request-ID header and the log."}
    )
    errors = fields.List(fields.Nested(FieldErrorSchema))
    errors_left_out = fields.Integer(metadata={"description": "How many more there are than errors says."})


TITLES: Final = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
"""The words of RFC 9110, which Python has from 3.13 on."""


def problem(failure: Failure, request_id: str) -> dict[str, Any]:
    """
    Make a problem document.

    Source:
        RFC 9457, "Problem Details for HTTP APIs" (2023).
    """
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(failure.status) or HTTPStatus(failure.status).phrase,
        "status": failure.status,
        "code": failure.code,
        "detail": failure.detail,
        "request_id": request_id,
    }
    if failure.fields:
        body["errors"] = [without_none(asdict(error)) for error in failure.fields]
    if failure.more:
        body["errors_left_out"] = failure.more
    return body


class OpenAIErrorDetailSchema(Schema):
    """What OpenAI's client libraries show of an error."""

    message = fields.String(required=True, metadata={"description": "A sentence for people."})
    type = fields.String(required=True, metadata={"description": "The class of the status."})
    param = fields.String(required=True, allow_none=True, metadata={"description": "The field, as input[2]."})
    code = fields.String(required=True, metadata={"description": "Stable word for this kind of error."})


class OpenAIErrorSchema(ProblemSchema):
    """An error as OpenAI's API has it, with what our own errors say beside it."""

    error = fields.Nested(OpenAIErrorDetailSchema, required=True)


def openai_error(failure: Failure, request_id: str) -> dict[str, Any]:
    """
    Make an error as OpenAI's API has it.

    Source:
        https://platform.openai.com/docs/guides/error-codes
    """
    ours = failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    detail = {
        "message": failure.sentence,
        "type": "server_error" if ours else _OPENAI_TYPES.get(failure.status, "invalid_request_error"),
        "param": next((place(each) for each in failure.fields), None),
        "code": failure.code,
    }
    return {"error": detail} | problem(failure, request_id)


def _should_retry(failure: Failure) -> dict[str, str]:
    """Tell OpenAI's client libraries, which obey, whether to ask again."""
    seconds = failure.retry_after_seconds
    worth_it = seconds is not None and seconds <= MAX_RETRY_SECONDS
    return {"X-Should-Retry": "true" if worth_it else "false"}


class GoogleErrorDetailSchema(Schema):
    """What Google's client libraries show of an error."""

    code = fields.Integer(required=True, metadata={"description": "HTTP status code."})
    message = fields.String(required=True, metadata={"description": "A sentence for people."})
    status = fields.String(required=True, metadata={"description": "As in google.rpc.Code."})
    details = fields.List(
        fields.Dict(), required=True, metadata={"description": "The stable word, and the fields."}
    )


class GoogleErrorSchema(Schema):
    """An error as Google's APIs have it."""

    error = fields.Nested(GoogleErrorDetailSchema, required=True)


def google_error(failure: Failure, request_id: str) -> dict[str, Any]:
    """
    Make an error as Google's APIs have it.

    Source:
        https://google.aip.dev/193, with ErrorInfo and BadRequest of google.rpc.
    """
    details: list[dict[str, Any]] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": failure.code.upper(),
            "domain": "content_moderator",
            "metadata": {"request_id": request_id},
        }
    ]
    if failure.fields:
        violations = [{"field": place(each), "description": each.detail} for each in failure.fields]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    error = {
        "code": failure.status,
        "message": failure.sentence,
        "status": _GOOGLE_STATUS.get(failure.status, "INVALID_ARGUMENT"),
        "details": details,
    }
    return {"error": error}


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """
    How the errors of some paths are written.

    Args:
        encode: Makes the body of a failure in the request of an id.
        schema: Describes that body.
        media_type: Of that body.
        statuses: Where it has another status than ours.
        headers: More headers of a failure.
    """

    encode: Callable[[Failure, str], Mapping[str, Any]]
    schema: type[Schema]
    media_type: str
    statuses: Mapping[int, int] = field(default_factory=dict)
    headers: Callable[[Failure], Mapping[str, str]] = lambda _: {}

    def example(self, failure: Failure) -> Mapping[str, Any]:
        """Return the body as it would be."""
        return self.encode(replace(failure, status=self.status_of(failure)), REQUEST_ID)

    def status_of(self, failure: Failure) -> int:
        """Translate the status."""
        return self.statuses.get(failure.status, failure.status)

    def write(self, failure: Failure, request_id: str) -> Response:
        """Write the answer to a request that failed."""
        failure = replace(failure, status=self.status_of(failure))
        body = orjson.dumps(self.encode(failure, request_id), option=orjson.OPT_APPEND_NEWLINE)
        return Response(body, failure.status, self.headers(failure), mimetype=self.media_type)


_NO_422: Final = {422: 400}

OURS: Final = ErrorFormat(problem, ProblemSchema, PROBLEM_JSON)
OPENAI: Final = ErrorFormat(openai_error, OpenAIErrorSchema, JSON, _NO_422, _should_retry)
GOOGLE: Final = ErrorFormat(google_error, GoogleErrorSchema, JSON, _NO_422)

ERROR_FORMATS: Final = {"/v1/": OPENAI, "/v1alpha1/": GOOGLE}
"""By the beginning of the path; all other paths have ours."""


def error_format_of(path: str) -> ErrorFormat:
    """Choose by the path, so that unknown paths and methods are told in the same words."""
    return next((each for prefix, each in ERROR_FORMATS.items() if path.startswith(prefix)), OURS)


def place(error: FieldError) -> str:
    """Name a field as people write it: ``input[2]``, ``comment.text``."""
    if error.pointer is None:
        return error.parameter or "query"
    path = _NUMBER.sub(r"[\1]", error.pointer.removeprefix("#")).replace("/", ".").lstrip(".")
    return path or "body"


_NUMBER: Final = re.compile(r"/(\d+)(?=/|\Z)")
_OPENAI_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_GOOGLE_STATUS: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
