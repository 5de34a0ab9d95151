"""What the middlewares and Flask know of a request: written once, read by those behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from flask import request

from content_moderator.access.access_control import Admission
from content_moderator.domain.classification import CacheOutcome
from content_moderator.text.terms import ScreenedText

KEY: Final = "content_moderator.request"

UNREAD: Final = object()
"""The body of a request that nobody has parsed yet."""


@dataclass(slots=True)
class RequestRecord:
    """
    One request.

    Args:
        request_id: As the caller sent it, or made here.
        started: When it arrived, by ``time.perf_counter``.
        endpoint: As Flask names it; None for an unknown path or method.
        admission: Whether it may be answered; None if anybody may ask.
        body: The parsed JSON of its body, or ``UNREAD``.
        screened: Its one text, as its policy screens it; None if nobody has done so yet.
        leaves_no_trace: Whether the caller wants nothing about the text to be kept.
        decision: About its one text; None if it has none or several.
        cache: How the cache took part in that.
        error_code: Of the error that answered it.
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
    """Return the record of the request that Flask answers at the moment."""
    return record_of(request.environ)
