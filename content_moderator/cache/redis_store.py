"""The shared cache: answers and texts of near copies, on a server that workers and machines share."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from content_moderator.cache import records
from content_moderator.cache.encryption import AesGcmEncryption, DecryptionError, Encryption, NoEncryption
from content_moderator.cache.keys import KEY_BYTES, KeyMaker
from content_moderator.cache.lookup_metrics import Lookup
from content_moderator.cache.lua import FILE, FIND, LOOK_UP
from content_moderator.cache.near_copies.index import Nearness, places, segments
from content_moderator.cache.records import Record, read_record, write_record
from content_moderator.cache.redis_client import RedisClient, Script
from content_moderator.config.settings import Secret, Settings
from content_moderator.domain.classification import ClassifierIdentity
from content_moderator.domain.label import Label
from content_moderator.observability import metrics

PREFIX: Final = f"content-moderator:{records.VERSION}:".encode()
"""
Part of every key. Versions of the service with different records use different keys, so they can share a
server.
"""

MAX_NAMES: Final = 32
"""The largest number of texts for each segment, and of texts that one look-up compares."""

_RECORD, _LEASE, _SEGMENT = (PREFIX + kind for kind in (b"r:", b"l:", b"s:"))


def _all_bytes(reply: Any) -> bool:
    return isinstance(reply, list) and all(isinstance(each, bytes) for each in reply)


# Each text has two keys: one for its record and one for its lease.
_LOOK_UP = Script(LOOK_UP, lambda reply, keys: _all_bytes(reply) and 2 * len(reply) == keys)
_FILE = Script(FILE, lambda reply, _: isinstance(reply, int))
_FIND = Script(FIND, lambda reply, _: _all_bytes(reply) and len(reply) % 2 == 0)
_FIRST_WAIT_SECONDS: Final = 0.005
_LONGEST_WAIT_SECONDS: Final = 0.04

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """
    The result of a look-up on the server.

    Args:
        records: For each text its record, or None.
        leased: Indexes of the texts for which this process has taken a lease.
    """

    records: list[Record | None]
    leased: list[int] = field(default_factory=list)


class RedisStore:
    """
    Answers that several processes share; every failure of the server is a miss.

    Texts are only stored encrypted. Without a secret, only scores are stored, under hashed keys.

    Args:
        settings: The settings of the service.
        identity: The classifier whose answers are stored.
        server: The client of the server.
        owner: The tenant with a separate cache; empty for the common cache.
        clock: Monotonic seconds.
        sleep: Waits some seconds.
        wall_clock: Seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        identity: ClassifierIdentity,
        server: RedisClient,
        *,
        owner: str = "",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        secret = _bytes(settings.cache_secret)
        self._cache = settings.cache
        self._keys = KeyMaker(identity, owner=owner, secret=secret)
        self._encryption: Encryption = AesGcmEncryption(secret) if secret else NoEncryption()
        self._server = server
        self._clock = clock
        self._sleep = sleep
        self._wall_clock = wall_clock
        similar = settings.cache.similar
        self._nearness = Nearness(similar.max_edits, similar.max_ratio)
        self.keeps_texts = bool(secret) and similar.mode != "off"

    def get(self, texts: Sequence[str]) -> Found:
        """
        Look up cleaned texts, in one round trip unless other processes hold leases.

        If another process has a lease of a text, wait up to ``lease_seconds`` for its answer.
        """
        lookup = Lookup("shared_exact")
        found = self._get(texts)
        for record in found.records:
            lookup.end("miss" if record is None else "hit")
        return found

    def put(self, answers: Sequence[tuple[str, Record]]) -> None:
        """Store the answers about cleaned texts, and release their leases."""
        milliseconds = int(self._cache.exact.ttl_seconds * 1000)
        calls = []
        for text, record in answers:
            key = self._keys.key(text)
            sealed = self._encryption.encrypt(write_record(record), key)
            places = self._segments(record.text) if record.text is not None else []
            arguments = [sealed, milliseconds, key, MAX_NAMES * KEY_BYTES]
            calls.append(([_RECORD + key, _LEASE + key, *places], arguments))
        self._server.run(_FILE, calls)

    def release(self, texts: Sequence[str]) -> None:
        """Release the leases of *texts* without storing answers."""
        self._server.delete([_LEASE + self._keys.key(text) for text in texts])

    def find(self, folded: str) -> list[tuple[bytes, Record]]:
        """Return the records of texts that may be near copies of a folded text, in one round trip."""
        keys = self._places(folded)
        arguments = [KEY_BYTES, _RECORD, MAX_NAMES, records.MAX_BYTES]
        [found] = (self._server.run(_FIND, [(keys, arguments)]) if keys else None) or [None]
        if not found:
            return []
        pairs = zip(found[::2], found[1::2], strict=True)
        read = ((key, self._read(key, value)) for key, value in pairs)
        return [(key, record) for key, record in read if record is not None and record.text is not None]

    def age(self, record: Record) -> float:
        """Return how many seconds old an answer is."""
        return max(0.0, self._wall_clock() - record.answered_at)

    def record_of(self, scores: Mapping[Label, float], folded: str | None) -> Record:
        """Return the record of a fresh answer."""
        return Record(dict(scores), self._wall_clock(), folded if self.keeps_texts else None)

    def _get(self, texts: Sequence[str]) -> Found:
        keys = [self._keys.key(text) for text in texts]
        found: list[Record | None] = [None] * len(keys)
        leased: list[int] = []
        open_places = list(range(len(keys)))
        ends = self._clock() + self._cache.shared.lease_seconds
        pause = _FIRST_WAIT_SECONDS
        while open_places and (replies := self._look_up([keys[place] for place in open_places])):
            taken = []
            for place, reply in zip(open_places, replies, strict=True):
                kind = reply[:1]
                if kind == b"V":
                    found[place] = self._read(keys[place], reply[1:])
                elif kind == b"T":
                    taken.append(place)
                elif kind == b"P":
                    self._poisoned()
                elif self._cache.shared.lease_seconds:
                    leased.append(place)
            open_places = taken
            if not taken or self._clock() + pause > ends:
                break
            self._sleep(pause)
            pause = min(2 * pause, _LONGEST_WAIT_SECONDS)
        return Found(found, leased)

    def _look_up(self, keys: Sequence[bytes]) -> list[bytes] | None:
        lease = int(self._cache.shared.lease_seconds * 1000)
        names = [prefix + key for key in keys for prefix in (_RECORD, _LEASE)]
        replies = self._server.run(_LOOK_UP, [(names, [records.MAX_BYTES, lease])])
        return replies[0] if replies else None

    def _read(self, key: bytes, value: bytes) -> Record | None:
        try:
            record = read_record(self._encryption.decrypt(value, key))
        except (ValueError, DecryptionError):
            self._poisoned()
            return None
        return record if self.age(record) < self._cache.exact.ttl_seconds else None

    def _poisoned(self) -> None:
        metrics.SHARED_FAILURES.labels("poisoned").inc()
        _log.warning("shared_cache_poisoned")

    def _segments(self, folded: str) -> list[bytes]:
        cut = segments(len(folded), self._nearness.edits(len(folded)))
        return [
            self._place(number, folded[begin : begin + length]) for number, (begin, length) in enumerate(cut)
        ]

    def _places(self, folded: str) -> list[bytes]:
        """Return the keys that the segments of a near copy can have."""
        return [
            self._place(number, folded[begin : begin + length])
            for number, first, behind, length in places(len(folded), self._nearness)
            for begin in range(first, behind)
        ]

    def _place(self, number: int, segment: str) -> bytes:
        return _SEGMENT + self._keys.key(str(number), segment)


def _bytes(secret: Secret | None) -> bytes:
    return secret.reveal().encode() if secret else b""
