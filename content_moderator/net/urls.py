"""Checks the URLs of servers, which come only from the settings."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from content_moderator.domain.errors import ConfigurationError


def checked_url(url: str, key: str, *, require_https: bool, credentials_in: str | None = None) -> str:
    """
    Check a URL and return it.

    Args:
        url: The URL.
        key: The setting with the URL.
        require_https: Whether plain HTTP is refused, except on the same machine.
        credentials_in: The secret for credentials, for errors; None if there is none.
    Raises:
        ConfigurationError: It is not an http(s) URL with a host, or contains credentials.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"{key}: not a URL") from error
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise ConfigurationError(f"{key}: must be an http or https URL with a host")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"{key}: must not carry credentials" + (f"; use {credentials_in}" if credentials_in else "")
        )
    if require_https and parts.scheme != "https" and not is_loopback(host):
        raise ConfigurationError(f"{key}: must be https")
    return url


def is_loopback(host: str) -> bool:
    """Return whether a host is the same machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
