"""Rate limits: how many texts a tenant, key or address may send in a period."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.storage.redis import RedisStorage
from limits.strategies import RateLimiter as LimitsStrategy
from limits.strategies import SlidingWindowCounterRateLimiter

from content_moderator.config.extras import extra
from content_moderator.config.settings import LimitsSettings, Secret
from content_moderator.domain.errors import ConfigurationError, RateLimitedError
from content_moderator.net.first_failure_breaker import FirstFailureBreaker
from content_moderator.observability import metrics

PREFIX: Final = "content-moderator:limit"

WAIT_SECONDS: Final = 2.0
"""How long a request waits for a connection to the server if all are in use."""

NO_CONNECTION: Final = "No connection available"
"""The message of redis-py, which has no error class for it, when no connection became free in time."""

MAX_KEPT: Final = 10_000
"""The number of accounts whose last count is kept for server failures."""


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """
    The remaining quota of a limit.

    Args:
        name: Such as ``per-minute``.
        quota: Texts, or requests without texts, in each window.
        window_seconds: Length of the window.
        remaining: What is left of the quota.
        reset_seconds: Time until the quota grows again.
    """

    name: str
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int


class _ServerCount(NamedTuple):
    """The used quota of a limit according to the server, and when it expires on the limiter's clock."""

    taken: int
    until: float


class _Taken(NamedTuple):
    """The remaining quota of each limit, and the limit that was exceeded, if any."""

    limit_statuses: list[LimitStatus]
    refused: LimitStatus | None


def parse_limits(text: str | None, key: str) -> tuple[RateLimitItem, ...]:
    """
    Parse limits such as ``10/second; 600/minute``; None means no limits.

    Raises:
        ConfigurationError: The text is no list of limits; the message names *key*.
    """
    if text is None:
        return ()
    try:
        found = tuple(parse_many(text))
    except ValueError as error:
        raise ConfigurationError(f"{key}: must be like 600/minute, or 10/second; 20000/day") from error
    if not all(limit.amount > 0 and limit.get_expiry() > 0 for limit in found):
        raise ConfigurationError(f"{key}: must be more than 0")
    # They are counted in this order, so that requests that are too fast do not count towards the limit of the
    # day. A limit that is listed twice would be counted twice.
    return tuple(sorted(set(found), key=lambda limit: (limit.get_expiry(), limit.amount)))


