"""The fast path: the same bytes as Flask, and only for the simplest requests."""

import io
import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import REGISTRY
from werkzeug.test import TestResponse, create_environ, run_wsgi_app

from content_moderator.app import create_app
from content_moderator.config.settings import CacheSettings, ExactCacheSettings, HttpSettings, Settings
from content_moderator.domain.label import Label
from content_moderator.web.fast_path import MAX_BYTES, FastPath
from tests.classifiers.wrappers.test_caching import TEXT
from tests.support.fake import HARMLESS, FakeClassifier

BODY = json.dumps({"text": TEXT}).encode()


class Counting:
    """Flask's application, and how often it was asked."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.asked = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.asked += 1
        return self.application(environ, start_response)


def fast_path_of(app: Flask) -> FastPath | None:
    """Find the fast path among the middlewares."""
    application: Any = app.wsgi_app
    while application is not None and not isinstance(application, FastPath):
        application = getattr(application, "_application", None)
    return application


@pytest.fixture
def harmful() -> FakeClassifier:
    return FakeClassifier(HARMLESS | {Label.V: 0.93, Label.H: 0.9, Label.OK: 0.01})


@pytest.fixture
def app(harmful: FakeClassifier) -> Flask:
    return create_app(Settings(http=HttpSettings(max_text_chars=100)), classifier=harmful)


@pytest.fixture
def flask(app: Flask) -> Counting:
    fast_path = fast_path_of(app)
    assert fast_path is not None
    fast_path._application = counting = Counting(fast_path._application)
    return counting


@pytest.fixture
def client(app: Flask, flask: Counting) -> FlaskClient:
    client = app.test_client()
    assert post(client).get_json()["cache"]["status"] == "miss"
    flask.asked = 0
    return client


def post(client: FlaskClient, body: bytes = BODY, **changes: Any) -> TestResponse:
    return client.post("/classify", **({"data": body, "content_type": "application/json"} | changes))


def samples() -> dict[str, float]:
    """Read all that is counted, but not times."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_sum", "_created"))
        and sample.name.startswith(("content", "cl"))
    }


def counted(client: FlaskClient, **changes: Any) -> Mapping[str, float]:
    before = samples()
    post(client, **changes)
    after = samples()
    return {name: after[name] - before[name] for name in after if after[name] != before.get(name)}


def test_same_answer_same_headers_same_numbers(client: FlaskClient, flask: Counting) -> None:
    by_fast_path = [post(client, headers={"X-Request-ID": "mine"}) for _ in range(2)]
    assert flask.asked == 0
    by_flask = post(client, headers={"X-Request-ID": "mine"}, content_type="application/json; charset=utf-8")
    assert flask.asked == 1
    for response in by_fast_path:
        assert response.data == by_flask.data
        # What is never compressed varies with nothing.
        assert {k: v for k, v in response.headers.items() if k != "Server-Timing"} == {
            k: v for k, v in by_flask.headers.items() if k not in {"Server-Timing", "Vary"}
        }
        assert response.headers["Server-Timing"].endswith(', cache;desc="exact"')
    assert counted(client) == counted(client, content_type="application/json; charset=utf-8")
    assert flask.asked == 2


def test_request_id_is_made_or_taken_over(client: FlaskClient) -> None:
    made = post(client)
    assert len(made.get_json()["request_id"]) == 32
    assert made.get_json()["request_id"] == made.headers["X-Request-ID"]
    assert post(client, headers={"X-Request-ID": 'a"b'}).get_json()["request_id"] != 'a"b'


