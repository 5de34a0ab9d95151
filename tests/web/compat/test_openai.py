"""OpenAI's moderation API; test_clients.py uses its client libraries."""

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
from content_moderator.domain import errors
from content_moderator.domain.errors import ClassifierError, FieldError
from content_moderator.domain.label import Label
from content_moderator.web.compat.openai import CATEGORIES, UNSCORED
from content_moderator.web.error_formats import field_path
from tests.support.fake import FakeClassifier
from tests.support.fault_server import unused_port

THIRTEEN = {
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
}


def ask(client: FlaskClient, given: Any, **more: Any) -> Any:
    return client.post("/v1/moderations", json={"input": given} | more)


@pytest.mark.parametrize(
    ("given", "results", "seen"),
    [
        pytest.param("one", 1, ["one"], id="a text"),
        pytest.param(["one", "two"], 2, ["one", "two"], id="a list of texts"),
        pytest.param(
            [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
            1,
            ["one\ntwo"],
            id="parts of one text",
        ),
    ],
)
def test_every_form_of_input_is_judged(
    given: Any, results: int, seen: list[str], client: FlaskClient, fake: FakeClassifier
) -> None:
    answer = ask(client, given)
    assert answer.status_code == 200
    assert len(answer.get_json()["results"]) == results
    assert fake.seen == seen


def test_all_thirteen_categories_are_always_there_and_no_other(client: FlaskClient) -> None:
    assert set(CATEGORIES) == THIRTEEN
    body = ask(client, "one").get_json()
    assert body.keys() == {"id", "model", "results"}
    [result] = body["results"]
    assert result.keys() == {"flagged", "categories", "category_scores", "category_applied_input_types"}
    for part in ("categories", "category_scores", "category_applied_input_types"):
        assert result[part].keys() == THIRTEEN
    applied = result["category_applied_input_types"]
    assert {category for category in THIRTEEN if applied[category] == []} == set(UNSCORED)


@pytest.mark.parametrize(
    ("scores", "flagged"),
    [
        pytest.param({}, set(), id="nothing"),
        pytest.param({Label.V: 0.9}, {"violence"}, id="one"),
        pytest.param({Label.V2: 0.9, Label.HR: 0.9}, {"violence/graphic", "harassment"}, id="two"),
        pytest.param({Label.OK: 0.1, Label.H: 0.2}, {"hate"}, id="anything at all: the likeliest"),
    ],
)
def test_flagged_means_that_a_category_is(scores: dict[Label, float], flagged: set[str]) -> None:
    fake = FakeClassifier(scores)
    [result] = ask(create_app(Settings(), classifier=fake).test_client(), "one").get_json()["results"]
    assert {name for name, value in result["categories"].items() if value} == flagged
    assert result["flagged"] == bool(flagged)
    for label in (Label.V, Label.V2, Label.HR, Label.H):
        assert result["category_scores"][label.category] == fake.scores[label]


def test_model_is_repeated_and_the_true_one_named_without_it(client: FlaskClient) -> None:
    named = ask(client, "one", model="omni-moderation-latest")
    assert named.get_json()["model"] == "omni-moderation-latest"
    assert named.headers["X-Moderation-Classifier"] == "embedded"
    assert "X-Moderation-Degraded" not in named.headers
    assert ask(client, "one").get_json()["model"] == "fake"


def test_id_is_the_id_of_the_request(client: FlaskClient) -> None:
    answer = client.post("/v1/moderations", json={"input": "one"}, headers={"X-Request-ID": "abc"})
    assert answer.get_json()["id"] == "modr-abc"
    assert answer.headers["X-Request-ID"] == "abc"


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        pytest.param({}, "input", "Missing data", id="no input"),
        pytest.param({"input": ""}, "input", "empty", id="empty"),
        pytest.param({"input": []}, "input", "at least one", id="empty list"),
        pytest.param({"input": ["a"] * 2049}, "body", "at most 2048 items; this has 2049", id="too many"),
        pytest.param({"input": ["a", 5]}, "input[1]", "Must be a text", id="a number"),
        pytest.param({"input": ["a", {"type": "text", "text": "b"}]}, "input[1]", "other items", id="mixed"),
        pytest.param({"input": 5}, "input", "Must be a text", id="not a text"),
        pytest.param({"input": None}, "input", "null", id="null"),
        pytest.param({"input": [[1, 2]]}, "input[0]", "Must be a text", id="tokens"),
        pytest.param(
            {"input": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]},
            "input[0].type",
            "Images are not judged",
            id="an image",
        ),
        pytest.param({"input": [{"type": "audio"}]}, "input[0].type", "Must be text", id="an unknown part"),
        pytest.param({"input": [{"type": "text"}]}, "input[0].text", "Not a valid", id="a part without text"),
        pytest.param(
            {"input": [{"type": "text", "text": "a", "b": 1}]}, "input[0]", "only", id="a part with more"
        ),
        pytest.param({"input": [{"type": "text", "text": ""}]}, "input", "empty", id="an empty part"),
        pytest.param({"input": "a", "model": ""}, "model", "Length", id="empty model"),
        pytest.param({"input": "a", "model": 5}, "model", "Not a valid string", id="model a number"),
        pytest.param({"input": "a", "user": "x"}, "user", "Unknown field", id="unknown field"),
    ],
)
def test_bad_request_is_refused_in_the_shape_of_openai(
    body: dict[str, Any], param: str, words: str, client: FlaskClient, fake: FakeClassifier
) -> None:
    answer = client.post("/v1/moderations", json=body)
    assert answer.status_code == 400
    assert answer.content_type == "application/json"
    error = answer.get_json()["error"]
    assert (error["type"], error["code"], error["param"]) == (
        "invalid_request_error",
        "invalid_fields",
        param,
    )
    assert error["message"].startswith(f"{param}: ")
    assert words in error["message"]
    assert answer.get_json()["code"] == "invalid_fields"
    assert answer.headers["X-Should-Retry"] == "false"
    assert fake.seen == []


