"""The error format of the Perspective API, which is the same for all of Google's APIs."""

from typing import Any, Final

from marshmallow import Schema, fields

from content_moderator.web.error_formats import JSON, ErrorFormat, Failure, field_path

_STATUS: Final = {
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


class GoogleErrorDetailSchema(Schema):
    """The part of an error that Google's client libraries use."""

    code = fields.Integer(required=True, metadata={"description": "HTTP status code."})
    message = fields.String(required=True, metadata={"description": "A sentence for people."})
    status = fields.String(required=True, metadata={"description": "As in google.rpc.Code."})
    details = fields.List(
        fields.Dict(), required=True, metadata={"description": "The stable code, and the invalid fields."}
    )


class GoogleErrorSchema(Schema):
    """An error in Google's format."""

    error = fields.Nested(GoogleErrorDetailSchema, required=True)


def google_error(failure: Failure, request_id: str) -> dict[str, Any]:
    """
    Return an error in Google's format.

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
        violations = [{"field": field_path(each), "description": each.detail} for each in failure.fields]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    error = {
        "code": failure.status,
        "message": failure.sentence,
        "status": _STATUS.get(failure.status, "INVALID_ARGUMENT"),
        "details": details,
    }
    return {"error": error}


PERSPECTIVE_ERRORS: Final = ErrorFormat(google_error, GoogleErrorSchema, JSON, {422: 400})