class RateLimiter:
    """
    Counts the texts of each account in sliding windows, on a server that workers and machines share, or in
    this process. If the server fails, each worker counts on from the last known numbers, and no request is
    refused because of the failure.

    Args:
        shared: The storage on the server; None to count in this process only.
        drop_connections: Closes all connections to the server.
        pause_seconds: How long a server that failed is not used.
        clock: Monotonic seconds.

    Source:
        The package limits, its sliding window counter.
    """

    def __init__(
        self,
        shared: RedisStorage | None = None,
        *,
        drop_connections: Callable[[], object] = lambda: None,
        pause_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local: LimitsStrategy | None = None
        self._shared = None if shared is None else SlidingWindowCounterRateLimiter(shared)
        self._breaker = FirstFailureBreaker("rate_limit_storage", pause_seconds=pause_seconds, clock=clock)
        self._lock = threading.Lock()
        self._clock = clock
        self._drop_connections = drop_connections
        self._server_counts: OrderedDict[tuple[str, RateLimitItem], _ServerCount] = OrderedDict()

    def take(self, account: str, limits: Sequence[RateLimitItem], cost: int = 1) -> list[LimitStatus]:
        """
        Use up *cost* of each limit of *account*, and return what remains.

        Raises:
            RateLimitedError: The remaining quota of a limit is too small.
        """
        if not limits:
            return []
        taken = self._take_shared(account, limits, cost) or self._take_here(account, limits, cost)
        if taken.refused is None:
            return taken.limit_statuses
        never = cost > taken.refused.quota
        seconds = None if never else taken.refused.reset_seconds
        raise RateLimitedError(taken.limit_statuses, retry_after_seconds=seconds)

    def _take_shared(self, account: str, limits: Sequence[RateLimitItem], cost: int) -> _Taken | None:
        if self._shared is None or not self._breaker.allows_call():
            return None
        try:
            taken = _take(self._shared, account, limits, cost)
        except Exception as error:  # noqa: BLE001  (a server that answers nonsense makes the library raise anything)
            metrics.LIMIT_STORAGE_FAILURES.inc()
            cause = error.__cause__ or error
            # If all connections are in use, the server itself may be healthy.
            if NO_CONNECTION not in str(cause):
                # Unread bytes on a connection would be taken for the next reply.
                self._drop_connections()
                self._breaker.record_failure(type(cause).__name__)
            return None
        self._breaker.record_success()
        if taken.refused is not None and taken.refused.remaining >= cost:
            # The server refused although the quota suffices: the window has moved, or the reply is malformed.
            metrics.LIMIT_STORAGE_FAILURES.inc()
            return None
        self._keep(account, limits, taken.limit_statuses)
        return taken

    def _keep(
        self, account: str, limits: Sequence[RateLimitItem], limit_statuses: Sequence[LimitStatus]
    ) -> None:
        """Store the counts of the server, to be used if it fails."""
        now = self._clock()
        with self._lock:
            for limit, status in zip(limits, limit_statuses, strict=True):
                taken = status.quota - status.remaining
                self._server_counts[account, limit] = _ServerCount(taken, now + status.reset_seconds)
                self._server_counts.move_to_end((account, limit))
            while len(self._server_counts) > MAX_KEPT:
                self._server_counts.popitem(last=False)

    def _take_here(self, account: str, limits: Sequence[RateLimitItem], cost: int) -> _Taken:
        with self._lock:
            if self._local is None:
                # Created on first use, because it starts a thread.
                self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
            for limit in limits:
                last = self._server_counts.pop((account, limit), None)
                if last is not None and last.taken > 0 and last.until > self._clock():
                    before = limit.amount - self._local.get_window_stats(limit, account).remaining
                    if last.taken > before:
                        self._local.hit(limit, account, cost=last.taken - before)
            return _take(self._local, account, limits, cost)


def build_rate_limiter(settings: LimitsSettings, password: Secret | None) -> RateLimiter:
    """
    Build the rate limiter that the settings describe.

    Raises:
        ConfigurationError: The server cannot be used.
    """
    if settings.url is None:
        return RateLimiter()
    with extra("redis", needed_by="limits.url"):
        from content_moderator.net.redis_pool import connection_pool  # noqa: PLC0415
    pool = connection_pool(
        settings.url,
        "limits.url",
        timeout_seconds=settings.timeout_seconds,
        max_connections=settings.max_connections,
        password=password,
        password_name="LIMITS_PASSWORD",  # noqa: S106  (where it belongs)
        # In a burst, requests wait for a connection: if each process counted for itself, too many would be
        # admitted.
        wait_seconds=WAIT_SECONDS,
    )
    storage = RedisStorage(settings.url, connection_pool=pool, key_prefix=PREFIX, wrap_exceptions=True)
    return RateLimiter(storage, drop_connections=pool.disconnect, pause_seconds=settings.pause_seconds)


def _take(limiter: LimitsStrategy, account: str, limits: Sequence[RateLimitItem], cost: int) -> _Taken:
    refusing = next(
        (place for place, limit in enumerate(limits) if not limiter.hit(limit, account, cost=cost)), None
    )
    limit_statuses = list(_statuses(limiter, account, limits))
    return _Taken(limit_statuses, None if refusing is None else limit_statuses[refusing])


def _statuses(
    limiter: LimitsStrategy, account: str, limits: Sequence[RateLimitItem]
) -> Iterator[LimitStatus]:
    for limit in limits:
        stats = limiter.get_window_stats(limit, account)
        multiple = f"{limit.multiples}-" if limit.multiples > 1 else ""
        yield LimitStatus(
            name=f"per-{multiple}{limit.GRANULARITY.name}",
            quota=limit.amount,
            window_seconds=limit.get_expiry(),
            remaining=stats.remaining,
            reset_seconds=max(1, math.ceil(stats.reset_time - time.time())),
        )
