"""Texts that are longer than the model reads at once."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.app import create_app
from content_moderator.classifiers.divided import Divided
from content_moderator.core.chunk import chunks, tokens
from content_moderator.core.classification import Classification, strictest
from content_moderator.core.label import Label
from content_moderator.core.text import clean
from content_moderator.errors import BadReplyError
from content_moderator.settings import (
    ClassifierSettings,
    CoalescingSettings,
    ReadinessSettings,
    Secret,
    Settings,
    UpstreamSettings,
)
from tests.fake import HARMLESS, IDENTITY, FakeClassifier
from tests.fault_server import FaultServer, reply, scores

LONG = " ".join(f"This is sentence number {number} of a long story." for number in range(200))


@given(text=st.text(min_size=1).map(clean).filter(bool), max_tokens=st.integers(32, 60))
def test_parts_are_small_enough_and_nothing_is_lost(text: str, max_tokens: int) -> None:
    """No part of any text is larger than the limit or blank, and all words are there in order."""
    parts = chunks(text, max_tokens=max_tokens)
    assert all(begin < end for begin, end in parts)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(parts))
    assert all(tokens(text[begin:end]) <= max_tokens or parts == [(0, len(text))] for begin, end in parts)
    assert "".join("".join(text[begin:end] for begin, end in parts).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LONG, id="sentences"),
        pytest.param("word " * 3000, id="one-sentence"),
        pytest.param("x" * 20_000, id="one-word"),
        pytest.param("\U0001f600" * 4000, id="emoji"),
        pytest.param("a\n\n\n" * 2000, id="lines"),
    ],
)
def test_long_text_of_any_kind_is_divided_in_the_order_of_its_size(text: str) -> None:
    text = clean(text)
    parts = chunks(text, max_tokens=384)
    assert max(tokens(text[begin:end]) for begin, end in parts) <= 384
    assert len(parts) <= 3 * tokens(text) / 384 + 1
    assert "".join("".join(text[begin:end] for begin, end in parts).split()) == "".join(text.split())


def test_text_is_divided_at_the_end_of_a_sentence() -> None:
    for begin, end in chunks(LONG, max_tokens=384):
        assert LONG[begin:end].startswith("This is")
        assert LONG[begin:end].endswith("story.")


def test_short_text_stays_whole() -> None:
    assert chunks("Short. Text.", max_tokens=384) == [(0, 12)]
    assert chunks("é" * 180, max_tokens=384) == [(0, 180)]


def test_highest_score_of_each_harm_and_the_lowest_of_ok_count() -> None:
    parts = [
        Classification(HARMLESS | {Label.V: 0.8, Label.OK: 0.1}, IDENTITY),
        Classification(HARMLESS | {Label.S: 0.6, Label.OK: 0.3}, IDENTITY),
    ]
    whole = strictest(parts)
    assert (whole.scores[Label.V], whole.scores[Label.S], whole.scores[Label.OK]) == (0.8, 0.6, 0.1)
    assert whole.scores[Label.H] == HARMLESS[Label.H]


def test_short_reply_is_not_taken_for_the_whole() -> None:
    class Forgetful(FakeClassifier):
        def classify(self, texts: Sequence[str]) -> list[Classification]:
            return super().classify(texts)[1:]

    with pytest.raises(BadReplyError):
        Divided(Forgetful(), max_tokens=384).classify([LONG])


def test_what_is_hidden_at_the_end_of_a_long_text_is_found(upstream: FaultServer) -> None:
    """The model's server gets parts that it reads whole; the one that is violent decides."""
    parts = len(chunks(LONG, max_tokens=384))
    upstream.play(*[reply(scores())] * (parts - 1), reply(scores(V=0.9, OK=0.05)))
    chosen = ClassifierSettings(
        name="koala",
        config=UpstreamSettings(url=upstream.url),
        coalescing=CoalescingSettings(max_in_flight=1, max_batch=1),
    )
    settings = Settings(
        classifier=chosen, readiness=ReadinessSettings(probe_at_start=False), bearer_token=Secret("hf_x")
    )
    client = create_app(settings).test_client()
    answer = client.post("/classify", json={"text": LONG}).get_json()
    assert answer["decision"] == "block"
    assert answer["reasons"][0]["label"] == "V"
    assert parts > 5
    assert "".join("".join(upstream.texts()).split()) == "".join(LONG.split())
    again = client.post("/classify", json={"text": LONG}).get_json()
    assert again["cache"]["status"] == "exact", "the text is remembered, not its parts"
    assert len(upstream.received) == parts
