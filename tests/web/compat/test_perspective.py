"""The Perspective API; test_clients.py uses its client libraries."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.config.settings import Settings
from content_moderator.domain import errors
from content_moderator.domain.label import Label
from content_moderator.web.compat.perspective import ATTRIBUTES
from tests.support.fake import FakeClassifier

PATH = "/v1alpha1/comments:analyze"


def ask(client: FlaskClient, text: str = "one", wanted: Any = None, **more: Any) -> Any:
    body = {"comment": {"text": text}, "requestedAttributes": wanted or {"TOXICITY": {}}} | more
    return client.post(f"{PATH}?key=anything&alt=json", json=body)


def values(answer: Any) -> dict[str, float]:
    scores = answer.get_json()["attributeScores"]
    return {name: each["summaryScore"]["value"] for name, each in scores.items()}


def with_scores(**scores: float) -> FlaskClient:
    fake = FakeClassifier({Label(name): score for name, score in scores.items()})
    return create_app(Settings(), classifier=fake).test_client()


def test_every_attribute_is_the_highest_of_its_labels() -> None:
    client = with_scores(OK=0.3, S=0.1, H=0.2, V=0.3, HR=0.4, SH=0.5, S3=0.6, H2=0.7, V2=0.8)
    assert values(ask(client, wanted={name: {} for name in ATTRIBUTES})) == {
        "TOXICITY": 0.7,
        "SEVERE_TOXICITY": 0.8,
        "IDENTITY_ATTACK": 0.7,
        "INSULT": 0.4,
        "THREAT": 0.7,
        "SEXUALLY_EXPLICIT": 0.6,
    }


def test_answer_has_the_shape_of_perspective(client: FlaskClient) -> None:
    answer = ask(client, "one two", clientToken="mine", languages=["en"])
    score = {"value": 0.02, "type": "PROBABILITY"}
    span = {"begin": 0, "end": 7, "score": score}
    assert answer.get_json() == {
        "attributeScores": {"TOXICITY": {"summaryScore": score, "spanScores": [span]}},
        "languages": ["en"],
        "detectedLanguages": ["en"],
        "clientToken": "mine",
    }
    assert answer.headers["X-Moderation-Classifier"] == "embedded"
    assert ask(client).get_json()["languages"] == ["en"]
    assert "clientToken" not in ask(client).get_json()


def test_spans_are_sentences_in_utf16_units(embedded_client: FlaskClient) -> None:
    text = "\U0001f600 Good day to you. You are a pathetic idiot. Bye."
    answer = ask(embedded_client, text, {"INSULT": {}}, spanAnnotations=True)
    spans = answer.get_json()["attributeScores"]["INSULT"]["spanScores"]
    raw = text.encode("utf-16-le")
    found = [raw[2 * each["begin"] : 2 * each["end"]].decode("utf-16-le") for each in spans]
    assert found == ["\U0001f600 Good day to you.", "You are a pathetic idiot.", "Bye."]
    assert max(spans, key=lambda each: each["score"]["value"])["begin"] == spans[1]["begin"]


def test_scores_below_the_threshold_are_left_out(client: FlaskClient) -> None:
    both = ask(client, wanted={"TOXICITY": {"scoreThreshold": 0.5}, "INSULT": {"scoreThreshold": 0.0}})
    assert values(both).keys() == {"INSULT"}
    none = ask(client, wanted={"TOXICITY": {"scoreThreshold": 0.5}})
    assert none.status_code == 200
    assert "attributeScores" not in none.get_json()


def test_sentences_below_the_threshold_are_left_out(embedded_client: FlaskClient) -> None:
    wanted = {"INSULT": {"scoreThreshold": 0.5}}
    answer = ask(embedded_client, "You are a pathetic idiot. Bye now.", wanted, spanAnnotations=True)
    assert len(answer.get_json()["attributeScores"]["INSULT"]["spanScores"]) == 1


def test_what_is_not_to_be_stored_is_not_remembered(client: FlaskClient, fake: FakeClassifier) -> None:
    for _ in range(2):
        assert ask(client, "not to be stored", doNotStore=True).status_code == 200
    assert len(fake.seen) == 2
    for _ in range(2):
        assert ask(client, "may be stored", doNotStore=False).status_code == 200
    assert len(fake.seen) == 3


def test_unset_fields_may_be_null(client: FlaskClient) -> None:
    unset = dict.fromkeys(
        ["languages", "doNotStore", "spanAnnotations", "clientToken", "sessionId", "context"]
    )
    assert ask(client, "one", {"TOXICITY": None}, **unset).status_code == 200


def test_context_is_accepted(client: FlaskClient) -> None:
    context = {"entries": [{"text": "before", "type": "PLAIN_TEXT"}]}
    assert ask(client, context=context, sessionId="s", communityId="c").status_code == 200


def test_unscored_attribute_is_refused_or_dropped_as_the_caller_wants(client: FlaskClient) -> None:
    wanted: dict[str, Any] = {"TOXICITY": {}, "FLIRTATION": {}}
    refused = ask(client, wanted=wanted)
    assert refused.status_code == 400
    message = refused.get_json()["error"]["message"]
    assert message.startswith("requestedAttributes.FLIRTATION: Not scored by this service, which scores")
    assert values(ask(client, wanted=wanted, dropUnsupportedAttributes=True)).keys() == {"TOXICITY"}


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        pytest.param({"comment": {}}, "comment.text", "Missing", id="no text"),
        pytest.param({"comment": {"text": ""}}, "comment.text", "empty", id="empty text"),
        pytest.param({"comment": {"text": "a", "type": "HTML"}}, "comment.type", "HTML", id="html"),
        pytest.param({"requestedAttributes": {}}, "requestedAttributes", "at least one", id="no attribute"),
        pytest.param({"languages": ["ko", "th"]}, "languages", "is judged: de, en", id="Korean and Thai"),
        pytest.param({"languages": ["en"] * 65}, "languages", "64", id="too many languages"),
        pytest.param(
            {"requestedAttributes": {"TOXICITY": {"scoreType": "RAW"}}},
            "requestedAttributes.TOXICITY.scoreType",
            "PROBABILITY",
            id="raw scores",
        ),
        pytest.param(
            {"requestedAttributes": {"TOXICITY": {"scoreThreshold": 2}}},
            "requestedAttributes.TOXICITY.scoreThreshold",
            "less than or equal to 1",
            id="threshold",
        ),
        pytest.param({"doNotStore": "yes"}, "doNotStore", "Not a valid boolean", id="not a boolean"),
        pytest.param({"requestedattributes": {}}, "requestedattributes", "Unknown field", id="unknown field"),
    ],
)
def test_bad_request_is_refused_in_the_shape_of_google(
    change: dict[str, Any], field: str, words: str, client: FlaskClient, fake: FakeClassifier
) -> None:
    body = {"comment": {"text": "one"}, "requestedAttributes": {"TOXICITY": {}}} | change
    answer = client.post(PATH, json=body)
    assert answer.status_code == 400
    error = answer.get_json()["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    reason, violations = error["details"]
    assert reason["reason"] == "INVALID_FIELDS"
    assert violations["fieldViolations"][0]["field"] == field
    assert words in error["message"]
    assert fake.seen == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(errors.ClassifierUnavailableError(), "UNAVAILABLE", id="unavailable"),
        pytest.param(errors.BadReplyError(), "INTERNAL", id="bad reply"),
        pytest.param(errors.DeadlineExceededError(), "DEADLINE_EXCEEDED", id="deadline"),
        pytest.param(RuntimeError("a mistake"), "INTERNAL", id="a mistake of ours"),
    ],
)
def test_failure_has_the_status_of_google(error: Exception, status: str) -> None:
    answer = ask(create_app(Settings(), classifier=FakeClassifier(error=error)).test_client())
    assert answer.status_code >= 500
    assert answer.get_json()["error"]["status"] == status


def test_key_in_the_query_is_not_logged(client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    client.post(f"{PATH}?key=AIza-secret", json={"comment": {"text": "one"}})
    assert "AIza-secret" not in capsys.readouterr().out


def test_discovery_document_names_where_it_was_asked(client: FlaskClient) -> None:
    document = client.get(
        "/$discovery/rest?version=v1alpha1", base_url="https://moderator.example.org"
    ).get_json()
    assert document["rootUrl"] == "https://moderator.example.org/"
    assert "PROFANITY" in document["description"]


ALL_SIX = ("TOXICITY", "SEVERE_TOXICITY", "IDENTITY_ATTACK", "INSULT", "PROFANITY", "THREAT")


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        pytest.param("what a lovely day", 0, 0.1, id="clean"),
        pytest.param("I am a lesbian and I work for the BBC", 0, 0.1, id="words that are none"),
        pytest.param("Scunthorpe, assistant, cockpit, Essex", 0, 0.1, id="inside other words"),
        pytest.param("what a load of bullshit", 0.5, 0.7, id="mild"),
        pytest.param("what the fuck is this", 0.7, 0.9, id="strong"),
        pytest.param("what the f u c k", 0.7, 0.9, id="disguised"),
    ],
)
def test_all_that_clients_ask_for_by_default_is_scored(
    text: str, low: float, high: float, embedded_client: FlaskClient
) -> None:
    found = values(ask(embedded_client, text, {name: {} for name in ALL_SIX}))
    assert found.keys() == set(ALL_SIX)
    assert low <= found["PROFANITY"] <= high


def test_profanity_is_scored_by_sentence_too(embedded_client: FlaskClient) -> None:
    answer = ask(embedded_client, "All is well. What the fuck. Bye.", {"PROFANITY": {}}, spanAnnotations=True)
    spans = answer.get_json()["attributeScores"]["PROFANITY"]["spanScores"]
    assert [each["score"]["value"] > 0.5 for each in spans] == [False, True, False]


@pytest.mark.parametrize("languages", [["en"], ["fr", "en"], ["en-GB", "de"], [], None])
def test_languages_that_contain_english_are_taken(languages: Any, client: FlaskClient) -> None:
    answer = ask(client, languages=languages)
    assert answer.get_json()["languages"] == (languages or ["en"])
    assert answer.get_json()["detectedLanguages"] == ["en"]
