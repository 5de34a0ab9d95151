"""Builds the nested line of classifiers from the settings."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from content_moderator.classifiers import embedded, koala
from content_moderator.classifiers.embedded import EmbeddedClassifier
from content_moderator.classifiers.koala import KoalaClassifier
from content_moderator.classifiers.measured import Measured
from content_moderator.classifiers.probed import Probed
from content_moderator.core.classification import Classifier, ClassifierIdentity
from content_moderator.errors import ConfigurationError
from content_moderator.settings import Settings


def build_classifier(settings: Settings) -> Classifier:
    """
    Build the classifier that the settings name, bare.

    Raises:
        ConfigurationError: The name is unknown, or what it needs is missing.
    """
    build = BUILDERS.get(settings.classifier.name)
    if build is None:
        options = ", ".join(sorted(BUILDERS))
        raise ConfigurationError(
            f"classifier.name: unknown classifier {settings.classifier.name!r} (there are: {options})"
        )
    return build(settings)


def watch(classifier: Classifier, settings: Settings) -> Probed:
    """Wrap a classifier so that its calls are measured and its readiness is known."""
    return Probed(
        Measured(classifier),
        interval_seconds=settings.readiness.probe_interval_seconds,
        wait_seconds=settings.readiness.probe_wait_seconds,
    )


def _embedded(settings: Settings) -> Classifier:
    path = settings.classifier.model_path
    return EmbeddedClassifier.load(Path(path) if path else None)


def _koala(settings: Settings) -> Classifier:
    chosen, upstream = settings.classifier, settings.classifier.config
    if not upstream.url:
        raise ConfigurationError("classifier.config.url: missing; classifier koala needs it")
    if settings.bearer_token is None:
        raise ConfigurationError(
            "BEARER_TOKEN: missing; classifier koala needs it, or BEARER_TOKEN_FILE, in the environment"
        )
    return KoalaClassifier(
        checked_url(upstream.url, require_https=upstream.require_https),
        token=settings.bearer_token,
        identity=ClassifierIdentity(koala.NAME, upstream.model, upstream.revision),
        deadline_seconds=chosen.deadline_seconds,
        connect_timeout_seconds=upstream.connect_timeout_seconds,
        max_reply_bytes=upstream.max_reply_bytes,
    )


def checked_url(url: str, *, require_https: bool) -> str:
    """
    Refuse a URL that would send the texts and the token astray.

    Args:
        url: Where the remote classifier is.
        require_https: Whether plain HTTP is refused, except to this machine.
    Raises:
        ConfigurationError: It is not an http(s) URL with a host, or carries credentials.
    """
    key = "classifier.config.url"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"{key}: not a URL") from error
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise ConfigurationError(f"{key}: must be an http or https URL with a host")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{key}: must not carry credentials; use BEARER_TOKEN")
    if require_https and parts.scheme != "https" and not _is_loopback(host):
        raise ConfigurationError(f"{key}: must be https (classifier.config.require_https is true)")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


BUILDERS: Final[Mapping[str, Callable[[Settings], Classifier]]] = {
    embedded.NAME: _embedded,
    koala.NAME: _koala,
}
"""The classifiers that ``classifier.name`` may name."""
