"""
The client of a Valkey or Redis server that may be slow, absent, full or broken.

Each exchange is one round trip, with a tight time-out and without a second try. After a failure nothing is
asked for a while, then one exchange tries whether the server is back.
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
"""Why an exchange failed, or a value could not be used."""

_log = structlog.get_logger(__name__)


class _UnfitReplyError(Exception):
    """The server answers what the script does not give."""


@dataclass(frozen=True, slots=True)
class Script:
    """
    A script that the server runs.

    Args:
        source: In Lua.
        fits: Returns whether a reply is one that the script gives for so many keys.
    """

    source: str
    fits: Callable[[Any, int], bool]


class RedisClient:
    """
    Runs scripts on the server, if it is available.

    Args:
        settings: Where it is, and how patient we are.
        password: Its password.
        clock: Monotonic seconds.
    Raises:
        ConfigurationError: The URL is not one of a server.
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
        # redis-py has no types that fit both its kinds of client.
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
        Run a script once for each of *calls*, its keys and its arguments, in one round trip.

        Returns:
            What it gave for each; None for one that the server refused, and for all if it is away, or
            answers what the script does not give.
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
        """Make an exchange; return None if the server is away."""
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
            # What is left on the connection would be taken for the next reply.
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
            # The server was restarted; from now on it has the script.
            self._client.script_load(script.source)
            again = self._exchange(script, [calls[place] for place in lost])
            for place, each in zip(lost, again, strict=True):
                found[place] = each
        return found

    def _exchange(self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        # Not called through a pipeline: that would ask first whether the server has the script.
        registered = self._client.register_script(script.source)
        pipeline = self._client.pipeline(transaction=False)
        for keys, rest in calls:
            pipeline.evalsha(registered.sha, len(keys), *keys, *rest)
        # What concerns the connection (a server that still loads, a password refused) is raised all the same.
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
