"""Bad input gets a clear 4xx with the field and the limit; the classifier is never called."""

import gzip
import io
import zlib
from typing import Any

import pytest
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.config.settings import HttpSettings, Settings
from content_moderator.web.request_body import MAX_DISCARDED_BYTES
from tests.support.fake import FakeClassifier

LIMIT_BYTES = 2048
LIMIT_CHARS = 100
JSON = {"Content-Type": "application/json"}
GZIP = JSON | {"Content-Encoding": "gzip"}


@pytest.fixture
def client(fake: FakeClassifier) -> FlaskClient:
    http = HttpSettings(max_body_bytes=LIMIT_BYTES, max_text_chars=LIMIT_CHARS)
    return create_app(Settings(http=http), classifier=fake).test_client()


def body(data: bytes, headers: dict[str, str] = JSON) -> dict[str, Any]:
    return {"data": data, "headers": headers}


BOMB = gzip.compress(b"[" + b"0," * 5_000_000 + b"0]")

CASES = [
    # not JSON at all
    pytest.param(body(b"not json"), 400, "body_not_json", None, id="not JSON"),
    pytest.param(body(b'{"text": "a'), 400, "body_not_json", None, id="cut JSON"),
    pytest.param(body(b'{"text": "a"} x'), 400, "body_not_json", None, id="more after it"),
    pytest.param(body(b'{"text": NaN}'), 400, "body_not_json", None, id="NaN"),
    pytest.param(body(b'{"text": Infinity}'), 400, "body_not_json", None, id="Infinity"),
    pytest.param(body(b"[" * LIMIT_BYTES), 400, "body_not_json", None, id="deep nesting"),
    pytest.param(body(b'{"a":' * 400 + b"1"), 400, "body_not_json", None, id="deep objects"),
    pytest.param(body(b'\xef\xbb\xbf{"text":"a"}'), 400, "body_not_json", None, id="byte order mark"),
    pytest.param(body('{"text":"a"}'.encode("utf-16")), 400, "body_not_json", None, id="UTF-16"),
    pytest.param(body(b'{"text":"caf\xe9"}'), 400, "body_not_json", None, id="Latin-1"),
    pytest.param(body(b'{"text":"\\ud800"}'), 400, "body_not_json", None, id="lone surrogate, escaped"),
    pytest.param(body(b'{"text":"\xed\xa0\x80"}'), 400, "body_not_json", None, id="lone surrogate, raw"),
    pytest.param(body(b'{"text":"a\x00b"}'), 400, "body_not_json", None, id="raw NUL"),
    pytest.param(body(b"   "), 400, "body_not_json", None, id="only white space"),
    # JSON of the wrong shape
    pytest.param(body(b""), 422, "invalid_fields", "#/text", id="empty body"),
    pytest.param(body(b"{}"), 422, "invalid_fields", "#/text", id="no text"),
    pytest.param(body(b"null"), 422, "invalid_fields", "#", id="null"),
    pytest.param(body(b'"text"'), 422, "invalid_fields", "#", id="a string"),
    pytest.param(body(b"[]"), 422, "invalid_fields", "#", id="a list"),
    pytest.param(body(b'[{"text":"a"}]'), 422, "invalid_fields", "#", id="a list of objects"),
    pytest.param(body(b'{"text":null}'), 422, "invalid_fields", "#/text", id="text null"),
    pytest.param(body(b'{"text":7}'), 422, "invalid_fields", "#/text", id="text a number"),
    pytest.param(body(b'{"text":["a"]}'), 422, "invalid_fields", "#/text", id="text a list"),
    pytest.param(body(b'{"text":true}'), 422, "invalid_fields", "#/text", id="text a boolean"),
    pytest.param(body(b'{"text":1e999}'), None, None, None, id="huge exponent"),
    pytest.param(body(b'{"text":' + b"9" * 1000 + b"}"), None, None, None, id="huge number"),
    pytest.param(body(b'{"text":""}'), 422, "invalid_fields", "#/text", id="empty text"),
    pytest.param(body(b'{"text":" \\t\\n\\u00a0\\u3000 "}'), 422, "invalid_fields", "#/text", id="blank"),
    pytest.param(body(b'{"text":"%s"}' % (b"a" * 101)), 422, "invalid_fields", "#/text", id="too long"),
    pytest.param(body(b'{"text":"a","txt":"b"}'), 422, "invalid_fields", "#/txt", id="unknown key"),
    pytest.param(body(b'{"text":"a","x y":1}'), 422, "invalid_fields", "#/?", id="unknown odd key"),
    pytest.param(body(b'{"text":"a","message":"b"}'), 422, "invalid_fields", "#/text", id="two texts"),
    # the body as sent
    pytest.param(body(b" " * (LIMIT_BYTES + 1)), 413, "body_too_large", None, id="too large"),
    pytest.param(body(BOMB, GZIP), 413, "body_too_large", None, id="gzip bomb, also large as sent"),
    pytest.param(
        body(gzip.compress(b" " * 100_000), GZIP), 413, "body_too_large", None, id="gzip bomb"
    ),
    pytest.param(
        body(gzip.compress(b" " * 2000) * 2, GZIP), 413, "body_too_large", None, id="bomb in members"
    ),
    pytest.param(body(b'{"text":"a"}', GZIP), 400, "body_unreadable", None, id="not gzip"),
    pytest.param(
        body(gzip.compress(b'{"text":"a"}')[:-4], GZIP), 400, "body_unreadable", None, id="cut gzip"
    ),
    pytest.param(
        body(gzip.compress(b'{"text":"a"}') + b"x", GZIP), 400, "body_unreadable", None, id="gzip and more"
    ),
    pytest.param(
        body(zlib.compress(b'{"text":"a"}'), JSON | {"Content-Encoding": "deflate"}),
        415, "unsupported_content_encoding", None, id="deflate",
    ),
    pytest.param(
        body(b'{"text":"a"}', JSON | {"Content-Encoding": "gzip, gzip"}),
        415, "unsupported_content_encoding", None, id="two encodings",
    ),
    pytest.param(
        body(b'{"text":"a"}', {"Content-Type": "text/plain"}), 415, "unsupported_media_type", None, id="text"
    ),
    pytest.param(body(b'{"text":"a"}', {}), 415, "unsupported_media_type", None, id="no type"),
    pytest.param(
        body(b"text=a", {"Content-Type": "application/x-www-form-urlencoded"}),
        415, "unsupported_media_type", None, id="form",
    ),
    pytest.param(
        body(b'{"text":"a"}', {"Content-Type": "application/json; charset=latin-1"}),
        415, "unsupported_media_type", None, id="Latin-1 declared",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "status", "code", "pointer"), CASES)
