"""POST /classify through the HTTP interface."""

import gzip
import json
import math

import pytest
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.config.settings import PolicySettings, Settings
from content_moderator.domain.classification import CacheOutcome, Classification, LabelScore
from content_moderator.domain.errors import AnswerableError, ClassifierError, answerable_errors
from content_moderator.domain.label import Label
from content_moderator.domain.moderator import MAX_SPANS
from content_moderator.domain.verdict import labels_as_dicts
from content_moderator.web.api.verdict_schema import LabelScoreSchema, RankedLabels, VerdictSchema
from tests.support.fake import HARMLESS, IDENTITY, FakeClassifier


def test_answer_has_the_whole_contract(fake: FakeClassifier, client: FlaskClient) -> None:
    fake.scores[Label.V] = 0.93
    fake.scores[Label.OK] = 0.07
    response = client.post("/classify", json={"text": "a text"}, headers={"X-Request-ID": "abc-1"})
    assert response.status_code == 200
    assert response.content_type == "application/json"
    body = response.get_json()
    labels, policy = body.pop("labels"), PolicySettings().thresholds["embedded"]
    assert labels[0] == {"label": "V", "category": "violence", "score": 0.93}
    assert [each["score"] for each in labels] == sorted((e["score"] for e in labels), reverse=True)
    assert {each["label"] for each in labels} == set(Label)
    assert body == {
        "flagged": True,
        "decision": "review",
        "reasons": [
            {
                "rule": "score",
                "label": "V",
                "category": "violence",
                "score": 0.93,
                "threshold": policy["V"].review,
                "action": "review",
            },
            {
                "rule": "score",
                "label": "ANY",
                "category": "any",
                "score": 0.93,
                "threshold": policy["ANY"].review,
                "action": "review",
            },
        ],
        "language": {"code": "en", "certain": False, "judged": True},
        "policy": {"name": "default", "version": PolicySettings().build().version},
        "classifier": {"name": "embedded", "model": "fake", "revision": "1"},
        "cache": {"status": "miss", "distance": None},
        "degraded": False,
        "request_id": "abc-1",
    }


def test_scores_are_written_as_their_schema_says() -> None:
    """The list of labels is written out by hand: it must be what the nested schema would give."""
    answer = Classification(HARMLESS | {Label.V: 0.123456789}, IDENTITY)
    labels = labels_as_dicts(answer)
    by_hand = RankedLabels().serialize("labels", {"labels": labels})
    assert by_hand == LabelScoreSchema(many=True).dump(labels)
    assert 0.123457 in [each["score"] for each in by_hand]
    with pytest.raises(ValueError, match="V is not a probability"):
        RankedLabels().serialize("labels", {"labels": [{"label": "V", "category": "violence", "score": 7.0}]})
    with pytest.raises(ValueError, match="score is not a probability"):
        LabelScoreSchema().dump(LabelScore("V", "violence", math.nan))


def test_harmless_text_is_allowed(client: FlaskClient) -> None:
    body = client.post("/classify", json={"text": "a text"}).get_json()
    assert (body["decision"], body["flagged"], body["reasons"]) == ("allow", False, [])


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(lambda c: c.post("/classify", json={"text": "hé llo"}), id="text"),
        pytest.param(lambda c: c.post("/classify", json={"message": "hé llo"}), id="message"),
        pytest.param(lambda c: c.post("/classify?message=h%C3%A9+llo"), id="query"),
        pytest.param(lambda c: c.post("/classify?message=h%C3%A9%20llo&other=1", json={}), id="query, {}"),
        pytest.param(
            lambda c: c.post(
                "/classify",
                data=json.dumps({"text": "hé llo"}, ensure_ascii=False).encode(),
                content_type="Application/JSON; charset=UTF-8",
            ),
            id="charset",
        ),
        pytest.param(
            lambda c: c.post(
                "/classify",
                data=gzip.compress(b'{"text": "h') + gzip.compress('é llo"}'.encode()),
                headers={"Content-Encoding": "GZIP", "Content-Type": "application/json"},
            ),
            id="gzip in two members",
        ),
    ],
)
def test_every_way_to_give_the_text(send: object, fake: FakeClassifier, client: FlaskClient) -> None:
    assert callable(send)
    response = send(client)
    assert response.status_code == 200, response.get_json()
    assert fake.seen == ["hé llo"]


