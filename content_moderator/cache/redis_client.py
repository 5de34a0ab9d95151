"""
The client of a Valkey or Redis server that may be slow, absent, full or broken.

Each exchange is one round trip with a short time-out and without retries. After a failure the server is not
used for a while; then one exchange tries again.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
import structlog

from content_moderator.config.settings import Secret, SharedCacheSettings
from content_moderator.net.first_failure_breaker import FirstFailureBreaker
from content_moderator.net.redis_pool import connection_pool
from content_moderator.observability import metrics

FAILURES: Final = ("timeout", "unavailable", "malformed", "busy", "full", "refused", "poisoned")
"""The reasons of failed exchanges and unusable values."""

_log = structlog.get_logger(__name__)


class _UnfitReplyError(Exception):
    """The reply does not have the form of the script's results."""


@dataclass(frozen=True, slots=True)
class Script:
    """
    A script that the server runs.

    Args:
        source: The Lua source.
        fits: Returns whether a reply has the form of the script's result for this number of keys.
    """

    source: str
    fits: Callable[[Any, int], bool]


class RedisClient:
    """
    Runs scripts on the server, if it is available.

    Args:
        settings: The URL and the time-outs.
        password: The password of the server.
        clock: Monotonic seconds.
    Raises:
        ConfigurationError: The URL is invalid.
    """

    def __init__(
        self,
        settings: SharedCacheSettings,
        *,
        password: Secret | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._breaker = FirstFailureBreaker("shared_cache", pause_seconds=settings.pause_seconds, clock=clock)
        for reason in FAILURES:
            metrics.SHARED_FAILURES.labels(reason)
        # redis-py has no types that fit its synchronous and its asynchronous client.
        self._client: Any = redis.Redis(
            connection_pool=connection_pool(
                settings.url or "",
                "cache.shared.url",
                timeout_seconds=settings.timeout_seconds,
                max_connections=settings.max_connections,
                password=password,
                password_name="CACHE_PASSWORD",  # noqa: S106  (where it belongs)
            )
        )

    def run(self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any] | None:
        """
        Run a script once for each of *calls*, pairs of keys and arguments, in one round trip.

        Returns:
            The result of each call; None for a call that the server refused, and for all calls if the server
            is unavailable or a reply is malformed.
        """

        def exchange() -> list[Any]:
            found = [self._checked(each) for each in self._run(script, calls)]
            for each, (keys, _) in zip(found, calls, strict=True):
                if each is not None and not script.fits(each, len(keys)):
                    raise _UnfitReplyError
            return found

        found: list[Any] | None = self._guarded(exchange)
        return found

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete *keys*, if the server is available."""
        self._guarded(lambda: self._client.delete(*keys))

    def _guarded(self, exchange: Callable[[], Any]) -> Any:
        """Run an exchange; return None if the server is unavailable."""
        if not self._breaker.allows_call():
            return None
        try:
            found = exchange()
        except redis.exceptions.TimeoutError:
            self._fail("timeout")
        except redis.exceptions.MaxConnectionsError:
            metrics.SHARED_FAILURES.labels("busy").inc()
        except (redis.exceptions.ConnectionError, OSError):
            self._fail("unavailable")
        except Exception as error:  # noqa: BLE001  (of broken replies redis-py makes any: TypeError, IndexError, ...)
            # Unread bytes on the connection would be taken for the next reply.
            self._client.connection_pool.disconnect()
            _log.warning("shared_cache_unfit_reply", exception=type(error).__name__)
            self._fail("malformed")
        else:
            self._breaker.record_success()
            return found
        return None

    def _run(self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        found = self._exchange(script, calls)
        lost = [place for place, each in enumerate(found) if isinstance(each, redis.exceptions.NoScriptError)]
        if lost:
            # The server was restarted and has forgotten the script; this loads it.
            self._client.script_load(script.source)
            again = self._exchange(script, [calls[place] for place in lost])
            for place, each in zip(lost, again, strict=True):
                found[place] = each
        return found

    def _exchange(self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        # Not as a part of a pipeline, which would first ask whether the server has the script.
        registered = self._client.register_script(script.source)
        pipeline = self._client.pipeline(transaction=False)
        for keys, rest in calls:
            pipeline.evalsha(registered.sha, len(keys), *keys, *rest)
        # Errors of the connection (the server is loading, the password is wrong) are raised anyway.
        found: list[Any] = pipeline.execute(raise_on_error=False)
        return found

    def _checked(self, found: Any) -> Any:
        if isinstance(found, Exception):
            reason = "full" if isinstance(found, redis.exceptions.OutOfMemoryError) else "refused"
            metrics.SHARED_FAILURES.labels(reason).inc()
            _log.warning("shared_cache_refused", reason=reason, exception=type(found).__name__)
            return None
        return found

    def _fail(self, reason: str) -> None:
        metrics.SHARED_FAILURES.labels(reason).inc()
        self._breaker.record_failure(reason)
