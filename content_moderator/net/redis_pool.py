"""Connections to a Valkey or Redis server, with short time-outs and without retries."""

from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from content_moderator.config.settings import Secret
from content_moderator.domain.errors import ConfigurationError


def connection_pool(
    url: str,
    key: str,
    *,
    timeout_seconds: float,
    max_connections: int,
    password: Secret | None,
    password_name: str,
    wait_seconds: float | None = None,
) -> redis.ConnectionPool:
    """
    Create a pool; it does not connect yet.

    Args:
        url: URL of the server: redis://, rediss:// or unix://.
        key: The setting with the URL, for errors.
        timeout_seconds: For connecting, and for each read.
        max_connections: Largest number of connections of this process.
        password: Password of the server.
        password_name: The secret for the password, for errors.
        wait_seconds: How long to wait for a free connection; None to fail at once.
    Raises:
        ConfigurationError: The URL is invalid or contains credentials.
    """
    try:
        parts = urlsplit(url)
        credentials = parts.username is not None or parts.password is not None
        kind = redis.ConnectionPool if wait_seconds is None else redis.BlockingConnectionPool
        pool = kind.from_url(
            url,
            **({} if wait_seconds is None else {"timeout": wait_seconds}),
            max_connections=max_connections,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            # Without the optional greetings, which would be further round trips.
            protocol=2,
            driver_info=None,
            **({} if password is None else {"password": password.reveal()}),
        )
    except ValueError as error:
        raise ConfigurationError(f"{key}: must be a redis://, rediss:// or unix:// URL") from error
    if credentials:
        raise ConfigurationError(f"{key}: must not carry credentials; use {password_name}")
    return pool
