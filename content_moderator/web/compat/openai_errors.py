"""The error format of OpenAI's API."""

from http import HTTPStatus
from typing import Any, Final

from marshmallow import Schema, fields

from content_moderator.web.error_formats import JSON, ErrorFormat, Failure, ProblemSchema, field_path, problem

MAX_RETRY_SECONDS: Final = 60.0
"""The longest wait that OpenAI's client libraries accept; for longer ones some of them retry at once."""

_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class OpenAIErrorDetailSchema(Schema):
    """The part of an error that OpenAI's client libraries use."""

    message = fields.String(required=True, metadata={"description": "A sentence for people."})
    type = fields.String(required=True, metadata={"description": "The type of error."})
    param = fields.String(required=True, allow_none=True, metadata={"description": "The field, as input[2]."})
    code = fields.String(required=True, metadata={"description": "The stable code of this kind of error."})


class OpenAIErrorSchema(ProblemSchema):
    """An error in OpenAI's format, with the members of our own errors in addition."""

    error = fields.Nested(OpenAIErrorDetailSchema, required=True)


def openai_error(failure: Failure, request_id: str) -> dict[str, Any]:
    """
    Return an error in OpenAI's format.

    Source:
        https://platform.openai.com/docs/guides/error-codes
    """
    ours = failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    detail = {
        "message": failure.sentence,
        "type": "server_error" if ours else _TYPES.get(failure.status, "invalid_request_error"),
        "param": next((field_path(each) for each in failure.fields), None),
        "code": failure.code,
    }
    return {"error": detail} | problem(failure, request_id)


def _should_retry(failure: Failure) -> dict[str, str]:
    """Return the header that tells OpenAI's client libraries whether to retry."""
    seconds = failure.retry_after_seconds
    worth_it = seconds is not None and seconds <= MAX_RETRY_SECONDS
    return {"X-Should-Retry": "true" if worth_it else "false"}


OPENAI_ERRORS: Final = ErrorFormat(openai_error, OpenAIErrorSchema, JSON, {422: 400}, _should_retry)
