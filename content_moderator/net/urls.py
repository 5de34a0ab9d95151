"""Checks the URLs that the service calls, which come only from its settings."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from content_moderator.domain.errors import ConfigurationError


def checked_url(url: str, key: str, *, require_https: bool, credentials_in: str | None = None) -> str:
    """
    Refuse a URL that would send something astray.

    Args:
        url: What is to be called.
        key: The setting that it is from.
        require_https: Whether plain HTTP is refused, except to this machine.
        credentials_in: Where credentials belong, if there are any.
    Raises:
        ConfigurationError: It is not an http(s) URL with a host, or carries credentials.
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
    """Return whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
