"""Builds the nested line of classifiers from the settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from content_moderator.cache.answer_cache import Memory
from content_moderator.cache.factory import Memories
from content_moderator.classifiers.embedded import classifier as embedded
from content_moderator.classifiers.embedded.classifier import EmbeddedClassifier
from content_moderator.classifiers.remote import client as koala
from content_moderator.classifiers.remote.circuit_breaker import Breaker
from content_moderator.classifiers.remote.client import KoalaClassifier
from content_moderator.classifiers.remote.retry import Protected
from content_moderator.classifiers.remote.wire_formats import PROTOCOLS
from content_moderator.classifiers.wrappers.batching import Coalesced
from content_moderator.classifiers.wrappers.caching import Cached, Renewing
from content_moderator.classifiers.wrappers.chunking import Divide, Divided
from content_moderator.classifiers.wrappers.deobfuscating import Viewed
from content_moderator.classifiers.wrappers.fallback import WithFallback
from content_moderator.classifiers.wrappers.health import Probed
from content_moderator.classifiers.wrappers.measuring import Measured
from content_moderator.classifiers.wrappers.near_copy_checker import Sampler
from content_moderator.config.settings import Settings
from content_moderator.domain.classification import Classifier, ClassifierIdentity
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.explanation import Explainer
from content_moderator.domain.policy import Policy
from content_moderator.net.urls import checked_url
from content_moderator.observability import metrics
from content_moderator.text.chunks import collapse_white_space, parts_of

EMBEDDED_PART_BYTES: Final = 81_920
"""A text of 20,480 characters, which /classify takes at most, is one part in any script."""


@dataclass(frozen=True, slots=True)
class Line:
    """
    A classifier with all that is around it.

    Args:
        classifier: The whole of it.
        fresh: The same for callers who want no remembered answer.
        unremembered: The same for callers whose texts must leave no trace.
        memory: What is remembered; None if nothing is.
        separate: Gives the same for one owner alone, who shares neither memory nor near copies with others.
        parts: Tells in how many parts a cleaned text is scored: what it costs.
        probed: Knows whether the chosen classifier, without its stand-in, can answer.
        explainer: Takes scores apart, if a classifier in the line can.
        names: Of the classifiers that may answer.
    """

    classifier: Classifier
    fresh: Classifier
    unremembered: Classifier
    memory: Memory | None
    separate: Callable[[str], "Line"]
    parts: Callable[[str], int]
    probed: Probed
    explainer: Explainer | None
    names: tuple[str, ...]


def build_line(settings: Settings, classifier: Classifier | None = None) -> Line:
    """
    Build the classifier that the settings name, and what they put around it.

    Args:
        settings: What was configured.
        classifier: Taken instead of the one that the settings name.
    Raises:
        ConfigurationError: See `build_classifier`; or the shared cache cannot be used.
    """
    chosen = build_classifier(settings) if classifier is None else classifier
    remote = isinstance(chosen, Coalesced)
    has_stand_in = remote and settings.classifier.on_unavailable == embedded.NAME
    stand_in = _embedded(settings) if has_stand_in else None
    divide: Divide = _local_parts
    if remote:
        # Some encoders put a space before the first word.
        divide = partial(remote_parts, max_bytes=settings.classifier.config.max_tokens - 1)
    probed = Probed(
        # A remote classifier measures each call to the server, retries and all.
        _remote(settings, chosen, divide) if remote else Divided(Measured(chosen), divide),
        interval_seconds=settings.readiness.probe_interval_seconds,
        wait_seconds=settings.readiness.probe_wait_seconds,
        deadline_seconds=settings.classifier.deadline_seconds,
        has_stand_in=has_stand_in,
    )
    asked: Classifier = probed
    if stand_in:
        asked = WithFallback(probed, Divided(Measured(stand_in), _local_parts))
    policy = settings.policy.build()
    memories = Memories(settings, chosen.identity, _judge(settings, chosen, stand_in))

    def line(owner: str = "") -> Line:
        memory = memories.build(owner)
        return Line(
            classifier=_cached(settings, policy, asked, memory) if memory else asked,
            fresh=Renewing(asked, memory) if memory else asked,
            unremembered=asked,
            memory=memory,
            separate=line,
            parts=lambda text: len(divide(text)),
            probed=probed,
            explainer=stand_in or (chosen if isinstance(chosen, Explainer) else None),
            names=(chosen.identity.name, *([stand_in.identity.name] if stand_in else [])),
        )

    return line()


def _remote(settings: Settings, chosen: Classifier, divide: Divide) -> Classifier:
    """Put around a remote classifier what it needs to read texts of any length and any spelling."""
    divided = Divided(chosen, divide, on_divided=metrics.DIVIDED.inc)
    # The embedded one undoes disguises in its features.
    return Viewed(divided) if settings.classifier.undo_disguises else divided


def remote_parts(text: str, *, max_bytes: int) -> list[str]:
    """Divide a text for a model that reads so many tokens; white space is not to fill them."""
    return parts_of(collapse_white_space(text), max_bytes=max_bytes)


def _local_parts(text: str) -> list[str]:
    """Divide a text for the embedded model, which reads any length, so that each pass is bounded."""
    return parts_of(text, max_bytes=EMBEDDED_PART_BYTES)


def _judge(
    settings: Settings, chosen: Classifier, stand_in: EmbeddedClassifier | None
) -> EmbeddedClassifier | None:
    """Build what the guard asks whether two texts are alike; None if near copies are not looked for."""
    mode = settings.cache.similar.mode
    local = chosen if isinstance(chosen, EmbeddedClassifier) else None
    # What is inside this process never fails, so that nothing would ever be looked up instead.
    if not settings.cache.exact.enabled or mode == "off" or (mode == "fallback" and local):
        return None
    return local or stand_in or _embedded(settings)


def _cached(settings: Settings, policy: Policy, asked: Classifier, memory: Memory) -> Cached:
    sampler = Sampler(
        asked,
        rate=settings.cache.similar.sample_rate,
        decide=lambda answer: policy.judge(answer).decision,
        remember=lambda text, answer: memory.remember([(text, answer)]),
        deadline_seconds=settings.classifier.deadline_seconds,
    )
    return Cached(
        asked,
        memory,
        mode=settings.cache.similar.mode,
        deadline_seconds=settings.classifier.deadline_seconds,
        sampler=sampler,
    )


def build_classifier(settings: Settings) -> Classifier:
    """
    Build the classifier that the settings name, without a stand-in.

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


