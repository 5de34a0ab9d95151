"""The answer cache: exact answers and near copies, in this process and on a server that others share."""

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
    # An extra: imported where the settings ask for it.
    from content_moderator.cache.redis_store import RedisStore


class AnswerCache:
    """
    The answers of one classifier.

    Args:
        settings: How much is stored in this process, and for how long.
        identity: The classifier whose answers are stored; those of others are not.
        near: Near copies; None where they are not looked for.
        shared: What other processes remember too; None if there is nothing.
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
        """Make the answer of an entry."""
        outcome = CacheOutcome("exact", 0, self._exact.age(entry))
        return Classification(unpack(entry.scores), self._identity, outcome)

    def age(self, entry: Entry) -> float:
        """Return how many seconds old an entry is."""
        return self._exact.age(entry)

    def attach(self, text: str, entry: Entry, response: object, size: int) -> None:
        """Keep with the entry of a cleaned text what was made of it; see `AnswerStore.attach`."""
        self._exact.attach(self._keys.key(text), entry, response, size)

    def get_shared(self, texts: Sequence[str]) -> tuple[dict[str, Classification], list[str]]:
        """
        Return the answers that other processes have had.

        Returns:
            The answers by text, and the texts that others wait for us to answer: see `release`.
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
        """Return the answer about a near copy of a cleaned text, if the guard lets it pass."""
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
            # It went while its text was being filed.
            self._near.remove(match.key)
        if match is None or entry is None:
            lookup.end("miss")
            return self._get_shared_near_copy(folded)
        answer = self._guarded(folded, match, unpack(entry.scores), self._exact.age(entry))
        lookup.end("refused" if answer is None else "hit")
        return answer

    def put(self, answers: Iterable[tuple[str, Classification]]) -> set[str]:
        """
        Remember fresh answers about cleaned texts, here and for others; tell which.

        Only fresh answers of the classifier itself: neither a stand-in's nor a cached one.
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
        """Tell others not to wait for us to answer *texts*."""
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
        # Not the other way round: what is put may have to go at once, and its text with it.
        kept = self._exact.put(key, entry)
        if kept and self._near is not None and folded:
            self._near.add(key, folded)
        return entry

    def _folded(self, text: str) -> str | None:
        return None if self._near is None else self._near.folded(text)


def _nothing(_key: bytes) -> None:
    """There is nothing else to forget."""
