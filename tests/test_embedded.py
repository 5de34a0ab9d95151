"""The embedded model: features, file, and the mild examples that it must tell apart."""

import json
import shutil
from collections import Counter
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.classifiers import embedded
from content_moderator.classifiers.embedded import EmbeddedClassifier
from content_moderator.classifiers.embedded_feature import (
    BUCKETS,
    BUCKETS_PER_BLOCK,
    CHARACTER_NGRAMS,
    count_features,
)
from content_moderator.classifiers.embedded_model import MAGIC, EmbeddedModel, write_model
from content_moderator.core.label import Label
from content_moderator.core.text import normalise, words_of
from content_moderator.errors import ConfigurationError

MODEL = Path(str(files("content_moderator.models").joinpath("embedded.bin")))


@pytest.fixture(scope="module")
def classifier() -> EmbeddedClassifier:
    return EmbeddedClassifier.load()


@pytest.mark.parametrize(
    ("text", "decision", "label"),
    [
        ("What a lovely morning for a walk in the park", "allow", None),
        ("my 12 year old daughter loves soccer", "allow", None),
        ("I am a gay black woman", "allow", None),
        ("I will kiss you", "allow", None),
        ("how do I kill a python process?", "allow", None),
        ("beat the eggs and fold in the flour", "allow", None),
        ("my grandmother died last week and I miss her", "allow", None),
        ("I met some Muslims on holiday, lovely people", "allow", None),
        ("we got destroyed in the second half, what a match", "allow", None),
        ("I will kill you", "review", "V"),
        ("you are such a pathetic idiot, nobody likes you", "review", "HR"),
        ("I want to end my life", "review", "SH"),
        ("let's have sex tonight", "block", "S"),
        ("immigrants are vermin", "block", "H"),
    ],
)
def test_mild_examples_are_told_apart(
    text: str, decision: str, label: str | None, embedded_client: FlaskClient
) -> None:
    body = embedded_client.post("/classify", json={"text": text}).get_json()
    assert body["decision"] == decision
    assert label is None or label in [reason["label"] for reason in body["reasons"]]


@pytest.mark.parametrize(
    "disguised",
    ["I w1ll k1ll you", "I will k i l l you", "I will kíll you", "І wіll kіll yоu", "I will ki\u200bll you",
     "I will kiiiill you", "Ｉ ｗｉｌｌ ｋｉｌｌ ｙｏｕ", "I WILL KILL YOU"],
)  # fmt: skip
def test_disguise_does_not_change_the_answer(disguised: str, classifier: EmbeddedClassifier) -> None:
    plain, hidden = classifier.classify(["I will kill you", disguised])
    assert hidden.scores == pytest.approx(plain.scores)


def test_batch_answers_as_one_by_one(classifier: EmbeddedClassifier) -> None:
    texts = ["hello there", "you idiot", "!!!", "", "ok " * 500, "日本語のテキスト", "hello there"]
    together = classifier.classify(texts)
    for text, answer in zip(texts, together, strict=True):
        [alone] = classifier.classify([text])
        assert alone.scores == pytest.approx(dict(answer.scores), abs=1e-5)


def test_large_batches_are_split_and_keep_their_order(
    classifier: EmbeddedClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "MAX_BATCH_CHARS", 30)
    texts = [f"text number {index} {'you idiot' * (index % 2)}" for index in range(20)]
    found = [answer.scores[Label.HR] > 0.3 for answer in classifier.classify(texts)]
    assert found == [bool(index % 2) for index in range(20)]


def test_no_texts_no_answers(classifier: EmbeddedClassifier) -> None:
    assert classifier.classify([]) == []


def test_scores_hang_together(classifier: EmbeddedClassifier) -> None:
    """OK is what the highest harm leaves; S3 needs both a sexual score and a minor."""
    for answer in classifier.classify(["you idiot", "let's have sex tonight", "my 8 year old son won"]):
        harms = [score for label, score in answer.scores.items() if label is not Label.OK]
        assert answer.scores[Label.OK] <= 1 - max(harms) + 1e-6
        assert answer.scores[Label.S3] <= answer.scores[Label.S]
    adult, minor = classifier.classify(["sexy photos", "sexy photos, 12 years old"])
    assert adult.scores[Label.S3] < 0.2 * adult.scores[Label.S] + 1e-6
    assert minor.scores[Label.S3] == pytest.approx(0.9 * minor.scores[Label.S])