def test_classifier_gets_the_composed_and_stripped_text(fake: FakeClassifier, client: FlaskClient) -> None:
    client.post("/classify", json={"text": "  cafe\u0301\n"})
    assert fake.seen == ["caf\u00e9"]


@pytest.mark.parametrize("error", [pytest.param(e, id=e.code) for e in answerable_errors(ClassifierError)])
def test_each_classifier_error_is_its_own_problem(error: type[ClassifierError]) -> None:
    """A failure is never an answer, never a 500, and says nothing of what the upstream said."""
    fake = FakeClassifier(error=error("upstream words", retry_after_seconds=7.2))
    response = create_app(Settings(), classifier=fake).test_client().post("/classify", json={"text": "x"})
    assert response.status_code == error.status
    assert response.content_type == "application/problem+json"
    assert response.headers["Retry-After"] == "8"
    body = response.get_json()
    assert body["code"] == error.code
    assert body["status"] == error.status
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert "upstream words" not in response.text


@pytest.mark.parametrize("error", [e for e in answerable_errors() if getattr(e, "status", 0) == 503])
def test_every_503_says_when_to_come_back(error: type[ClassifierError]) -> None:
    app = create_app(Settings(), classifier=FakeClassifier(error=error()))
    response = app.test_client().post("/classify", json={"text": "x"})
    assert int(response.headers["Retry-After"]) >= 1


def test_unforeseen_error_is_a_bare_500(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the caller nor the log gets the exception's message: it may quote the text."""
    fake = FakeClassifier(error=RuntimeError("the text was: secret words"))
    response = create_app(Settings(), classifier=fake).test_client().post("/classify", json={"text": "x"})
    assert response.status_code == 500
    assert response.get_json()["code"] == "internal_error"
    log = capsys.readouterr().out
    assert "RuntimeError" in log
    assert "fake.py" in log
    assert "secret words" not in response.text + log


@pytest.mark.parametrize("score", [7.0, -0.1, float("nan"), "0.5", None])
def test_score_that_is_no_probability_is_not_sent(
    score: object, fake: FakeClassifier, client: FlaskClient
) -> None:
    """Output is checked too: marshmallow alone would let a score of 7 through."""
    fake.classify = lambda texts, context: [_Lying(score)] * len(texts)  # type: ignore[method-assign,list-item]
    response = client.post("/classify", json={"text": "x"})
    assert response.status_code == 500


def test_fewer_answers_than_texts_is_an_error(fake: FakeClassifier, client: FlaskClient) -> None:
    fake.classify = lambda texts, context: []  # type: ignore[method-assign]
    response = client.post("/classify", json={"text": "x"})
    assert (response.status_code, response.get_json()["code"]) == (502, "classifier_bad_reply")


class _Lying:
    """Pretends to be a Classification, with a score that none can have."""

    def __init__(self, score: object) -> None:
        self.scores = dict.fromkeys(Label, 0.0)
        self.unsafe = 1.0
        self.classifier = FakeClassifier().identity
        self.ranked = [LabelScore("S", "sexual", score)] * 9  # type: ignore[arg-type]
        self.cache = CacheOutcome()
        self.degraded = False


def test_answers_satisfy_their_own_schema(embedded_client: FlaskClient) -> None:
    for text in ("what a lovely day", "you pathetic idiot", "!!!", "日本語"):
        body = embedded_client.post("/classify", json={"text": text}).get_json()
        body.pop("request_id")
        assert VerdictSchema(partial=True).validate(body) == {}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("Req.1_a-b", True, id="well-formed"),
        pytest.param("a" * 128, True, id="longest"),
        pytest.param("a" * 129, False, id="too long"),
        pytest.param("a b", False, id="space"),
        pytest.param("a\x1b[31m", False, id="control character"),
        pytest.param('","level":"x', False, id="log injection"),
        pytest.param("", False, id="empty"),
    ],
)
def test_request_id_is_kept_only_if_well_formed(given: str, kept: bool, client: FlaskClient) -> None:
    response = client.get("/livez", headers={"X-Request-ID": given})
    assert (response.headers["X-Request-ID"] == given) is kept
    assert response.headers["X-Request-ID"]


