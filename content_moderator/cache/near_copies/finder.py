"""Near copies: the index that finds them and the guard that decides about them."""

from collections.abc import Mapping, Sequence

from content_moderator.cache.near_copies.folding import disguised, fold
from content_moderator.cache.near_copies.guard import Guard
from content_moderator.cache.near_copies.index import Match, NearCopyIndex, nearest
from content_moderator.config.settings import SimilarCacheSettings
from content_moderator.domain.label import Label


class NearCopyFinder:
    """
    Texts whose answers may serve for their near copies.

    Args:
        settings: What counts as near.
        guard: Compares two near texts.
    """

    def __init__(self, settings: SimilarCacheSettings, guard: Guard) -> None:
        self._settings = settings
        self._guard = guard
        self._index = NearCopyIndex(settings)

    def folded(self, text: str) -> str | None:
        """Fold a cleaned text for comparison; None if it is too short, too long or disguised."""
        if not self._settings.min_chars <= len(text) <= self._settings.max_chars:
            return None
        folded = fold(text)
        return None if len(folded) < self._settings.min_chars or disguised(text, folded) else folded

    def size(self, folded: str) -> int:
        """Estimate the bytes that remembering a folded text takes."""
        return self._index.size(folded)

    def add(self, key: bytes, folded: str) -> None:
        """Remember a folded text under the key of its answer."""
        self._index.add(key, folded)

    def remove(self, key: bytes) -> None:
        """Forget the text of *key*, if there is one."""
        self._index.remove(key)

    def find(self, folded: str) -> Match | None:
        """Find the nearest text in this process."""
        return self._index.find(folded)

    def nearest(self, folded: str, candidates: Sequence[tuple[bytes, str]]) -> Match | None:
        """Find the nearest of *candidates*, keys and folded texts."""
        return nearest(folded, candidates, self._index.nearness)

    def lets_pass(self, folded: str, match: Match, answer: Mapping[Label, float]) -> bool:
        """Return whether the answer about *match* may serve for the text *folded*."""
        return self._guard.refusal(folded, match.text, answer) is None
