"""Builds what remembers the answers of a classifier: one memory for everybody, or one for each owner."""

from typing import TYPE_CHECKING

import structlog

from content_moderator.cache.answer_cache import Memory
from content_moderator.cache.near_copies.finder import NearCache
from content_moderator.cache.near_copies.guard import Guard
from content_moderator.classifiers.embedded.classifier import EmbeddedClassifier
from content_moderator.config.extras import extra
from content_moderator.config.settings import Settings
from content_moderator.domain.classification import ClassifierIdentity

if TYPE_CHECKING:
    from content_moderator.cache.redis_client import Server

_log = structlog.get_logger(__name__)


class Memories:
    """
    Builds memories.

    Args:
        settings: What was configured.
        identity: Whose answers are remembered.
        judge: Says whether two texts are alike; None if near copies are not looked for.
    Raises:
        ConfigurationError: The shared cache cannot be used.
    """

    def __init__(
        self, settings: Settings, identity: ClassifierIdentity, judge: EmbeddedClassifier | None
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._judge = judge
        shares = settings.cache.exact.enabled and settings.cache.shared.url
        self._server = _server(settings) if shares else None

    def build(self, owner: str) -> Memory | None:
        """
        Build the memory of *owner*, or with an empty name that of everybody else.

        Returns:
            A memory that has nothing in common with any other; None if nothing is to be remembered.
        """
        cache = self._settings.cache
        if not cache.exact.enabled:
            return None
        near = shared = None
        if self._judge is not None:
            near = NearCache(cache.similar, Guard(self._judge, self._judge.lexicon, cache.similar))
        if self._server is not None:
            from content_moderator.cache.redis_store import SharedCache  # noqa: PLC0415  (an extra, as below)

            shared = SharedCache(self._settings, self._identity, self._server, owner=owner)
        return Memory(cache.exact, self._identity, near=near, shared=shared)


def _server(settings: Settings) -> "Server":
    with extra("redis", needed_by="cache.shared.url"):
        import content_moderator.cache.redis_store  # noqa: F401, PLC0415
        from content_moderator.cache.redis_client import Server  # noqa: PLC0415
    if settings.cache_secret is None and settings.cache.similar.mode != "off":
        _log.info(
            "shared_cache_without_texts", reason="CACHE_SECRET is not set: similar texts are not shared"
        )
    return Server(settings.cache.shared, password=settings.cache_password)
