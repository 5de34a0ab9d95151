"""Builds the answer caches: one that callers share, and one for each tenant with a cache of its own."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

import structlog

from content_moderator.cache.answer_cache import AnswerCache
from content_moderator.cache.near_copies.finder import NearCopyFinder
from content_moderator.cache.near_copies.guard import Guard, SimilarityScorer
from content_moderator.config.extras import extra
from content_moderator.config.settings import Settings
from content_moderator.domain.caller import Caller
from content_moderator.domain.classification import ClassifierIdentity

if TYPE_CHECKING:
    from content_moderator.cache.redis_client import RedisClient

SHARED: Final = ""
"""The owner of the cache that all callers without a separate cache share."""

_log = structlog.get_logger(__name__)


class AnswerCaches:
    """
    The answer caches of one classifier. No answer moves from one to another.

    Args:
        settings: The settings of the service.
        identity: The classifier whose answers are stored.
        judge: Compares near copies; None if near copies are not looked for.
        separate: Tenants that have a cache of their own.
    Raises:
        ConfigurationError: The shared cache cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        identity: ClassifierIdentity,
        judge: SimilarityScorer | None,
        *,
        separate: Collection[str] = (),
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._judge = judge
        self._client = _redis_client(settings) if settings.cache.shared.url else None
        self._caches = {owner: self._build(owner) for owner in (SHARED, *separate)}

    def owner_of(self, caller: Caller | None) -> str:
        """Return the owner of a caller's cache: the tenant, or ``SHARED``."""
        return caller.tenant if caller is not None and caller.tenant in self._caches else SHARED

    def of(self, caller: Caller | None) -> AnswerCache:
        """Return the cache of a caller."""
        return self._caches[self.owner_of(caller)]

    def _build(self, owner: str) -> AnswerCache:
        cache = self._settings.cache
        near = shared = None
        if self._judge is not None:
            near = NearCopyFinder(cache.similar, Guard(self._judge, self._judge.lexicon, cache.similar))
        if self._client is not None:
            from content_moderator.cache.redis_store import RedisStore  # noqa: PLC0415  (an extra, as below)

            shared = RedisStore(self._settings, self._identity, self._client, owner=owner)
        return AnswerCache(cache.exact, self._identity, near=near, shared=shared)


def _redis_client(settings: Settings) -> "RedisClient":
    with extra("redis", needed_by="cache.shared.url"):
        import content_moderator.cache.redis_store  # noqa: F401, PLC0415
        from content_moderator.cache.redis_client import RedisClient  # noqa: PLC0415
    if settings.cache_secret is None and settings.cache.similar.mode != "off":
        _log.info("shared_cache_without_texts", reason="CACHE_SECRET is not set: near copies are not shared")
    return RedisClient(settings.cache.shared, password=settings.cache_password)
