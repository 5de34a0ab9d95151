"""POST /classify/batch: several texts in one call, and no text affects the others."""

from collections.abc import Sequence
from typing import Any

import pytest
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.config.settings import (
    ClassifierSettings,
    HttpSettings,
    ReadinessSettings,
    Secret,
    Settings,
    UpstreamSettings,
)
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Outcome
from content_moderator.domain.errors import (
    BadReplyError,
    ClassifierError,
    ClassifierUnavailableError,
    RequestRefusedError,
)
from content_moderator.observability import metrics
from tests.support.fake import FakeClassifier
from tests.support.fault_server import FaultServer, Step, reply, scores


class Picky(FakeClassifier):
    """Keeps the calls, and fails on each text that it does not like, or on all if none is to blame."""

    def __init__(self, error: ClassifierError | None = None) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.dislike = error

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        self.calls.append(list(texts))
        answers = super().classify(texts, context)
        if self.dislike is None:
            return answers
        fails = [not self.dislike.about_the_text or "bad" in text for text in texts]
        return [self.dislike if fail else answer for fail, answer in zip(fails, answers, strict=True)]


def client(classifier: FakeClassifier) -> FlaskClient:
    chosen = Settings(http=HttpSettings(max_text_chars=20, max_batch_texts=8))
    return create_app(chosen, classifier=classifier).test_client()


def post(asking: FlaskClient, texts: object, **headers: str) -> Any:
    response = asking.post("/classify/batch", json={"texts": texts}, headers=headers)
    assert response.status_code == 200, response.get_json()
    return response.get_json()["results"]


def test_answers_are_those_of_single_texts_in_order() -> None:
    picky = Picky()
    asking = client(picky)
    results = post(asking, ["one", "two", "one"])
    assert picky.calls == [["one", "two"]], "one pass, and each text once"
    single = asking.post("/classify", json={"text": "one"}).get_json()
    for result in (results[0], results[2]):
        changing = {"request_id", "cache"}
        assert {k: v for k, v in result.items() if k not in changing} == {
            k: v for k, v in single.items() if k not in changing
        }
    assert [each["cache"]["status"] for each in post(asking, ["one", "three"])] == ["exact", "miss"]
    assert picky.calls[-1] == ["three"]


def test_what_is_wrong_with_a_text_is_said_in_its_place() -> None:
    picky = Picky()
    results = post(client(picky), ["one", "", 7, None, " \n", "x" * 21, ["a"], "two"])
    errors = [each.get("error") for each in results]
    assert [error and error["detail"] for error in errors] == [
        None,
        "Must not be empty or only white space.",
        "Not a valid string.",
        "Not a valid string.",
        "Must not be empty or only white space.",
        "Must have at most 20 characters; this has 21.",
        "Not a valid string.",
        None,
    ]
    assert {(e["status"], e["code"]) for e in errors if e} == {(422, "invalid_fields")}
    assert results[1].keys() == {"error", "request_id"}
    assert picky.calls == [["one", "two"]]


def test_nothing_but_wrong_texts_asks_nobody() -> None:
    picky = Picky()
    assert len(post(client(picky), ["", 7])) == 2
    assert picky.calls == []


@pytest.mark.parametrize(
    "error", [RequestRefusedError("400"), BadReplyError("shape")], ids=["refused", "reply"]
)
def test_text_that_the_classifier_cannot_answer_fails_alone(error: Any) -> None:
    before = metrics.ERRORS.labels(error.code)._value.get()
    picky = Picky(error)
    results = post(client(picky), ["a", "b", "bad", "c", "d"])
    assert [each.get("decision") for each in results] == ["allow", "allow", None, "allow", "allow"]
    assert results[2]["error"] == {"status": error.status, "code": error.code, "detail": error.detail}
    assert metrics.ERRORS.labels(error.code)._value.get() - before == 1


def test_classifier_that_is_away_is_an_error_of_the_request() -> None:
    response = client(Picky(ClassifierUnavailableError("away"))).post(
        "/classify/batch", json={"texts": ["b", "a"]}
    )
    assert (response.status_code, response.get_json()["code"]) == (503, "classifier_unavailable")


@pytest.mark.parametrize(
    ("body", "detail", "pointer"),
    [
        pytest.param({}, "Missing data for required field.", "#/texts", id="none"),
        pytest.param({"texts": []}, "Must have at least one text.", "#/texts", id="empty"),
        pytest.param({"texts": "one"}, "Not a valid list.", "#/texts", id="no list"),
        pytest.param({"texts": None}, "Field may not be null.", "#/texts", id="null"),
        pytest.param(
            {"texts": ["a"] * 9}, "Must have at most 8 texts; this has 9.", "#/texts", id="too many"
        ),
        pytest.param(
            {"texts": ["a"], "spans": True},
            "Unknown field; there is texts. /classify takes spans and explain.",
            "#/spans",
            id="unknown field",
        ),
        pytest.param(["a"], 'Must be an object, as in {"texts": ["\u2026"]}.', "#", id="no object"),
    ],
)
def test_bad_batches(body: object, detail: str, pointer: str) -> None:
    response = client(Picky()).post("/classify/batch", json=body)
    assert response.status_code == 422
    assert response.get_json()["errors"] == [{"detail": detail, "pointer": pointer}]


def test_fresh_answers_can_be_asked_for() -> None:
    picky = Picky()
    asking = client(picky)
    post(asking, ["one"])
    assert post(asking, ["one"], **{"Cache-Control": "no-cache"})[0]["cache"]["status"] == "miss"
    assert len(picky.calls) == 2


def test_decisions_are_counted_text_by_text() -> None:
    counter = metrics.DECISIONS.labels("embedded", "allow")
    before = counter._value.get()
    post(client(Picky()), ["one", "two", ""])
    assert counter._value.get() - before == 2


def koala(upstream: FaultServer) -> FlaskClient:
    chosen = ClassifierSettings(name="koala", config=UpstreamSettings(url=upstream.url))
    quiet = ReadinessSettings(probe_at_start=False)
    return create_app(Settings(classifier=chosen, readiness=quiet, bearer_token=Secret("x"))).test_client()


def test_remote_model_is_asked_once_for_all(upstream: FaultServer) -> None:
    asking = koala(upstream)
    upstream.play(reply(scores(), scores(V=0.9), scores()))
    results = post(asking, ["one", "two", "three"])
    assert [each["decision"] for each in results] == ["allow", "block", "allow"]
    assert upstream.texts() == ["one", "two", "three"]


def test_text_that_the_remote_model_refuses_fails_alone(upstream: FaultServer) -> None:
    asking = koala(upstream)
    upstream.play(Step(400), reply(scores()), Step(400), reply(scores()), Step(400))
    results = post(asking, ["one", "two"])
    assert [each.get("decision") for each in results] == ["allow", None]
    assert results[1]["error"]["code"] == "classifier_refused_request"
