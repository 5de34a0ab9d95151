"""The index of near copies: the same results as comparing with every text, with bounded work."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from content_moderator.cache.near_copies.index import Match, NearCopyIndex, Nearness, segments, windows
from content_moderator.config.settings import SimilarCacheSettings

TEXTS = st.text("ab ", min_size=1, max_size=30)


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[str], str]:
    """Some texts, and one that is mostly an edit of one of them."""
    texts = draw(st.lists(TEXTS, min_size=1, max_size=12))
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from(["", "a", "bb"])) + text[place + draw(st.integers(0, 1)) :]
    return texts, text or "a"


def brute_force(texts: dict[bytes, str], text: str, nearness: Nearness) -> tuple[bytes, int] | None:
    """Compare with every text; ties go to the newest."""
    best: tuple[bytes, int] | None = None
    for key, other in texts.items():
        distance = Levenshtein.distance(text, other)
        if distance <= nearness.edits(len(other)) and (best is None or distance <= best[1]):
            best = key, distance
    return best


@given(edited(), st.integers(1, 8), st.sampled_from([0.05, 0.15, 0.3, 0.5]), st.sets(st.integers(0, 11)))
def test_finds_what_brute_force_finds(
    case: tuple[list[str], str], max_edits: int, max_ratio: float, removed: set[int]
) -> None:
    texts, text = case
    index = NearCopyIndex(SimilarCacheSettings(max_edits=max_edits, max_ratio=max_ratio))
    filed = {}
    for number, other in enumerate(texts):
        filed[bytes([number])] = other
        index.add(bytes([number]), other)
    for number in removed:
        filed.pop(bytes([number]), None)
        index.remove(bytes([number]))
    found = index.find(text)
    assert (found and (found.key, found.distance)) == brute_force(filed, text, index.nearness)
    assert len(index) == len(filed)


@given(st.integers(1, 400), st.integers(0, 16))
def test_segments_are_even_and_cover_the_text(chars: int, edits: int) -> None:
    cut = segments(chars, edits)
    assert len(cut) == edits + 1
    assert [each.begin for each in cut[1:]] == [each.begin + each.length for each in cut[:-1]]
    assert cut[-1].begin + cut[-1].length == chars
    assert max(each.length for each in cut) - min(each.length for each in cut) <= 1


@given(st.integers(20, 400), st.integers(-8, 8))
def test_windows_stay_few(chars: int, shift: int) -> None:
    """Of the order of the square of the edits for all lengths together, whatever the length of the texts."""
    places = sum(each.behind - each.first for each in windows(chars + shift, chars, 8))
    assert places <= 8 * 8 // 2 + 8 + 1


def test_nothing_is_left_when_texts_go() -> None:
    index = NearCopyIndex(SimilarCacheSettings())
    for number in range(300):
        index.add(str(number % 100).encode(), f"the same beginning, and then {number * 7919 % 1000}")
    assert len(index) == 100
    for number in range(100):
        index.remove(str(number).encode())
    assert (len(index), index._tables, index._texts, index._numbers) == (0, {}, {}, {})


def test_crafted_texts_do_not_make_a_look_up_long() -> None:
    """No more than ``max_candidates`` texts are compared, those with rare segments first."""
    index = NearCopyIndex(SimilarCacheSettings(max_candidates=50))
    rng = random.Random(1)
    index.add(b"wanted", "zq" * 14 + "x" + "the same end of all of them" * 3)
    for number in range(2000):
        letters = "".join(rng.choices("abcdefgh", k=29))
        index.add(str(number).encode(), letters + "the same end of all of them" * 3)
    longest = max(
        len(posting)
        for table in index._tables.values()
        for posting in table.values()
        if isinstance(posting, list)
    )
    assert longest <= 50
    text = "zq" * 14 + "y" + "the same end of all of them" * 3
    assert len(index._candidates(text)) <= 50
    assert index.find(text) == Match(b"wanted", "zq" * 14 + "x" + "the same end of all of them" * 3, 1)
    for key in list(index._numbers):
        index.remove(key)
    assert index._tables == {}


@pytest.mark.parametrize(
    ("chars", "edits"),
    [
        pytest.param(10, 1, id="ratio"),
        pytest.param(39, 5, id="ratio rounds down"),
        pytest.param(400, 8, id="cap"),
    ],
)
def test_reach(chars: int, edits: int) -> None:
    assert Nearness(8, 0.15).edits(chars) == edits