def test_request_leaves_the_same_line(client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    post(client, headers={"X-Request-ID": "one"})
    post(client, headers={"X-Request-ID": "one"}, content_type="application/json; charset=utf-8")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fast, slow = ({k: v for k, v in line.items() if k not in {"timestamp", "duration_ms"}} for line in lines)
    assert fast == slow
    assert fast["request_id"] == "one"
    assert TEXT not in json.dumps(lines)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"body": b'{"text": "another"}'}, id="unknown text"),
        pytest.param({"body": b'{"message": "x"}'}, id="another key"),
        pytest.param({"body": orjson.dumps({"text": TEXT, "spans": True})}, id="an option"),
        pytest.param({"body": b'{"text": 7}'}, id="no text"),
        pytest.param({"body": b"[1]"}, id="no object"),
        pytest.param({"body": b'{"text": '}, id="no JSON"),
        pytest.param({"body": orjson.dumps({"text": TEXT + "x" * 100})}, id="too long"),
        pytest.param({"body": b'{"text": "' + b"x" * MAX_BYTES + b'"}'}, id="too large"),
        pytest.param({"query_string": {"message": "x"}}, id="query"),
        pytest.param({"content_type": "text/plain"}, id="type"),
        pytest.param({"headers": {"Cache-Control": "no-cache"}}, id="cache control"),
        pytest.param({"headers": {"Content-Encoding": "gzip"}}, id="compressed"),
    ],
)
def test_anything_else_is_flasks(client: FlaskClient, flask: Counting, changes: dict[str, Any]) -> None:
    post(client, **changes)
    assert flask.asked == 1


@pytest.mark.parametrize("method", ["get", "put", "options", "head"])
def test_other_methods_are_flasks(client: FlaskClient, flask: Counting, method: str) -> None:
    getattr(client, method)("/classify", data=BODY, content_type="application/json")
    assert flask.asked == 1


def send(client: FlaskClient, stream: io.BytesIO, length: int = len(BODY)) -> tuple[str, Any]:
    """Send a body that is announced with a length."""
    environ = create_environ("/classify", method="POST", content_type="application/json")
    environ |= {"CONTENT_LENGTH": str(length), "wsgi.input": stream}
    parts, status, _ = run_wsgi_app(client.application, environ)
    return status, orjson.loads(b"".join(parts))


class Broken(io.BytesIO):
    """Breaks off after some bytes, with an error or without a word."""

    def __init__(self, data: bytes, error: Exception | None) -> None:
        super().__init__(data)
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data and self.error:
            raise self.error
        return data


@pytest.mark.parametrize("error", [None, OSError("reset")], ids=["short", "reset"])
@pytest.mark.parametrize("missing", [1, 20], ids=["half", "looks whole"])
def test_body_that_breaks_off_is_a_clear_error(
    client: FlaskClient, flask: Counting, missing: int, error: Exception | None
) -> None:
    """Also where what came could be taken for all of it."""
    data, length = (BODY[:-1], len(BODY)) if missing == 1 else (BODY, len(BODY) + missing)
    status, answer = send(client, Broken(data, error), length)
    assert (status, answer["code"]) == ("400 BAD REQUEST", "body_unreadable")
    assert flask.asked == 1


def test_body_in_pieces_is_put_together(client: FlaskClient, flask: Counting) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 5))

    _, answer = send(client, Slow(BODY))
    assert answer["cache"]["status"] == "exact"
    assert flask.asked == 0


def test_no_cache_no_fast_path(harmful: FakeClassifier) -> None:
    off = Settings(cache=CacheSettings(exact=ExactCacheSettings(enabled=False)))
    assert fast_path_of(create_app(off, classifier=harmful)) is None


def test_setting_turns_it_off(harmful: FakeClassifier) -> None:
    off = Settings(http=HttpSettings(fast_path=False))
    assert fast_path_of(create_app(off, classifier=harmful)) is None


def test_rendered_response_is_part_of_what_an_entry_takes(harmful: FakeClassifier) -> None:
    app = create_app(Settings(), classifier=harmful)
    client = app.test_client()
    fast_path = fast_path_of(app)
    assert fast_path is not None
    kept = fast_path._caches.of(None)._exact
    post(client)
    before = kept.size
    post(client)
    assert kept.size - before > 500
    post(client)
    fresh = kept.size
    post(client, headers={"Cache-Control": "no-cache"})
    assert kept.size == before
    post(client)
    assert kept.size == fresh