def test_no_error_class_is_without_status_and_sentence() -> None:
    for error in answerable_errors(AnswerableError):
        assert 400 <= error.status < 600
        assert error.detail if hasattr(error, "detail") else error.code == "body_too_large"


def test_spans_are_the_sentences_judged_one_by_one(embedded_client: FlaskClient) -> None:
    text = "  The cafe\u0301 was nice. You are a pathetic idiot! See you\non Monday."
    body = embedded_client.post("/classify", json={"text": text, "spans": True}).get_json()
    found = [(text[each["begin"] : each["end"]], each["decision"]) for each in body["spans"]]
    assert found == [
        ("The cafe\u0301 was nice.", "allow"),
        ("You are a pathetic idiot!", "review"),
        ("See you", "allow"),
        ("on Monday.", "allow"),
    ]
    assert [len(each["labels"]) for each in body["spans"]] == [9] * 4
    assert body["spans"][1]["reasons"][0]["label"] == "HR"
    assert "explanation" not in body


def test_spans_of_very_many_sentences_are_joined(fake: FakeClassifier, client: FlaskClient) -> None:
    text = "Yes. " * 2500
    body = client.post("/classify", json={"text": text, "spans": True}).get_json()
    assert len(body["spans"]) == MAX_SPANS
    assert len(fake.seen) == 2, "the whole, and what all spans say"
    assert text[body["spans"][3]["begin"] : body["spans"][3]["end"]] == " ".join(["Yes."] * 25)


def test_explanation_has_the_words_of_each_reason(embedded_client: FlaskClient) -> None:
    text = " \u00c9ric, you are a pathetic id1ot"
    body = embedded_client.post("/classify", json={"text": text, "explain": True}).get_json()
    assert [each["label"] for each in body["explanation"]] == [r["label"] for r in body["reasons"]]
    heaviest = max(body["explanation"][0]["words"], key=lambda word: word["weight"])
    assert heaviest["word"] in {"idiot", "pathetic"}
    assert text[heaviest["begin"] : heaviest["end"]] in {"id1ot", "pathetic"}
    for each in body["explanation"]:
        total = each["base"] + sum(word["weight"] for word in each["words"]) + each["second_opinion"]
        assert total == pytest.approx(each["log_odds"])


def test_what_is_allowed_is_explained_too(embedded_client: FlaskClient) -> None:
    body = embedded_client.post("/classify", json={"text": "a fine day", "explain": True}).get_json()
    assert [each["label"] for each in body["explanation"]] == ["ANY"]


def test_a_classifier_that_cannot_be_taken_apart_explains_nothing(client: FlaskClient) -> None:
    body = client.post("/classify", json={"text": "a text", "explain": True}).get_json()
    assert body["explanation"] is None


@pytest.mark.parametrize("option", ["spans", "explain"])
@pytest.mark.parametrize("value", ["true", 2, None, []])
def test_options_are_true_or_false(option: str, value: object, client: FlaskClient) -> None:
    response = client.post("/classify", json={"text": "a text", option: value})
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == f"#/{option}"
    plain = client.post("/classify", json={"text": "a text", option: False}).get_json()
    assert not {"spans", "explanation"} & plain.keys()