@pytest.mark.parametrize(
    ("error", "status", "should_retry"),
    [
        pytest.param(errors.ClassifierUnavailableError(), 503, "true", id="unavailable"),
        pytest.param(errors.ThrottledError(retry_after_seconds=600), 503, "false", id="for too long"),
        pytest.param(errors.QuotaExhaustedError(), 503, "false", id="quota"),
        pytest.param(errors.DeadlineExceededError(), 504, "false", id="deadline"),
        pytest.param(errors.BadReplyError(), 502, "false", id="bad reply"),
        pytest.param(errors.OverloadedError(), 503, "true", id="overloaded"),
    ],
)
def test_failure_tells_whether_to_ask_again(error: ClassifierError, status: int, should_retry: str) -> None:
    client = create_app(Settings(), classifier=FakeClassifier(error=error)).test_client()
    answer = ask(client, ["one", "two"])
    assert answer.status_code == status
    assert answer.headers["X-Should-Retry"] == should_retry
    assert ("Retry-After" in answer.headers) == (error.retry_after_seconds is not None)
    assert answer.get_json()["error"]["type"] == "server_error"
    assert answer.get_json()["error"]["code"] == error.code


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("POST", "/v1/chat/completions", 404, "not_found", id="unknown path"),
        pytest.param("GET", "/v1/moderations", 405, "method_not_allowed", id="wrong method"),
    ],
)
def test_what_is_not_there_is_told_in_the_shape_of_openai(
    method: str, path: str, status: int, code: str, client: FlaskClient
) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert answer.get_json()["error"]["code"] == code


def test_broken_json_is_told_in_the_shape_of_openai(client: FlaskClient) -> None:
    answer = client.post("/v1/moderations", data="{", content_type="application/json")
    assert answer.status_code == 400
    assert answer.get_json()["error"]["code"] == "body_not_json"
    assert answer.get_json()["error"]["param"] is None


def test_limit_of_a_batch_is_no_limit_here(fake: FakeClassifier) -> None:
    client = create_app(Settings(http=HttpSettings(max_batch_texts=2)), classifier=fake).test_client()
    assert len(ask(client, ["a", "b", "c"]).get_json()["results"]) == 3


def test_stand_in_is_named_and_marked_in_the_headers() -> None:
    config = UpstreamSettings(url=f"http://127.0.0.1:{unused_port()}/")
    settings = Settings(
        classifier=ClassifierSettings(name="koala", on_unavailable="embedded", config=config),
        readiness=ReadinessSettings(probe_at_start=False),
        bearer_token=Secret("hf_x"),
    )
    answer = ask(create_app(settings).test_client(), "one")
    assert answer.status_code == 200
    assert answer.headers["X-Moderation-Classifier"] == "embedded"
    assert answer.headers["X-Moderation-Degraded"] == "true"
    assert answer.get_json()["model"] == "content-moderator-embedded"


@pytest.mark.parametrize(
    ("error", "named"),
    [
        pytest.param(FieldError("x", pointer="#/input/2"), "input[2]", id="in a list"),
        pytest.param(FieldError("x", pointer="#/input/0/text"), "input[0].text", id="in an object in a list"),
        pytest.param(FieldError("x", pointer="#/comment/text"), "comment.text", id="in an object"),
        pytest.param(FieldError("x", pointer="#"), "body", id="the whole"),
        pytest.param(FieldError("x", parameter="key"), "key", id="in the query"),
    ],
)
def test_field_is_named_as_people_write_it(error: FieldError, named: str) -> None:
    assert field_path(error) == named
