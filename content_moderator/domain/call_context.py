"""What every classifier passes on with a call: deadline, cache mode, caller and trace."""

from dataclasses import dataclass
from enum import Enum, auto

from content_moderator.domain.caller import Caller
from content_moderator.domain.deadline import NEVER, Deadline
from content_moderator.domain.trace_context import TraceContext


class CacheMode(Enum):
    """Whether a call is answered from the cache, and stored in it."""

    USE = auto()
    """Answer from the cache, and store fresh answers in it."""
    REFRESH = auto()
    """Ask the classifier, and store its answer (``Cache-Control: no-cache``)."""
    BYPASS = auto()
    """Ask the classifier, and store nothing (``Cache-Control: no-store``)."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """
    The context of a call, which wrappers pass on.

    `Batching` creates a new one for each shared call; stand-ins and checks have their own deadlines.

    Args:
        deadline: The time when an answer is no longer useful. It is set once for a request and never
            restarted.
        cache_mode: Whether the cache is read and written.
        caller: Whose cache is used; None for anonymous callers.
        trace: The request that the call belongs to; None outside of requests.
    """

    deadline: Deadline = NEVER
    cache_mode: CacheMode = CacheMode.USE
    caller: Caller | None = None
    trace: TraceContext | None = None