def test_bad_body(
    request_: dict[str, Any],
    status: int | None,
    code: str | None,
    pointer: str | None,
    fake: FakeClassifier,
    client: FlaskClient,
) -> None:
    """Without a *status* either a 400 or a 422 is right: parsers may differ on huge numbers."""
    response = client.post("/classify", **request_)
    problem = response.get_json()
    assert response.content_type == "application/problem+json"
    assert response.status_code in ({status} if status else {400, 422})
    assert problem["status"] == response.status_code
    if code:
        assert problem["code"] == code
    if pointer:
        assert pointer in [error["pointer"] for error in problem["errors"]]
    assert fake.seen == []


@pytest.mark.parametrize(
    ("query", "data"),
    [
        pytest.param("message=", None, id="empty"),
        pytest.param("message=%20", None, id="blank"),
        pytest.param("message=" + "a" * 101, None, id="too long"),
        pytest.param("message=%ff", None, id="not UTF-8"),
        pytest.param("message=a", {"text": "b"}, id="query and body"),
    ],
)
def test_bad_query(query: str, data: object, fake: FakeClassifier, client: FlaskClient) -> None:
    response = client.post(f"/classify?{query}", json=data) if data else client.post(f"/classify?{query}")
    assert response.status_code == 422
    [error] = response.get_json()["errors"]
    assert error.get("parameter") == "message" or error.get("pointer") == "#/text"
    assert fake.seen == []


