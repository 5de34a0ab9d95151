"""What travels with a call through all classifiers: its deadline, how the cache takes part, and for whom."""

from dataclasses import dataclass
from enum import Enum, auto

from content_moderator.domain.caller import Caller
from content_moderator.domain.deadline import NEVER, Deadline


class CacheMode(Enum):
    """How the cache takes part in a call."""

    USE = auto()
    """Answer from the cache, and store fresh answers in it."""
    REFRESH = auto()
    """Ask the classifier in any case, and store its answer (``Cache-Control: no-cache``)."""
    BYPASS = auto()
    """Ask the classifier in any case, and leave no trace of the text (``Cache-Control: no-store``)."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """
    What ties the work of other threads to the request that caused it.

    Args:
        request_id: As in the ``X-Request-ID`` header and the log.
    """

    request_id: str


@dataclass(frozen=True, slots=True)
class CallContext:
    """
    One call's context, passed on unchanged by every classifier that holds another.

    Args:
        deadline: When an answer is no longer useful. It is set once for a request and never restarted.
        cache_mode: How the cache takes part.
        caller: Whose cache is used; None for anonymous callers.
        trace: The request that the call belongs to; None outside of requests.
    """

    deadline: Deadline = NEVER
    cache_mode: CacheMode = CacheMode.USE
    caller: Caller | None = None
    trace: TraceContext | None = None
