"""The embedded model: features, file, and the mild examples that it must tell apart."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.classifiers.embedded import classifier as embedded
from content_moderator.classifiers.embedded.classifier import EmbeddedClassifier
from content_moderator.classifiers.embedded.features import (
    BUCKETS,
    BUCKETS_PER_BLOCK,
    CHARACTER_NGRAMS,
    CLASS_NGRAMS,
    WORD_NGRAMS,
    count_features,
    occurrences,
)
from content_moderator.classifiers.embedded.linear_model import (
    HEADS,
    MAGIC,
    EmbeddedModel,
    SecondHeads,
    margins_of,
    write_model,
)
from content_moderator.classifiers.embedded.sentence_encoder import WIDTH
from content_moderator.classifiers.embedded.tokens import tokens_of
from content_moderator.config.settings import PolicySettings
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.explanation import Explainer
from content_moderator.domain.label import Label
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.verdict import ANY
from content_moderator.text.normalization import words_of
from tests.support.fake import scored

MODEL = Path(str(files("content_moderator.classifiers.embedded.weights").joinpath("embedded.bin")))


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
        ("immigrants are vermin", "review", "H"),
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
    plain, hidden = scored(classifier, ["I will kill you", disguised])
    assert hidden.scores == pytest.approx(plain.scores)


def test_batch_answers_as_one_by_one(classifier: EmbeddedClassifier) -> None:
    texts = ["hello there", "you idiot", "!!!", "", "ok " * 500, "日本語のテキスト", "hello there"]
    together = scored(classifier, texts)
    for text, answer in zip(texts, together, strict=True):
        [alone] = scored(classifier, [text])
        assert alone.scores == pytest.approx(dict(answer.scores), abs=1e-5)


def test_large_batches_are_split_and_keep_their_order(
    classifier: EmbeddedClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "MAX_BATCH_CHARS", 30)
    texts = [f"{'you pathetic idiot' if index % 2 else 'text number'} {index}" for index in range(20)]
    found = [answer.scores[Label.HR] > 0.3 for answer in scored(classifier, texts)]
    assert found == [bool(index % 2) for index in range(20)]


@pytest.mark.parametrize("text", ["sex", "erotic", "anal", "cock", "escort", "send nudes", "die jews"])
def test_a_few_words_are_never_blocked(text: str, classifier: EmbeddedClassifier) -> None:
    [verdict] = Moderator(classifier, PolicySettings().build()).moderate([text])
    assert verdict.decision != "block"


def test_no_texts_no_answers(classifier: EmbeddedClassifier) -> None:
    assert scored(classifier, []) == []


def test_scores_hang_together(classifier: EmbeddedClassifier) -> None:
    """What is plainly harmful is plainly not OK; S3 needs both a sexual score and a minor."""
    for answer in scored(classifier, ["you idiot", "let's have sex tonight", "I will kill you"]):
        harms = [score for label, score in answer.scores.items() if label is not Label.OK]
        assert max(harms) > 0.8
        assert answer.scores[Label.OK] < 0.2
        assert answer.scores[Label.S3] <= answer.scores[Label.S]
    adult, minor = scored(classifier, ["sexy photos", "sexy photos, 12 years old"])
    assert adult.scores[Label.S3] < 0.2 * adult.scores[Label.S] + 1e-6
    assert minor.scores[Label.S3] == pytest.approx(0.9 * minor.scores[Label.S])


LEXICON = {"gay": "group", "women": "gender", "people": "people", "hate": "aversion", "not": "negator"}


@given(st.lists(st.text(max_size=60), max_size=6))
def test_features_are_those_of_the_definition(texts: list[str]) -> None:
    """The array arithmetic counts exactly the n-grams that a plain reading of the definition gives."""
    read = [words_of(text) for text in texts]
    counts = count_features(read, LEXICON)
    assert (np.diff(counts.text * BUCKETS + counts.bucket) > 0).all()
    for index, words in enumerate(read):
        for block, expected in enumerate(plain_ngrams(words)):
            mine = (counts.text == index) & (counts.bucket // BUCKETS_PER_BLOCK == block)
            # Distinct n-grams share a bucket once in 131,072: totals are exact, distinct ones at most fewer.
            assert counts.count[mine].sum() == expected.total()
            assert mine.sum() <= len(expected)


def plain_ngrams(read: Sequence[str]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    words, classes, _, about = tokens_of(read, LEXICON)
    inside = Counter(
        f" {word} "[start : start + size]
        for word in words
        for size in CHARACTER_NGRAMS
        for start in range(len(word) + 2 - size + 1)
    )
    of_classes = ngrams(classes, CLASS_NGRAMS)
    for whom, spoken_of in zip(("you", "me", "a group"), about, strict=True):
        of_classes.update({f"{whom}: {each}": count for each, count in Counter(classes).items() if spoken_of})
    return ngrams(words, WORD_NGRAMS), inside, of_classes


def ngrams(words: list[str], sizes: Sequence[int]) -> Counter[str]:
    return Counter(
        " ".join(words[start : start + size]) for size in sizes for start in range(len(words) - size + 1)
    )


@pytest.mark.parametrize(
    ("text", "classified", "places"),
    [
        ("i hate gay people", "i <aversion> §", [0, 1, 2]),
        ("i hate women", "i <aversion> §", [0, 1, 2]),
        ("gay women vote", "§ vote", [0, 2]),
        ("people are nice", "people are nice", [0, 1, 2]),
        ("i do not hate gay people at all", "i do not !<aversion> !§ !at all", [0, 1, 2, 3, 4, 6, 7]),
        ("not gay people people not", "not !§ not", [0, 1, 4]),
        ("", "", []),
    ],
)
def test_words_become_classes_and_negation_is_marked(text: str, classified: str, places: list[int]) -> None:
    tokens = tokens_of(text.split(), LEXICON)
    assert (" ".join(tokens.classes), tokens.places) == (classified, places)


@given(st.text(alphabet="gay hte wonp", max_size=60))
def test_occurrences_are_the_counted_features_and_know_their_tokens(text: str) -> None:
    tokens = tokens_of(text.split(), LEXICON)
    found = occurrences(tokens)
    counts = count_features([text.split()], LEXICON)
    assert Counter(found.bucket.tolist()) == dict(
        zip(counts.bucket.tolist(), counts.count.tolist(), strict=True)
    )
    stream = [*tokens.words, *tokens.classes]
    for bucket, first, last in zip(found.bucket, found.first, found.last, strict=True):
        part = stream[first : last + 1]
        as_class = first >= len(tokens.words)
        alone = count_features([part], {} if as_class else LEXICON)
        if not as_class:
            assert bucket in alone.bucket


@given(st.text(max_size=50), st.text(max_size=50))
def test_equal_ngrams_fall_in_equal_buckets(first: str, second: str) -> None:
    """A text's features do not depend on what else is in the batch, or on its place in it."""
    a, b = words_of(first), words_of(second)
    alone, together = count_features([a], LEXICON), count_features([b, a], LEXICON)
    mine = together.text == 1
    assert (together.bucket[mine] == alone.bucket).all()
    assert (together.count[mine] == alone.count).all()