def _embedded(settings: Settings) -> EmbeddedClassifier:
    path = settings.classifier.model_path
    return EmbeddedClassifier.load(
        Path(path) if path else None, second_opinion=settings.classifier.second_opinion
    )


def _koala(settings: Settings) -> Classifier:
    chosen, upstream = settings.classifier, settings.classifier.config
    protocol = PROTOCOLS[upstream.protocol]
    if not upstream.url:
        raise ConfigurationError("classifier.config.url: missing; classifier koala needs it")
    if protocol.needs_token and settings.bearer_token is None:
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
    remote = KoalaClassifier(
        with_path(url, protocol.path),
        token=settings.bearer_token,
        identity=ClassifierIdentity(koala.NAME, upstream.model, upstream.revision),
        connect_timeout_seconds=upstream.connect_timeout_seconds,
        max_reply_bytes=upstream.max_reply_bytes,
        protocol=protocol,
        ca_file=upstream.ca_file,
    )
    protected = Protected(
        remote,
        call_timeout_seconds=upstream.call_timeout_seconds,
        retries=chosen.retries,
        breaker=Breaker(chosen.breaker),
    )
    return Coalesced(protected, deadline_seconds=chosen.deadline_seconds, settings=chosen.coalescing)


def with_path(url: str, path: str | None) -> str:
    """Put a protocol's *path* into a URL that has none of its own."""
    parts = urlsplit(url)
    if path is None or parts.path not in {"", "/"}:
        return url
    return parts._replace(path=path).geturl()


BUILDERS: Final[Mapping[str, Callable[[Settings], Classifier]]] = {
    embedded.NAME: _embedded,
    koala.NAME: _koala,
}
"""The classifiers that ``classifier.name`` may name."""
