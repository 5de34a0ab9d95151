"""Near copies: the index that finds them and the guard that decides about them."""

from collections.abc import Mapping, Sequence

from content_moderator.cache.near_copies.folding import disguised, fold
from content_moderator.cache.near_copies.guard import Guard
from content_moderator.cache.near_copies.index import Match, NearCopyIndex, nearest
from content_moderator.config.settings import SimilarCacheSettings
from content_moderator.domain.label import Label


class NearCopyFinder:
    """
    Finds the near copies of a text among those whose answers are stored.

    Args:
        settings: The largest distance of near copies.
        guard: Compares two near texts.
    """

    def __init__(self, settings: SimilarCacheSettings, guard: Guard) -> None:
        self._settings = settings
        self._guard = guard
        self._index = NearCopyIndex(settings)

    def folded(self, text: str) -> str | None:
        """Return the folded form of a cleaned text; None if it is too short, too long or disguised."""
        if not self._settings.min_chars <= len(text) <= self._settings.max_chars:
            return None
        folded = fold(text)
        return None if len(folded) < self._settings.min_chars or disguised(text, folded) else folded

    def size(self, folded: str) -> int:
        """Return the estimated size of a folded text in the index, in bytes."""
        return self._index.size(folded)

    def add(self, key: bytes, folded: str) -> None:
        """Add a folded text under the key of its answer."""
        self._index.add(key, folded)

    def remove(self, key: bytes) -> None:
        """Remove the text of *key*, if there is one."""
        self._index.remove(key)

    def find(self, folded: str) -> Match | None:
        """Return the nearest text in this process; None if there is none within reach."""
        return self._index.find(folded)

    def nearest(self, folded: str, candidates: Sequence[tuple[bytes, str]]) -> Match | None:
        """Return the nearest of *candidates*, which are pairs of a key and a folded text."""
        return nearest(folded, candidates, self._index.nearness)

    def lets_pass(self, folded: str, match: Match, answer: Mapping[Label, float]) -> bool:
        """Return whether the answer about *match* may be used for the text *folded*."""
        return self._guard.refusal(folded, match.text, answer) is None