def test_message_names_both_numbers(client: FlaskClient) -> None:
    [error] = client.post("/classify", json={"text": "a" * 123}).get_json()["errors"]
    assert "100" in error["detail"]
    assert "123" in error["detail"]
    assert str(LIMIT_BYTES) in client.post("/classify", **body(b" " * 4000)).get_json()["detail"]


def test_limit_counts_code_points_not_bytes(fake: FakeClassifier, client: FlaskClient) -> None:
    assert client.post("/classify", json={"text": "😀" * LIMIT_CHARS}).status_code == 200


def test_no_value_is_echoed(client: FlaskClient) -> None:
    """An error may name a key that looks like a name, and never shows a value."""
    response = client.post("/classify", json={"text": "secret words", "<script>": "also secret"})
    assert response.status_code == 422
    assert "secret" not in response.text
    assert "script" not in response.text


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        pytest.param({"CONTENT_LENGTH": "50"}, "body_unreadable", id="shorter than declared"),
        pytest.param({"CONTENT_LENGTH": "-1"}, "body_unreadable", id="negative length"),
        pytest.param({"CONTENT_LENGTH": "1_2"}, "body_unreadable", id="odd length"),
        pytest.param({"CONTENT_LENGTH": "99999999999999999999"}, "body_too_large", id="huge length"),
    ],
)
def test_dishonest_length(
    environ: dict[str, str], code: str, fake: FakeClassifier, client: FlaskClient
) -> None:
    response = client.post(
        "/classify",
        input_stream=io.BytesIO(b'{"text":"a"}'),
        headers=JSON,
        environ_overrides=environ,
    )
    assert response.get_json()["code"] == code
    assert fake.seen == []


def test_body_that_was_only_announced_is_not_asked_for(client: FlaskClient) -> None:
    waiting = io.BytesIO(b" " * 9999)
    headers = JSON | {"Expect": "100-continue"}
    answer = client.post(
        "/classify", input_stream=waiting, headers=headers, environ_overrides={"CONTENT_LENGTH": "9999"}
    )
    assert answer.status_code == 413
    assert waiting.tell() == 0


class _Breaking(io.BytesIO):
    def read(self, _size: int | None = -1) -> bytes:
        raise OSError("connection reset; with some of the text")


def test_connection_that_breaks_is_a_400(fake: FakeClassifier, client: FlaskClient) -> None:
    response = client.post(
        "/classify", input_stream=_Breaking(), headers=JSON, environ_overrides={"CONTENT_LENGTH": "9"}
    )
    assert (response.status_code, response.get_json()["code"]) == (400, "body_unreadable")
    assert fake.seen == []


def test_chunked_body_is_read_to_its_end_and_not_for_ever(fake: FakeClassifier, client: FlaskClient) -> None:
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    ok = client.post(
        "/classify", input_stream=_Dripping(b'{"text":"a"}'), headers=JSON, environ_overrides=chunked
    )
    assert ok.status_code == 200
    endless = io.BytesIO(b" " * 2 * MAX_DISCARDED_BYTES)
    over = client.post("/classify", input_stream=endless, headers=JSON, environ_overrides=chunked)
    assert over.get_json()["code"] == "body_too_large"
    assert endless.tell() == LIMIT_BYTES + 1 + MAX_DISCARDED_BYTES


class _Dripping(io.BytesIO):
    """Gives a few bytes at a time, as sockets may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(7, size if size and size > 0 else 7))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/classify", 405, "method_not_allowed"),
        ("DELETE", "/healthcheck", 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/classify/", 404, "not_found"),
        ("GET", "/static/../app.py", 404, "not_found"),
        ("GET", "/static/nothing.js", 404, "not_found"),
        ("BREW", "/classify", 405, "method_not_allowed"),
    ],
)
def test_wrong_path_or_method_is_a_problem_too(
    method: str, path: str, status: int, code: str, client: FlaskClient
) -> None:
    response = client.open(path, method=method)
    assert (response.status_code, response.get_json()["code"]) == (status, code)
    assert response.content_type == "application/problem+json"
    if status == 405:
        assert response.headers["Allow"]
