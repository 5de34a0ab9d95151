"""
The error format of our own API, RFC 9457, and the parts of all error formats.

The APIs of other services have error formats of their own, in ``web/compat/``, so that client libraries
raise the exceptions that they always raised. The stable code is the same in all formats.
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

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Failure:
    """
    An error that is answered, before it is written in an error format.

    Args:
        status: HTTP status code; another error format may translate it.
        code: Stable code.
        detail: A sentence for people.
        fields: The problems of fields.
        retry_after_seconds: Time until a retry makes sense; None if a retry does not help.
        more: The number of further problems that are not in *fields*.
    """

    status: int
    code: str
    detail: str
    fields: Sequence[FieldError] = ()
    retry_after_seconds: float | None = None
    more: int = 0

    @property
    def sentence(self) -> str:
        """The error in one line."""
        said = [f"{field_path(each)}: {each.detail}" for each in self.fields]
        if self.more:
            said.append(f"And {self.more} more.")
        return " ".join(said) or self.detail


class FieldErrorSchema(Schema):
    """One thing that is wrong in a request."""

    detail = fields.String(
        metadata={"description": "The problem. Limits are named, values are never repeated."}
    )
    pointer = fields.String(metadata={"description": "JSON pointer into the body, as a URI fragment."})
    parameter = fields.String(metadata={"description": "Name of the query parameter."})


class ProblemSchema(Schema):
    """An error, after RFC 9457."""

    type = fields.String(required=True, metadata={"description": "Always about:blank; switch on code."})
    title = fields.String(required=True, metadata={"description": "The name of the status."})
    status = fields.Integer(required=True, metadata={"description": "HTTP status code."})
    code = fields.String(required=True, metadata={"description": "The stable code of this kind of error."})
    detail = fields.String(required=True, metadata={"description": "A sentence for people."})
    request_id = fields.String(
        required=True, metadata={"description": "Also in the X-Request-ID header and the log."}
    )
    errors = fields.List(fields.Nested(FieldErrorSchema))
    errors_left_out = fields.Integer(
        metadata={"description": "The number of further errors that are not in errors."}
    )


TITLES: Final = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
"""The titles of RFC 9110, which Python has from 3.13 on."""


def problem(failure: Failure, request_id: str) -> dict[str, Any]:
    """
    Return a problem document.

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
        body["errors"] = [
            {key: value for key, value in asdict(error).items() if value is not None}
            for error in failure.fields
        ]
    if failure.more:
        body["errors_left_out"] = failure.more
    return body


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """
    The format of the errors of some paths.

    Args:
        encode: Returns the body for a failure and a request id.
        schema: The schema of the body.
        media_type: The media type of the body.
        statuses: Statuses that are translated.
        headers: Returns additional headers for a failure.
    """

    encode: Callable[[Failure, str], Mapping[str, Any]]
    schema: type[Schema]
    media_type: str
    statuses: Mapping[int, int] = field(default_factory=dict)
    headers: Callable[[Failure], Mapping[str, str]] = lambda _: {}

    def example(self, failure: Failure) -> Mapping[str, Any]:
        """Return an example body."""
        return self.encode(replace(failure, status=self.status_of(failure)), REQUEST_ID)

    def status_of(self, failure: Failure) -> int:
        """Return the translated status."""
        return self.statuses.get(failure.status, failure.status)

    def write(self, failure: Failure, request_id: str) -> Response:
        """Return the response for a failure."""
        failure = replace(failure, status=self.status_of(failure))
        body = orjson.dumps(self.encode(failure, request_id), option=orjson.OPT_APPEND_NEWLINE)
        return Response(body, failure.status, self.headers(failure), mimetype=self.media_type)


PROBLEM: Final = ErrorFormat(problem, ProblemSchema, PROBLEM_JSON)
"""The error format of our own API."""


def field_path(error: FieldError) -> str:
    """Return the path of a field as people write it: ``input[2]``, ``comment.text``."""
    if error.pointer is None:
        return error.parameter or "query"
    path = _NUMBER.sub(r"[\1]", error.pointer.removeprefix("#")).replace("/", ".").lstrip(".")
    return path or "body"


_NUMBER: Final = re.compile(r"/(\d+)(?=/|\Z)")