@given(st.lists(st.text(max_size=60), max_size=6))
def test_features_are_those_of_the_definition(texts: list[str]) -> None:
    """The array arithmetic counts exactly the n-grams that a plain reading of the definition gives."""
    normalised = [normalise(text) for text in texts]
    counts = count_features(normalised)
    assert (np.diff(counts.text * BUCKETS + counts.bucket) > 0).all()
    for index, text in enumerate(normalised):
        mine = counts.text == index
        in_words = mine & (counts.bucket < BUCKETS_PER_BLOCK)
        words, characters = plain_ngrams(text)
        # Distinct n-grams share a bucket once in 131,072: totals are exact, distinct ones at most fewer.
        assert counts.count[in_words].sum() == words.total()
        assert counts.count[mine & ~in_words].sum() == characters.total()
        assert in_words.sum() <= len(words)


def plain_ngrams(normalised: str) -> tuple[Counter[str], Counter[str]]:
    words = words_of(normalised).split(" ")[1:-1]
    words = [word for word in words if word]
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    inside = Counter(
        f" {word} "[start : start + size]
        for word in words
        for size in CHARACTER_NGRAMS
        for start in range(len(word) + 2 - size + 1)
    )
    return Counter(words + pairs), inside


@given(st.text(max_size=50), st.text(max_size=50))
def test_equal_ngrams_fall_in_equal_buckets(first: str, second: str) -> None:
    """A text's features do not depend on what else is in the batch, or on its place in it."""
    a, b = normalise(first), normalise(second)
    alone, together = count_features([a]), count_features([b, a])
    mine = together.text == 1
    assert (together.bucket[mine] == alone.bucket).all()
    assert (together.count[mine] == alone.count).all()


def test_long_texts_grow_the_tables() -> None:
    counts = count_features(["word " * 30_000])
    assert counts.count.sum() > 100_000


def test_model_file_survives_writing_and_reading(tmp_path: Path) -> None:
    weights = np.zeros((BUCKETS, 2), dtype=np.float32)
    weights[5], weights[7] = (1.0, -2.0), (0.5, 127.0)
    idf = np.linspace(0, 10, BUCKETS, dtype=np.float32)
    path = tmp_path / "model.bin"
    write_model(path, header={"heads": ["S", "ANY"], "bias": [-1.0, 0.5]}, idf=idf, weights=weights)
    model = EmbeddedModel.load(path)
    assert model.heads == ("S", "ANY")
    np.testing.assert_allclose(model.idf, idf, atol=0.02)
    np.testing.assert_allclose(model.weights[[5, 7]] * model.scale, weights[[5, 7]], atol=1.0)
    none = model.probabilities(count_features([]), 0)
    assert none.shape == (0, 2)
    assert model.probabilities(count_features([""]), 1)[0] == pytest.approx([0.2689, 0.6225], abs=1e-3)


def test_shipped_model_names_its_sources() -> None:
    header = EmbeddedModel.load(MODEL).header
    for checksums in header["sources"].values():
        assert all(len(checksum) == 64 for checksum in checksums.values())
    assert MODEL.stat().st_size < 5_000_000


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:-1], id="cut"),
        pytest.param(lambda data: b"x" + data[1:], id="wrong magic"),
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), id="one bit"),
        pytest.param(lambda data: MAGIC + b"\xff\xff\xff\x7f", id="endless header"),
        pytest.param(lambda data: MAGIC + (2).to_bytes(4, "little") + b"{}", id="empty header"),
        pytest.param(lambda data: MAGIC + (4).to_bytes(4, "little") + json.dumps(None).encode(), id="null"),
    ],
)
def test_damaged_model_stops_start_up(damage: object, tmp_path: Path) -> None:
    assert callable(damage)
    path = tmp_path / "model.bin"
    path.write_bytes(damage(MODEL.read_bytes()))
    with pytest.raises(ConfigurationError, match=r"model\.bin"):
        EmbeddedClassifier.load(path)


def test_another_model_file_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "copy.bin"
    shutil.copy(MODEL, path)
    assert EmbeddedClassifier.load(path).identity == EmbeddedClassifier.load().identity
    with pytest.raises(ConfigurationError, match=r"none\.bin"):
        EmbeddedClassifier.load(tmp_path / "none.bin")
