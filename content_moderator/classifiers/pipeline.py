"""Builds the nested classifiers from the settings."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from content_moderator.cache.factory import AnswerCaches
from content_moderator.classifiers.embedded.classifier import EMBEDDED, EmbeddedClassifier
from content_moderator.classifiers.remote.circuit_breaker import CircuitBreaker
from content_moderator.classifiers.remote.client import KOALA, RemoteClassifier
from content_moderator.classifiers.remote.retry import Retrying
from content_moderator.classifiers.remote.wire_formats import WIRE_FORMATS
from content_moderator.classifiers.wrappers.batching import Batching
from content_moderator.classifiers.wrappers.caching import Caching
from content_moderator.classifiers.wrappers.chunking import Chunking, Split
from content_moderator.classifiers.wrappers.deobfuscating import Deobfuscating
from content_moderator.classifiers.wrappers.fallback import Fallback
from content_moderator.classifiers.wrappers.health import Health
from content_moderator.classifiers.wrappers.measuring import Measuring
from content_moderator.classifiers.wrappers.near_copy_checker import NearCopyChecker
from content_moderator.classifiers.wrappers.single_flight import SingleFlight
from content_moderator.config.settings import Settings
from content_moderator.domain.classification import Classifier, ClassifierIdentity
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.explanation import Explainer
from content_moderator.net.urls import checked_url
from content_moderator.observability import metrics
from content_moderator.text.chunks import collapse_white_space, parts_of

EMBEDDED_PART_BYTES: Final = 81_920
"""Large enough for one part to hold 20,480 characters, the limit of /classify, in any script."""


@dataclass(frozen=True, slots=True)
class ClassifierPipeline:
    """
    A classifier with all of its wrappers, and the parts that others use.

    Args:
        classifier: The outermost wrapper.
        caches: The answer caches; None if nothing is stored.
        health: Tells whether the chosen classifier, without its stand-in, can answer.
        explainer: Explains scores, if a classifier in the pipeline can.
        names: Names of the classifiers that can answer.
        parts: Returns the number of parts in which a cleaned text is scored, which is its cost in rate
            limits.
    """

    classifier: Classifier
    caches: AnswerCaches | None
    health: Health
    explainer: Explainer | None
    names: tuple[str, ...]
    parts: Callable[[str], int]


def build_pipeline(
    settings: Settings, classifier: Classifier | None = None, *, separate_caches: Collection[str] = ()
) -> ClassifierPipeline:
    """
    Build the classifier that the settings name, with all wrappers.

    Args:
        settings: The settings of the service.
        classifier: Used instead of the one that the settings name; None to build that.
        separate_caches: Tenants with a cache of their own.
    Raises:
        ConfigurationError: See `build_classifier`; or the shared cache cannot be used.
    """
    chosen = build_classifier(settings) if classifier is None else classifier
    if chosen.identity.name not in settings.policy.thresholds:
        raise ConfigurationError(f"policy.{chosen.identity.name}: missing; the classifier needs thresholds")
    remote = isinstance(chosen, Batching)
    has_stand_in = remote and settings.classifier.on_unavailable == EMBEDDED
    stand_in = _embedded(settings) if has_stand_in else None
    split: Split = _local_parts
    if remote:
        # Minus one, because some encoders add a space before the first word.
        split = partial(remote_parts, max_bytes=settings.classifier.config.max_tokens - 1)
    health = Health(
        # A remote classifier measures each call to the server itself, including retries.
        _wrap_remote(settings, chosen, split) if remote else Chunking(Measuring(chosen), split),
        interval_seconds=settings.readiness.probe_interval_seconds,
        wait_seconds=settings.readiness.probe_wait_seconds,
        deadline_seconds=settings.classifier.deadline_seconds,
        has_stand_in=has_stand_in,
    )
    asked: Classifier = health
    if stand_in:
        asked = Fallback(health, Chunking(Measuring(stand_in), _local_parts))
    caches = None
    if settings.cache.exact.enabled:
        judge = _similarity_judge(settings, chosen, stand_in)
        caches = AnswerCaches(settings, chosen.identity, judge, separate=separate_caches)
    return ClassifierPipeline(
        classifier=SingleFlight(
            asked if caches is None else _caching(settings, asked, caches),
            owner_of=(lambda _: "") if caches is None else caches.owner_of,
            deadline_seconds=settings.classifier.deadline_seconds,
        ),
        caches=caches,
        health=health,
        explainer=stand_in or (chosen if isinstance(chosen, Explainer) else None),
        names=(chosen.identity.name, *([stand_in.identity.name] if stand_in else [])),
        parts=lambda text: len(split(text)),
    )


def _wrap_remote(settings: Settings, chosen: Classifier, split: Split) -> Classifier:
    """Wrap a remote classifier so that it can score texts of any length and with disguises."""
    chunking = Chunking(chosen, split, on_split=metrics.CHUNKED.inc)
    # Only for remote classifiers: the embedded one deobfuscates texts in its features.
    return Deobfuscating(chunking) if settings.classifier.undo_disguises else chunking


def _caching(settings: Settings, asked: Classifier, caches: AnswerCaches) -> Caching:
    policy = settings.policy.build()
    checker = NearCopyChecker(
        asked,
        rate=settings.cache.similar.sample_rate,
        decide=lambda answer: policy.judge(answer).decision,
        deadline_seconds=settings.classifier.deadline_seconds,
    )
    return Caching(asked, caches, near_copies=settings.cache.similar.mode, checker=checker)


def remote_parts(text: str, *, max_bytes: int) -> list[str]:
    """Split a text for a model with a limited number of tokens; runs of white space are collapsed first."""
    return parts_of(collapse_white_space(text), max_bytes=max_bytes)


def _local_parts(text: str) -> list[str]:
    """Split a text for the embedded model. It can read any length; this bounds the time of each pass."""
    return parts_of(text, max_bytes=EMBEDDED_PART_BYTES)


def _similarity_judge(
    settings: Settings, chosen: Classifier, stand_in: EmbeddedClassifier | None
) -> EmbeddedClassifier | None:
    """Return the classifier that the guard compares scores with; None if near copies are not used."""
    mode = settings.cache.similar.mode
    local = chosen if isinstance(chosen, EmbeddedClassifier) else None
    # The embedded classifier never fails, so in this mode near copies would never be used.
    if mode == "off" or (mode == "fallback" and local):
        return None
    return local or stand_in or _embedded(settings)


def build_classifier(settings: Settings) -> Classifier:
    """
    Build the classifier that the settings name, without a stand-in.

    Raises:
        ConfigurationError: The name is unknown, or a setting that the classifier needs is missing.
    """
    _require("classifier.name", "classifier", settings.classifier.name, BUILDERS)
    _require("classifier.config.protocol", "protocol", settings.classifier.config.protocol, WIRE_FORMATS)
    return BUILDERS[settings.classifier.name](settings)


def _require(key: str, kind: str, name: str, known: Collection[str]) -> None:
    """
    Check that a setting names one of the *known* things.

    Raises:
        ConfigurationError: It does not.
    """
    if name not in known:
        options = ", ".join(sorted(known))
        raise ConfigurationError(f"{key}: unknown {kind} {name!r} (there are: {options})")


def _embedded(settings: Settings) -> EmbeddedClassifier:
    path = settings.classifier.model_path
    return EmbeddedClassifier.load(
        Path(path) if path else None, second_opinion=settings.classifier.second_opinion
    )


def _remote(settings: Settings) -> Classifier:
    chosen, upstream = settings.classifier, settings.classifier.config
    wire_format = WIRE_FORMATS[upstream.protocol]
    if not upstream.url:
        raise ConfigurationError("classifier.config.url: missing; classifier koala needs it")
    if wire_format.needs_token and settings.bearer_token is None:
        raise ConfigurationError(
            "BEARER_TOKEN: missing; classifier koala needs it, or BEARER_TOKEN_FILE, in the environment"
        )
    if upstream.ca_file is not None and not Path(upstream.ca_file).is_file():
        raise ConfigurationError(f"classifier.config.ca_file: there is no file {upstream.ca_file}")
    url = checked_url(
        upstream.url,
        "classifier.config.url",
        require_https=upstream.require_https,
        credentials_in="BEARER_TOKEN",
    )
    remote = RemoteClassifier(
        with_path(url, wire_format.path),
        token=settings.bearer_token,
        identity=ClassifierIdentity(KOALA, upstream.model, upstream.revision),
        connect_timeout_seconds=upstream.connect_timeout_seconds,
        max_reply_bytes=upstream.max_reply_bytes,
        wire_format=wire_format,
        ca_file=upstream.ca_file,
    )
    retrying = Retrying(
        remote,
        call_timeout_seconds=upstream.call_timeout_seconds,
        retries=chosen.retries,
        breaker=CircuitBreaker(chosen.breaker),
    )
    return Batching(retrying, settings=chosen.batching)


def with_path(url: str, path: str | None) -> str:
    """Add the *path* of a protocol to a URL without a path."""
    parts = urlsplit(url)
    if path is None or parts.path not in {"", "/"}:
        return url
    return parts._replace(path=path).geturl()


BUILDERS: Final[Mapping[str, Callable[[Settings], Classifier]]] = {
    EMBEDDED: _embedded,
    KOALA: _remote,
}
"""The classifiers by their names in ``classifier.name``."""
