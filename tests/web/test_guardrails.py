"""
What clients of other services' APIs send, and take for "could not be checked" if it is refused.

openai-guardrails lets a prompt through for any 4xx, LiteLLM refuses its user, and a plugin for Perspective
reads an answer without scores as 0. So on those paths long, blank and damaged texts are judged.
"""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.config.settings import HttpSettings, Settings
from tests.support.fake import FakeClassifier

ABUSE = "you are such a pathetic idiot. "
CALM = "The weather is fine and we walk to the market. "
JSON = {"Content-Type": "application/json"}


def openai(client: FlaskClient, text: str) -> bool:
    answer = client.post("/v1/moderations", json={"input": text})
    assert answer.status_code == 200, answer.get_json()
    return bool(answer.get_json()["results"][0]["flagged"])


def perspective(client: FlaskClient, text: str) -> bool:
    body = {"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}}
    answer = client.post("/v1alpha1/comments:analyze", json=body)
    assert answer.status_code == 200, answer.get_json()
    return bool(answer.get_json()["attributeScores"]["TOXICITY"]["summaryScore"]["value"] > 0.8)


BOTH = pytest.mark.parametrize("flags", [openai, perspective], ids=lambda each: each.__name__)


@BOTH
@pytest.mark.parametrize("size", [19_900, 20_479, 20_481, 22_160, 100_000, 700_000])
def test_long_abuse_is_flagged(
    size: int, flags: Callable[[FlaskClient, str], bool], embedded_client: FlaskClient
) -> None:
    assert flags(embedded_client, (ABUSE * (size // len(ABUSE) + 1))[:size])


@BOTH
@pytest.mark.parametrize("place", ["at the beginning", "in the middle", "at the end"])
def test_abuse_in_a_long_text_is_flagged_wherever_it_stands(
    place: str, flags: Callable[[FlaskClient, str], bool], embedded_client: FlaskClient
) -> None:
    before, behind = {"at the beginning": (0, 1), "in the middle": (0.5, 0.5), "at the end": (1, 0)}[place]
    text = CALM * int(2000 * before) + ABUSE * 20 + CALM * int(2000 * behind)
    assert len(text) > 90_000
    assert flags(embedded_client, text)


@pytest.mark.parametrize("broken", ["\\ud800", "\\udc00", "\\ufffd"])
def test_what_cannot_be_read_hides_no_word(broken: str, embedded_client: FlaskClient) -> None:
    text = broken.join("you are a pathetic idiot")
    for hidden in (text, f"you are a path{broken}etic idi{broken}ot"):
        answer = embedded_client.post("/v1/moderations", data=f'{{"input": "{hidden}"}}', headers=JSON)
        assert answer.get_json()["results"][0]["flagged"]


def test_no_model_is_the_usual_one(embedded_client: FlaskClient) -> None:
    answer = embedded_client.post("/v1/moderations", json={"input": ABUSE, "model": None})
    assert answer.status_code == 200
    assert answer.get_json()["model"] == "content-moderator-embedded"


def test_long_text_in_another_script_is_judged(embedded_client: FlaskClient) -> None:
    assert not openai(embedded_client, "天气很好，我们去市场。" * 20_000)


@BOTH
@pytest.mark.parametrize("text", [" ", "\n", "\t \r\n", "\u3000" * 50, "\u200b", "\x00", "\ufe0f \u2800"])
def test_blank_text_is_harmless(
    text: str, flags: Callable[[FlaskClient, str], bool], embedded_client: FlaskClient
) -> None:
    assert not flags(embedded_client, text)


@pytest.mark.parametrize("body", [b'{"input": ""}', b'{"input": []}', b"{}", b'{"input": null}'])
def test_nothing_at_all_is_an_error(body: bytes, embedded_client: FlaskClient) -> None:
    assert embedded_client.post("/v1/moderations", data=body, headers=JSON).status_code == 400


@pytest.mark.parametrize("count", [1, 100, 101, 257, 1000, 2048])
def test_long_lists_are_judged_in_order(count: int, embedded_client: FlaskClient) -> None:
    texts = [f"{ABUSE}{n}" if n % 3 == 0 else f"good morning {n}" for n in range(count)]
    results = embedded_client.post("/v1/moderations", json={"input": texts}).get_json()["results"]
    assert [each["flagged"] for each in results] == [n % 3 == 0 for n in range(count)]


def test_bad_texts_of_a_list_fail_no_other(embedded_client: FlaskClient) -> None:
    texts = ["good morning", "", " ", ABUSE, CALM * 1000, "\u200b"]
    results = embedded_client.post("/v1/moderations", json={"input": texts}).get_json()["results"]
    assert [each["flagged"] for each in results] == [False, False, False, True, False, False]


HALVES = {
    "the first half": b"\\ud83d",
    "the second half": b"\\ude00",
    "the wrong way round": b"\\ude00\\ud83d",
    "two first halves": b"\\uD83D\\uD83D",
    "a half before a letter's escape": b"\\ud83d\\u0041",
    "after an escaped backslash": b"\\\\\\ud83d",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=list(HALVES))
def test_half_an_emoji_is_judged_beside_the_rest(half: bytes, embedded_client: FlaskClient) -> None:
    text = b'"you are such a pathetic idiot ' + half + b'"'
    answer = embedded_client.post(
        "/v1/moderations", data=b'{"input": [' + text + b', "hello"]}', headers=JSON
    )
    assert [each["flagged"] for each in answer.get_json()["results"]] == [True, False]
    batch = embedded_client.post("/classify/batch", data=b'{"texts": [' + text + b', "hello"]}', headers=JSON)
    assert [each["decision"] for each in batch.get_json()["results"]] == ["review", "allow"]
    body = b'{"comment": {"text": ' + text + b'}, "requestedAttributes": {"INSULT": {}}}'
    comment = embedded_client.post("/v1alpha1/comments:analyze", data=body, headers=JSON)
    assert comment.get_json()["attributeScores"]["INSULT"]["summaryScore"]["value"] > 0.8
    strict = embedded_client.post("/classify", data=b'{"text": ' + text + b"}", headers=JSON)
    assert (strict.status_code, strict.get_json()["code"]) == (400, "body_not_json")


def test_what_looks_like_half_an_emoji_stays_as_it_is() -> None:
    fake = FakeClassifier()
    client = create_app(Settings(), classifier=fake).test_client()
    body = b'{"input": ["a\\\\ud83d", "\\ud83d\\ude00", "\\ud83d"]}'
    client.post("/v1/moderations", data=body, headers=JSON)
    assert fake.seen == ["a\\ud83d", "\U0001f600", "\ufffd"]


def test_long_texts_can_be_refused_as_before() -> None:
    chosen = Settings(http=HttpSettings(long_texts="refuse", max_text_chars=100))
    client = create_app(chosen, classifier=FakeClassifier()).test_client()
    refused = client.post("/v1/moderations", json={"input": "a" * 101})
    assert (refused.status_code, refused.get_json()["error"]["param"]) == (400, "input")
    assert "at most 100 characters; this has 101" in refused.get_json()["error"]["message"]


@pytest.mark.parametrize("size", [20_480, 20_481])
def test_classify_keeps_its_limit(size: int, client: FlaskClient) -> None:
    """As many characters as Perspective had bytes."""
    answer = client.post("/classify", json={"text": "a" * size})
    assert answer.status_code == (200 if size <= 20_480 else 422)


def shape(name: str) -> Any:
    return {
        "many languages": {"languages": ["xx"] * 200_000},
        "many known languages": {"languages": ["en"] * 60},
        "many members": {f"k{n}": n for n in range(70_000)},
        "as many members as are looked at": {"k" * 60 + str(n): n for n in range(64)},
        "many attributes": {"requestedAttributes": {f"A{n}": {} for n in range(80_000)}},
        "many attribute members": {"requestedAttributes": {"TOXICITY": {f"k{n}": n for n in range(70_000)}}},
        "many attributes, each wrong": {
            "requestedAttributes": {f"A{n}": {"x": 1, "y": 2} for n in range(60)}
        },
        "many numbers": {"input": list(range(70_000)), "texts": list(range(70_000))},
        "numbers": {"input": list(range(2048)), "texts": list(range(100))},
        "many parts": {"input": [{"type": "text"} for _ in range(50_000)]},
        "parts of nothing": {"input": [{} for _ in range(2048)]},
        "parts with members": {"input": [{f"k{m}": 1 for m in range(60)} for _ in range(1500)]},
        "lists in lists": {"input": [[[[]] * 50] * 50] * 50, "texts": [[[[]] * 50] * 50] * 50},
        "comment members": {"comment": {f"k{n}": n for n in range(70_000)}},
        "context": {"context": {"entries": [{"text": "a"}] * 70_000}},
        "a list": list(range(150_000)),
        "objects in objects": {"a": {"b": {"c": {f"k{n}": {} for n in range(70_000)}}}},
    }[name]


SHAPES = (
    *("many languages", "many known languages", "many members", "as many members as are looked at"),
    *("many attributes", "many attribute members", "many attributes, each wrong", "many numbers", "numbers"),
    *("many parts", "parts of nothing", "parts with members", "lists in lists", "comment members", "context"),
    *("a list", "objects in objects"),
)
PATHS = ("/classify", "/classify/batch", "/v1/moderations", "/v1alpha1/comments:analyze")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", SHAPES)
def test_whatever_the_caller_counts_is_bounded(name: str, path: str, client: FlaskClient) -> None:
    given = shape(name)
    body = given | {"comment": {"text": "a"} | given.get("comment", {})} if isinstance(given, dict) else given
    if isinstance(body, dict) and path == "/v1alpha1/comments:analyze":
        body = {"requestedAttributes": {"TOXICITY": {}}} | body
    data = orjson.dumps(body)
    assert len(data) <= 1_048_576
    answer = client.post(path, data=data, headers=JSON)
    assert answer.status_code in {200, 400, 422}
    assert len(answer.data) <= 64 * 1024
    if answer.status_code == 422:
        problem = answer.get_json()
        assert len(problem["errors"]) <= 20


def test_errors_beyond_twenty_are_counted(client: FlaskClient) -> None:
    body = {"k" * 10 + str(n): n for n in range(50)}
    ours = client.post("/classify", json=body).get_json()
    assert (len(ours["errors"]), ours["errors_left_out"]) == (20, 30)
    openai = client.post("/v1/moderations", json={"input": [5] * 50}).get_json()
    assert openai["error"]["message"].endswith("And 30 more.")
    google = client.post("/v1alpha1/comments:analyze", json=body).get_json()["error"]
    assert google["message"].endswith(" more.")
    assert len(google["details"][1]["fieldViolations"]) == 20
