"""How much one of those who ask may ask for in a time."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage
from limits.storage.redis import RedisStorage
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from content_moderator import metrics
from content_moderator.errors import ConfigurationError, RateLimitedError
from content_moderator.extras import extra
from content_moderator.outage import Outage
from content_moderator.settings import LimitsSettings, Secret

PREFIX: Final = "content-moderator:limit"


@dataclass(frozen=True, slots=True)
class Allowance:
    """
    What is left of a limit.

    Args:
        name: As ``per-minute``.
        quota: Texts, or requests without any, in each window.
        window_seconds: Length of the window.
        remaining: Of the quota.
        reset_seconds: Until there is more.
    """

    name: str
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int


class _Taken(NamedTuple):
    """What is left of each limit, and the one that had not so much left."""

    allowances: list[Allowance]
    refused: Allowance | None


def parse_limits(text: str | None, key: str) -> tuple[RateLimitItem, ...]:
    """
    Read limits as ``10/second; 600/minute``; None is none.

    Raises:
        ConfigurationError: It is something else; the message names *key*.
    """
    if text is None:
        return ()
    try:
        found = tuple(parse_many(text))
    except ValueError as error:
        raise ConfigurationError(f"{key}: must be like 600/minute, or 10/second; 20000/day") from error
    if not all(limit.amount > 0 and limit.get_expiry() > 0 for limit in found):
        raise ConfigurationError(f"{key}: must be more than 0")
    # They are taken from in this order: who asks too fast is not to lose what is left of the day. One that is
    # there twice would be taken from twice.
    return tuple(sorted(set(found), key=lambda limit: (limit.get_expiry(), limit.amount)))


class Limiter:
    """
    Counts in sliding windows what each takes, on a server that workers and machines share, or here.

    While the server cannot be had each worker counts by itself: a limit is then as many times as wide as
    there are workers, and nobody is refused for it.

    Args:
        shared: The server's storage; None counts here alone.
        pause_seconds: For which a server that failed is left alone.
        clock: Monotonic seconds.

    Source:
        The package limits, its sliding window counter.
    """

    def __init__(
        self,
        shared: RedisStorage | None = None,
        *,
        pause_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local: RateLimiter | None = None
        self._shared = None if shared is None else SlidingWindowCounterRateLimiter(shared)
        self._outage = Outage("rate_limit_storage", pause_seconds=pause_seconds, clock=clock)
        self._lock = threading.Lock()

    def take(self, who: str, limits: Sequence[RateLimitItem], cost: int = 1) -> list[Allowance]:
        """
        Take *cost* from each of the limits of *who*, and tell what is left.

        Raises:
            RateLimitedError: One of them has not so much left.
        """
        if not limits:
            return []
        taken = self._take_shared(who, limits, cost) or _take(self._counting_here(), who, limits, cost)
        if taken.refused is None:
            return taken.allowances
        never = cost > taken.refused.quota
        seconds = None if never else taken.refused.reset_seconds
        raise RateLimitedError(taken.allowances, retry_after_seconds=seconds)

    def _take_shared(self, who: str, limits: Sequence[RateLimitItem], cost: int) -> _Taken | None:
        if self._shared is None or not self._outage.may_ask():
            return None
        try:
            taken = _take(self._shared, who, limits, cost)
        except (StorageError, OSError, ValueError) as error:
            metrics.LIMIT_STORAGE_FAILURES.inc()
            self._outage.begin(type(error.__cause__ or error).__name__)
            return None
        self._outage.end()
        return taken

    def _counting_here(self) -> RateLimiter:
        # Not before it is needed: it comes with a thread.
        with self._lock:
            if self._local is None:
                self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
            return self._local


def build_limiter(settings: LimitsSettings, password: Secret | None) -> Limiter:
    """
    Make the limiter that is set.

    Raises:
        ConfigurationError: Its server cannot be used.
    """
    if settings.url is None:
        return Limiter()
    with extra("redis", needed_by="limits.url"):
        from content_moderator.redis_pool import connection_pool  # noqa: PLC0415
    pool = connection_pool(
        settings.url,
        "limits.url",
        timeout_seconds=settings.timeout_seconds,
        max_connections=settings.max_connections,
        password=password,
        password_name="LIMITS_PASSWORD",  # noqa: S106  (where it belongs)
        # To be without a connection for a moment is no reason to count alone.
        waiting=True,
    )
    storage = RedisStorage(settings.url, connection_pool=pool, key_prefix=PREFIX, wrap_exceptions=True)
    return Limiter(storage, pause_seconds=settings.pause_seconds)


def _take(limiter: RateLimiter, who: str, limits: Sequence[RateLimitItem], cost: int) -> _Taken:
    refusing = next(
        (place for place, limit in enumerate(limits) if not limiter.hit(limit, who, cost=cost)), None
    )
    allowances = list(_allowances(limiter, who, limits))
    return _Taken(allowances, None if refusing is None else allowances[refusing])


def _allowances(limiter: RateLimiter, who: str, limits: Sequence[RateLimitItem]) -> Iterator[Allowance]:
    for limit in limits:
        stats = limiter.get_window_stats(limit, who)
        multiple = f"{limit.multiples}-" if limit.multiples > 1 else ""
        yield Allowance(
            name=f"per-{multiple}{limit.GRANULARITY.name}",
            quota=limit.amount,
            window_seconds=limit.get_expiry(),
            remaining=stats.remaining,
            reset_seconds=max(1, math.ceil(stats.reset_time - time.time())),
        )