def test_long_texts_grow_the_tables() -> None:
    counts = count_features([["word"] * 30_000], {})
    assert counts.count.sum() > 100_000


HEADER = {
    "heads": ["S", "ANY"],
    "bias": [-1.0, 0.5],
    "any": [1, 0, 0],
    "growth": [0.5, 1.0],
    "short": [0.25, 0.0],
    "second_opinion": {"ask_above": -2.0, "languages": {"de": [0.5, -0.5]}},
    "lexicon": {"group": ["gay"]},
}
SECOND = SecondHeads(
    hidden=np.ones((WIDTH, 3), dtype=np.float32),
    hidden_bias=np.array([-1, 0, 1], dtype=np.float32),
    output=np.arange(6, dtype=np.float32).reshape(3, 2),
    around=np.zeros((WIDTH, 2), dtype=np.float32),
    bias=np.array([0.5, -0.5], dtype=np.float32),
)


def test_model_file_survives_writing_and_reading(tmp_path: Path) -> None:
    weights = np.zeros((BUCKETS, 2), dtype=np.float32)
    weights[5], weights[7] = (1.0, -2.0), (0.5, 127.0)
    idf = np.linspace(0, 10, BUCKETS, dtype=np.float32)
    path = tmp_path / "model.bin"
    write_model(path, header=HEADER, idf=idf, weights=weights, second=SECOND)
    model = EmbeddedModel.load(path)
    assert model.lexicon == {"gay": "group"}
    assert (model.growth.tolist(), model.short.tolist(), model.ask_above) == ([0.5, 1.0], [0.25, 0.0], -2.0)
    assert {code: shift.tolist() for code, shift in model.languages.items()} == {"de": [0.5, -0.5]}
    assert model.heads == ("S", "ANY")
    np.testing.assert_allclose(model.idf, idf, atol=0.02)
    np.testing.assert_allclose(model.weights[[5, 7]] * model.scale, weights[[5, 7]], atol=1.0)
    assert model.logits(count_features([], {}), 0).shape == (0, 2)
    assert model.logits(count_features([[]], {}), 1)[0] == pytest.approx([-1.0, 0.5])
    vector = np.zeros((1, WIDTH), dtype=np.float32)
    vector[0, 0] = 2
    # Units of 1, 2 and 3; with a calibration of twice that and one more.
    assert model.second.logits(vector)[0] == pytest.approx([16.5, 21.5])
    calibrated = model.second.scaled(np.array([2, 2]), np.array([1, 1]))
    assert calibrated.logits(vector)[0] == pytest.approx([34, 44])


