"""The answer cache: exact answers and near copies, in this process and on a server that processes share."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from content_moderator.cache.keys import KeyMaker
from content_moderator.cache.lookup_metrics import Lookup
from content_moderator.cache.near_copies.finder import NearCopyFinder
from content_moderator.cache.near_copies.index import Match
from content_moderator.cache.store import ENTRY_BYTES, AnswerStore, Entry, pack, unpack
from content_moderator.config.settings import ExactCacheSettings
from content_moderator.domain.classification import CacheOutcome, Classification, ClassifierIdentity
from content_moderator.domain.label import Label

if TYPE_CHECKING:
    # Needs the extra "redis", so it is imported only if the settings name a server.
    from content_moderator.cache.redis_store import RedisStore


class AnswerCache:
    """
    Stores the answers of one classifier.

    Args:
        settings: The limits of the store in this process.
        identity: The only classifier whose answers are stored.
        near: Finds near copies; None to find exact copies only.
        shared: The store on a server; None if there is no server.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: ExactCacheSettings,
        identity: ClassifierIdentity,
        *,
        near: NearCopyFinder | None = None,
        shared: "RedisStore | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identity = identity
        self._keys = KeyMaker(identity)
        self._near = near
        self._shared = shared
        self._clock = clock
        self._exact = AnswerStore(settings, on_drop=_nothing if near is None else near.remove, clock=clock)

    def get(self, text: str) -> Classification | None:
        """Return the stored answer about a cleaned text in this process, and count the look-up."""
        lookup = Lookup("exact")
        entry = self.entry(text)
        lookup.end("miss" if entry is None else "hit")
        return None if entry is None else self.answer(entry)

    def entry(self, text: str) -> Entry | None:
        """Return the entry of a cleaned text, without counting the look-up."""
        return self._exact.get(self._keys.key(text))

    def answer(self, entry: Entry) -> Classification:
        """Return the classification that an entry stores."""
        outcome = CacheOutcome("exact", 0, self._exact.age(entry))
        return Classification(unpack(entry.scores), self._identity, outcome)

    def age(self, entry: Entry) -> float:
        """Return how many seconds old an entry is."""
        return self._exact.age(entry)

    def attach(self, text: str, entry: Entry, response: object, size: int) -> None:
        """Store the rendered response of a cleaned text; see `AnswerStore.attach`."""
        self._exact.attach(self._keys.key(text), entry, response, size)

    def get_shared(self, texts: Sequence[str]) -> tuple[dict[str, Classification], list[str]]:
        """
        Look up answers on the shared server.

        Returns:
            The answers by text, and the texts for which this process has taken a lease; see `release`.
        """
        if self._shared is None:
            return {}, []
        found = self._shared.get(texts)
        answers = {}
        for text, record in zip(texts, found.records, strict=True):
            if record is not None:
                entry = self._keep(text, self._folded(text), record.scores, self._shared.age(record))
                answers[text] = self.answer(entry)
        return answers, [texts[place] for place in found.leased]

    def get_near_copy(self, text: str) -> Classification | None:
        """Return the answer about a near copy of a cleaned text, if the guard allows it."""
        if self._near is None:
            return None
        lookup = Lookup("similar")
        folded = self._near.folded(text)
        if folded is None:
            lookup.end("skipped")
            return None
        match = self._near.find(folded)
        entry = self._exact.get(match.key) if match else None
        if match is not None and entry is None:
            # It was evicted while its text was added to the index.
            self._near.remove(match.key)
        if match is None or entry is None:
            lookup.end("miss")
            return self._get_shared_near_copy(folded)
        answer = self._guarded(folded, match, unpack(entry.scores), self._exact.age(entry))
        lookup.end("refused" if answer is None else "hit")
        return answer

    def put(self, answers: Iterable[tuple[str, Classification]]) -> set[str]:
        """
        Store fresh answers about cleaned texts, here and on the shared server; return those that were stored.

        Answers of a stand-in and answers from the cache are not stored.
        """
        fresh = {
            text: answer
            for text, answer in answers
            if not answer.degraded and answer.classifier == self._identity and answer.cache.status == "miss"
        }
        folded = {text: self._folded(text) for text in fresh}
        for text, answer in fresh.items():
            self._keep(text, folded[text], answer.scores, 0.0)
        if self._shared is not None and fresh:
            record_of = self._shared.record_of
            self._shared.put(
                [(text, record_of(answer.scores, folded[text])) for text, answer in fresh.items()]
            )
        return set(fresh)

    def release(self, texts: Sequence[str]) -> None:
        """Release the leases of *texts*, so that other processes stop waiting for their answers."""
        if self._shared is not None and texts:
            self._shared.release(texts)

    def _get_shared_near_copy(self, folded: str) -> Classification | None:
        if self._near is None or self._shared is None or not self._shared.keeps_texts:
            return None
        lookup = Lookup("shared_similar")
        records = dict(self._shared.find(folded))
        match = self._near.nearest(folded, [(key, record.text or "") for key, record in records.items()])
        if match is None:
            lookup.end("miss")
            return None
        record = records[match.key]
        answer = self._guarded(folded, match, record.scores, self._shared.age(record))
        lookup.end("refused" if answer is None else "hit")
        return answer

    def _guarded(
        self, folded: str, match: Match, scores: Mapping[Label, float], age_seconds: float
    ) -> Classification | None:
        if self._near is None or not self._near.lets_pass(folded, match, scores):
            return None
        return Classification(scores, self._identity, CacheOutcome("similar", match.distance, age_seconds))

    def _keep(
        self, text: str, folded: str | None, scores: Mapping[Label, float], age_seconds: float
    ) -> Entry:
        key = self._keys.key(text)
        size = ENTRY_BYTES + (self._near.size(folded) if self._near is not None and folded else 0)
        entry = Entry(pack(scores), self._clock() - age_seconds, size)
        # In this order: the new entry can be evicted at once, and then its text must be removed as well.
        kept = self._exact.put(key, entry)
        if kept and self._near is not None and folded:
            self._near.add(key, folded)
        return entry

    def _folded(self, text: str) -> str | None:
        return None if self._near is None else self._near.folded(text)


def _nothing(_key: bytes) -> None:
    """Do nothing: there is no index to update."""
