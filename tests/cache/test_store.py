"""The store of answers: what is stored, for how long, and under which key."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.cache.keys import KeyMaker
from content_moderator.cache.store import ENTRY_BYTES, AnswerStore, Entry, pack, unpack
from content_moderator.config.settings import ExactCacheSettings
from content_moderator.domain.classification import ClassifierIdentity
from content_moderator.domain.label import Label
from content_moderator.observability import metrics
from tests.support.fake import HARMLESS, Clock

IDENTITY = ClassifierIdentity("koala", "model", "1")
PACKED = pack(HARMLESS)


def cache(clock: Clock, dropped: list[bytes] | None = None, **settings: float) -> AnswerStore:
    kept = ExactCacheSettings(**settings)  # type: ignore[arg-type]
    return AnswerStore(kept, on_drop=(dropped if dropped is not None else []).append, clock=clock)


def put(kept: AnswerStore, clock: Clock, *keys: bytes, size: int = ENTRY_BYTES) -> None:
    for key in keys:
        kept.put(key, Entry(PACKED, clock(), size))


def evicted(reason: str) -> float:
    return metrics.CACHE_EVICTIONS.labels(reason)._value.get()  # type: ignore[no-any-return]


def test_least_recently_used_goes_first() -> None:
    clock, dropped = Clock(), list[bytes]()
    kept = cache(clock, dropped, max_entries=3)
    before = evicted("entries")
    put(kept, clock, b"a", b"b", b"c")
    assert kept.get(b"a")
    put(kept, clock, b"d")
    assert dropped == [b"b"]
    assert [kept.get(key) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    assert evicted("entries") - before == 1


def test_bytes_are_bounded_too() -> None:
    clock, dropped = Clock(), list[bytes]()
    kept = cache(clock, dropped, max_bytes=100_000)
    put(kept, clock, b"a", b"b", size=40_000)
    put(kept, clock, b"c", size=70_000)
    assert dropped == [b"a", b"b"]
    assert kept.size == 70_000
    put(kept, clock, b"d", size=100_001)
    assert kept.get(b"d") is None
    assert kept.get(b"c"), "what cannot be kept takes no other's place"


def test_what_is_too_old_is_forgotten() -> None:
    clock = Clock()
    kept = cache(clock, ttl_seconds=60)
    put(kept, clock, b"a")
    clock.now += 59.9
    entry = kept.get(b"a")
    assert entry is not None
    assert kept.age(entry) == pytest.approx(59.9)
    clock.now += 0.2
    assert kept.get(b"a") is None
    assert len(kept) == 0
    assert kept.size == 0


def test_entry_is_replaced_not_added() -> None:
    clock = Clock()
    kept = cache(clock)
    put(kept, clock, b"a", b"a")
    assert (len(kept), kept.size) == (1, ENTRY_BYTES)


def test_note_takes_room_from_others() -> None:
    clock, dropped = Clock(), list[bytes]()
    kept = cache(clock, dropped, max_bytes=100_000)
    put(kept, clock, b"a", b"b", size=45_000)
    entry = kept.get(b"a")
    assert entry is not None
    kept.attach(b"a", entry, "a note", 20_000)
    assert (entry.response, dropped, kept.size) == ("a note", [b"b"], 65_000)
    kept.attach(b"a", entry, "another", 20_000)
    assert (entry.response, kept.size) == ("a note", 65_000)
    kept.attach(b"b", entry, "of what is gone", 1)
    put(kept, clock, b"c", size=10_000)
    large = kept.get(b"c")
    assert large is not None
    kept.attach(b"c", large, "too large", 90_001)
    assert (large.response, dropped) == (None, [b"b"])


def test_threads_do_not_break_the_books() -> None:
    kept = AnswerStore(ExactCacheSettings(max_entries=50, ttl_seconds=1))

    def use(seed: int) -> None:
        for number in range(2000):
            key = bytes([(number * seed) % 200])
            if kept.get(key) is None:
                kept.put(key, Entry(PACKED, time.monotonic()))

    threads = [threading.Thread(target=use, args=(seed,)) for seed in (1, 3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 50
    assert kept.size == 50 * ENTRY_BYTES


@given(st.lists(st.floats(0, 1), min_size=9, max_size=9))
def test_scores_come_back_to_the_last_bit(values: list[float]) -> None:
    scores = dict(zip(Label, values, strict=True))
    assert unpack(pack(scores)) == scores


PARTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(PARTS, min_size=4, max_size=4), st.lists(PARTS, min_size=4, max_size=4))
def test_keys_differ_wherever_anything_differs(one: list[str], other: list[str]) -> None:
    """Also if the parts give the same string: ("ab", "c") and ("a", "bc")."""
    keys = {
        tuple(parts): KeyMaker(ClassifierIdentity(parts[0], parts[1], parts[2])).key(parts[3])
        for parts in (one, other)
    }
    assert len(set(keys.values())) == len(keys)


def test_key_depends_on_cleaning_and_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {KeyMaker(IDENTITY).key("a"), KeyMaker(IDENTITY, secret=b"s").key("a")}
    monkeypatch.setattr("content_moderator.cache.keys.CLEANING_VERSION", "0")
    keys.add(KeyMaker(IDENTITY).key("a"))
    assert len(keys) == 3
    assert not any(key == b"a" for key in keys)
