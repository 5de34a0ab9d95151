"""What one request of many or long texts costs with a remote model, and that its size never makes it fail."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.config.settings import (
    BatchingSettings,
    ClassifierSettings,
    HttpSettings,
    LimitsSettings,
    ReadinessSettings,
    RetrySettings,
    Secret,
    Settings,
    UpstreamSettings,
)
from content_moderator.text.chunks import usual_tokens
from tests.support.fault_server import FaultServer, Received, Step, scores

TEXTS = 100


def settings(upstream: FaultServer, **classifier: Any) -> Settings:
    chosen: dict[str, Any] = {
        "name": "koala",
        "config": UpstreamSettings(url=upstream.url),
        "retries": RetrySettings(first_delay_seconds=0.01),
    } | classifier
    return Settings(
        classifier=ClassifierSettings(**chosen),
        readiness=ReadinessSettings(probe_at_start=False),
        bearer_token=Secret("hf_x"),
    )


def inputs(request: Received) -> list[str]:
    found = json.loads(request.body)["inputs"]
    return [found] if isinstance(found, str) else found


def answering(bad: Callable[[str], bool]) -> Callable[[Received], Step]:
    """Refuse each call that holds a bad text."""

    def answer(request: Received) -> Step:
        texts = inputs(request)
        if any(map(bad, texts)):
            return Step(400, b'{"error":"x"}')
        return Step(body=json.dumps([scores(H=0.01) for _ in texts]).encode())

    return answer


def client(chosen: Settings) -> FlaskClient:
    app: Flask = create_app(chosen)
    return app.test_client()


def never(_: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param("天气很好我们去市场" * 1900, 100, id="17,100 ideographs"),
        pytest.param("The weather is fine. " * 950, 39, id="20,000 letters"),
        pytest.param("\U0001f600" * 20_000, 157, id="20,000 emoji"),
    ],
)
def test_text_of_any_size_is_answered(text: str, parts: int, upstream: FaultServer) -> None:
    upstream.answer = answering(never)
    answer = client(settings(upstream)).post("/classify", json={"text": text})
    assert answer.status_code == 200, answer.get_json()
    sent = [text for request in upstream.received for text in inputs(request)]
    # Parts that are the same are asked about once.
    assert len(sent) == len(set(sent)) <= parts + 2
    assert "".join(text.split()) in "".join("".join(sent).split()) or len(set(sent)) < parts


def test_batch_of_long_texts_is_answered(upstream: FaultServer) -> None:
    """A thousand parts, eight times as many as may wait at once."""
    upstream.answer = answering(never)
    texts = [" ".join(f"Text {n} has a sentence {m}." for m in range(450)) for n in range(40)]
    results = client(settings(upstream)).post("/classify/batch", json={"texts": texts}).get_json()["results"]
    assert [each.get("decision") for each in results] == ["allow"] * 40
    assert sum(len(inputs(request)) for request in upstream.received) > 800


def test_one_refused_text_costs_few_calls_wherever_it_stands(upstream: FaultServer) -> None:
    for place in (0, 50, TEXTS - 1):
        upstream.answer = answering(lambda text: "bad" in text)
        upstream.received.clear()
        texts = [f"{'bad' if n == place else 'good'} text {place} {n}" for n in range(TEXTS)]
        answer = client(settings(upstream)).post("/classify/batch", json={"texts": texts})
        results = answer.get_json()["results"]
        assert [n for n, each in enumerate(results) if "error" in each] == [place]
        assert results[place]["error"]["code"] == "classifier_refused_request"
        assert len(upstream.received) <= 30


def test_hundred_refused_texts_keep_the_deadline_and_cost_a_bounded_number_of_calls(
    upstream: FaultServer,
) -> None:
    upstream.answer = lambda _: Step(400, b'{"error":"x"}', delay_seconds=0.05)
    asking = client(settings(upstream, deadline_seconds=3.0))
    answer = asking.post("/classify/batch", json={"texts": [f"text {n}" for n in range(TEXTS)]})
    results = answer.get_json()["results"]
    assert {each["error"]["code"] for each in results} <= {
        "classifier_refused_request",
        "classifier_deadline_exceeded",
    }
    assert len(upstream.received) <= 120


def test_what_succeeded_is_remembered(upstream: FaultServer) -> None:
    upstream.answer = answering(lambda text: "bad" in text)
    asking = client(settings(upstream))
    texts = [f"{'bad' if n % 25 == 7 else 'good'} text {n}" for n in range(TEXTS)]
    asking.post("/classify/batch", json={"texts": texts})
    upstream.received.clear()
    results = asking.post("/classify/batch", json={"texts": texts}).get_json()["results"]
    assert sum(each.get("cache", {}).get("status") == "exact" for each in results) == 96
    assert {text for request in upstream.received for text in inputs(request)} == {
        text for text in texts if "bad" in text
    }


def test_slow_server_fails_the_texts_that_are_late_and_no_others(upstream: FaultServer) -> None:
    """One deadline for all: what has come by then is an answer, what has not is an error."""
    number = itertools.count()

    def answer(request: Received) -> Step:
        good = answering(never)(request)
        return good if next(number) < 2 else replace(good, delay_seconds=10)

    upstream.answer = answer
    chosen = settings(
        upstream,
        deadline_seconds=1.5,
        batching=BatchingSettings(max_in_flight=1, max_batch=10),
    )
    results = (
        client(chosen)
        .post("/classify/batch", json={"texts": [f"text {n}" for n in range(40)]})
        .get_json()["results"]
    )
    codes = [each["error"]["code"] if "error" in each else each["decision"] for each in results]
    assert codes.count("allow") == 20
    assert codes.count("classifier_deadline_exceeded") == 20


def test_calls_are_bounded_by_padded_tokens(upstream: FaultServer) -> None:
    """Texts of about the same length leave together: a model pads all of a call to the longest."""
    upstream.answer = answering(never)
    chosen = settings(upstream, batching=BatchingSettings(max_in_flight=2, max_batch_tokens=2000))
    texts = [f"{n} " + "word " * (90 if n % 2 else 5) for n in range(TEXTS)]
    client(chosen).post("/classify/batch", json={"texts": texts})
    calls = [inputs(request) for request in upstream.received]
    padded = [len(call) * max(map(usual_tokens, call)) for call in calls]
    assert max(padded) <= 2000
    real = sum(usual_tokens(text) for call in calls for text in call)
    assert sum(padded) <= 1.5 * real, "little of what is sent is padding"


def test_limits_count_parts(upstream: FaultServer) -> None:
    upstream.answer = answering(never)
    chosen = replace(settings(upstream), limits=LimitsSettings(rate="50/minute"))
    asking = client(chosen)
    text = " ".join(f"This is sentence number {n}." for n in range(200))
    answer = asking.post("/classify", json={"text": text})
    assert answer.status_code == 200
    remaining = int(answer.headers["x-ratelimit-remaining-requests"])
    assert 50 - remaining == len({part for request in upstream.received for part in inputs(request)}) > 8


def test_text_of_more_parts_than_a_limit_allows_at_once_is_answered(upstream: FaultServer) -> None:
    upstream.answer = answering(never)
    chosen = replace(settings(upstream), limits=LimitsSettings(rate="5/minute"))
    asking = client(chosen)
    text = " ".join(f"This is sentence number {n}." for n in range(200))
    assert asking.post("/classify", json={"text": text}).status_code == 200
    assert asking.post("/classify", json={"text": "next"}).status_code == 429, "it took all there was"


def test_embedded_model_has_a_deadline_too() -> None:
    chosen = Settings(
        classifier=ClassifierSettings(deadline_seconds=0.1), http=HttpSettings(max_body_bytes=10_000_000)
    )
    texts = [f"{n} " + "The weather is fine. " * 900 for n in range(TEXTS)]
    answer = client(chosen).post("/v1/moderations", json={"input": texts})
    assert answer.status_code == 504
    assert answer.get_json()["code"] == "classifier_deadline_exceeded"
