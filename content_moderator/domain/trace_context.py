"""The request for which a thread works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TraceContext:
    """
    Identifies the request for which a thread works.

    Args:
        request_id: The id in the ``X-Request-ID`` header and in the log.
    """

    request_id: str
