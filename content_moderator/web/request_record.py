"""What middlewares and Flask know about a request: each field is written once, and read by later steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from flask import request

from content_moderator.access.access_control import Admission
from content_moderator.domain.classification import CacheOutcome
from content_moderator.text.terms import ScreenedText

KEY: Final = "content_moderator.request"

UNREAD: Final = object()
"""The value of a body that has not been parsed yet."""


@dataclass(slots=True)
class RequestRecord:
    """
    The record of one request.

    Args:
        request_id: The id that the caller sent, or a new one.
        started: Time of arrival, by ``time.perf_counter``.
        endpoint: Flask's name of the endpoint; None for an unknown path or method.
        admission: Whether it may be answered; None for public endpoints.
        body: The parsed JSON body, or ``UNREAD``.
        screened: Its text, screened by the policy; None if that has not been done yet.
        leaves_no_trace: Whether nothing about the text may be stored.
        decision: The decision about its text; None if it has no text or several.
        cache: The role of the cache for its text.
        error_code: The code of the error response; None if there was no error.
    """

    request_id: str
    started: float
    endpoint: str | None = None
    admission: Admission | None = None
    body: Any = UNREAD
    screened: ScreenedText | None = None
    leaves_no_trace: bool = False
    decision: str | None = None
    cache: CacheOutcome | None = None
    error_code: str | None = None


def record_of(environ: Mapping[str, Any]) -> RequestRecord:
    """Return the record of a request."""
    return cast(RequestRecord, environ[KEY])


def current_record() -> RequestRecord:
    """Return the record of Flask's current request."""
    return record_of(request.environ)