def test_model_whose_last_head_is_another_is_refused(tmp_path: Path) -> None:
    ones = np.ones((BUCKETS, 2), dtype=np.float32)
    header = HEADER | {"heads": ["ANY", "S"]}
    write_model(tmp_path / "model.bin", header=header, idf=ones[:, 0], weights=ones, second=SECOND)
    with pytest.raises(ConfigurationError):
        EmbeddedModel.load(tmp_path / "model.bin")


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


def test_shipped_thresholds_are_those_that_the_training_chose() -> None:
    """S3 has no head of its own, so its threshold is nobody's finding."""
    chosen = EmbeddedModel.load(MODEL).header["thresholds"]
    policy = PolicySettings().thresholds["embedded"]
    assert {
        name: {"review": r.review, "block": r.block} for name, r in policy.items() if name != "S3"
    } == chosen


PADDING = (
    "The weather was fine and we walked along the river. There were ducks and two swans. "
    "Later we had coffee and a piece of apple cake. My brother told us about his new job at the library. "
    "The bus home was late but nobody minded. In the evening we played cards and drank some tea. "
)


@pytest.mark.parametrize(
    ("hidden", "label"),
    [
        ("I will find you and kill you.", "V"),
        ("I want to end my life tonight.", "SH"),
        ("You are a pathetic idiot and nobody likes you.", "HR"),
    ],
)
def test_padding_does_not_hide_a_violation(hidden: str, label: str, embedded_client: FlaskClient) -> None:
    def flagged(text: str) -> set[str]:
        body = embedded_client.post("/classify", json={"text": text}).get_json()
        return {reason["label"] for reason in body["reasons"]}

    assert label in flagged(PADDING * 2 + hidden + " " + PADDING * 2)
    assert flagged(PADDING * 4) == set()


def test_the_more_parts_the_less_each_says() -> None:
    growth = np.array([0.5, 1.0], dtype=np.float32)
    assert margins_of(growth, 0).tolist() == [0, 0]
    assert margins_of(growth, 1).tolist() == [0.5, 1]
    assert margins_of(growth, 7).tolist() == [1.5, 3]


EXPLAINED = [
    "I will kill you",
    "you are such a pathetic id1ot, nobody l i k e s you",
    "immigrants are vermin",
    "my gay women friends people do not hate anyone",
    "Ｉ ｗｉｌｌ find you",
    "What a lovely morning",
    "...",
    PADDING + "I will find you and k i l l you. " + PADDING,
    "you stu**pid** idiot",
    "stfu u fcuking id iot",
    "Ich bringe dich um, du Idiot. Morgen bist du tot.",
    "Dick Van Dyke",
]


@pytest.mark.parametrize("text", EXPLAINED)
def test_explanations_add_up_to_the_score(text: str, classifier: EmbeddedClassifier) -> None:
    assert isinstance(classifier, Explainer)
    [answer] = scored(classifier, [text])
    for each in classifier.explain(text, [*HEADS, "S3"]):
        total = each.base + sum(word.weight for word in each.words) + each.second_opinion
        assert total == pytest.approx(each.log_odds, abs=1e-6)
        head = "S" if each.label == "S3" else each.label
        score = answer.unsafe if head == ANY else answer.scores[Label(head)]
        assert 1 / (1 + np.exp(-total)) == pytest.approx(score, abs=1e-5)
        assert all(0 <= word.begin < word.end <= len(text) for word in each.words)


@pytest.mark.parametrize(
    ("text", "label", "word"),
    [
        ("I will kill you", "V", "kill"),
        ("you are such an id1ot", "HR", "id1ot"),
        ("please do not h u r t me, stupid fool", "HR", "stupid"),
        (PADDING + "I will find you and k i l l you. " + PADDING, "V", "k i l l"),
    ],
)
def test_the_word_that_weighs_most_is_the_one_that_one_would_name(
    text: str, label: str, word: str, classifier: EmbeddedClassifier
) -> None:
    [explanation] = classifier.explain(text, [label])
    heaviest = max(explanation.words, key=lambda each: each.weight)
    assert text[heaviest.begin : heaviest.end] == word


def test_another_model_file_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "copy.bin"
    shutil.copy(MODEL, path)
    assert EmbeddedClassifier.load(path).identity == EmbeddedClassifier.load().identity
    with pytest.raises(ConfigurationError, match=r"none\.bin"):
        EmbeddedClassifier.load(tmp_path / "none.bin")
