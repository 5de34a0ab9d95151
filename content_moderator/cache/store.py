"""An LRU store of answers by key, bounded in number, bytes and age."""

import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from content_moderator.config.settings import ExactCacheSettings
from content_moderator.domain.label import Label
from content_moderator.observability import metrics

ENTRY_BYTES: Final = 400
"""Bytes that an entry needs, without the text for near copies; measured by ``benchmarks.cache``."""

_SCORES: Final = struct.Struct(f"<{len(Label)}d")
_LABELS: Final = tuple(Label)


class Entry:
    """
    The stored scores of one text.

    Args:
        scores: The result of `pack`; nine float objects would need six times as much memory.
        stored_at: Time of the classifier's answer, in monotonic seconds.
        size: Bytes of the entry, including the text and the rendered response.

    Attributes:
        response: The rendered response; see `AnswerStore.attach`.
    """

    __slots__ = ("response", "scores", "size", "stored_at")

    def __init__(self, scores: bytes, stored_at: float, size: int = ENTRY_BYTES) -> None:
        self.scores = scores
        self.stored_at = stored_at
        self.size = size
        self.response: object = None


def pack(scores: Mapping[Label, float]) -> bytes:
    """Encode scores; `unpack` returns exactly the same values."""
    return _SCORES.pack(*(scores[label] for label in _LABELS))


def unpack(scores: bytes) -> dict[Label, float]:
    """Decode scores; see `pack`."""
    return dict(zip(_LABELS, _SCORES.unpack(scores), strict=True))


class AnswerStore:
    """
    Stores entries by key, bounded in number, bytes and age; safe to use from several threads.

    Args:
        settings: The bounds.
        on_drop: Called with the key of each entry that is removed.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: ExactCacheSettings,
        *,
        on_drop: Callable[[bytes], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._on_drop = on_drop
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._bytes = 0
        self._reported = 0, 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """The size of all entries, in bytes."""
        return self._bytes

    def get(self, key: bytes) -> Entry | None:
        """Return the entry of *key*, unless it has expired, and mark it as the most recently used one."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if self._clock() - entry.stored_at >= self._settings.ttl_seconds:
                self._drop(key, "expired")
                self._update_gauges()
                return None
            self._entries.move_to_end(key)
            return entry

    def age(self, entry: Entry) -> float:
        """Return how many seconds old an entry is."""
        return max(0.0, self._clock() - entry.stored_at)

    def put(self, key: bytes, entry: Entry) -> bool:
        """Store an entry, replacing an earlier one with this key; return whether it fits."""
        with self._lock:
            if key in self._entries:
                self._drop(key, "replaced")
            fits = entry.size <= self._settings.max_bytes
            if fits:
                self._make_room(entry.size, entries=1)
                self._entries[key] = entry
                self._bytes += entry.size
            self._update_gauges()
            return fits

    def attach(self, key: bytes, entry: Entry, response: object, size: int) -> None:
        """Store the rendered response of an entry, of *size* bytes, for the next request."""
        with self._lock:
            if self._entries.get(key) is not entry or entry.response is not None:
                return
            if entry.size + size <= self._settings.max_bytes:
                # It is the most recently used entry: others are evicted first.
                self._entries.move_to_end(key)
                self._make_room(size, entries=0)
                entry.response = response
                entry.size += size
                self._bytes += size
                self._update_gauges()

    def _make_room(self, size: int, *, entries: int) -> None:
        while len(self._entries) + entries > self._settings.max_entries:
            self._drop(next(iter(self._entries)), "entries")
        while self._bytes + size > self._settings.max_bytes:
            self._drop(next(iter(self._entries)), "bytes")

    def _drop(self, key: bytes, reason: str) -> None:
        self._bytes -= self._entries.pop(key).size
        self._on_drop(key)
        metrics.CACHE_EVICTIONS.labels(reason).inc()

    def _update_gauges(self) -> None:
        # A process can have several caches, and the gauge is their sum.
        entries, size = self._reported
        self._reported = len(self._entries), self._bytes
        metrics.CACHE_ENTRIES.inc(self._reported[0] - entries)
        metrics.CACHE_BYTES.inc(self._reported[1] - size)
