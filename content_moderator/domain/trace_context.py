"""What connects the work of several threads to one request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TraceContext:
    """
    What ties the work of other threads to the request that caused it.

    Args:
        request_id: As in the ``X-Request-ID`` header and the log.
    """

    request_id: str
