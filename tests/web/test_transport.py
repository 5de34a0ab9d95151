"""Compression, methods and origins."""

import gzip

import pytest
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.config.settings import HttpSettings, Settings
from tests.support.fake import FakeClassifier

BATCH = {"texts": [f"text {number}" for number in range(50)]}
PAGE = "https://example.org"


def serving(http: HttpSettings) -> FlaskClient:
    return create_app(Settings(http=http), classifier=FakeClassifier()).test_client()


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_large_answer_is_compressed_for_who_takes_it(encoding: str, client: FlaskClient) -> None:
    plain = client.post("/classify/batch", json=BATCH, headers={"X-Request-ID": "a"})
    packed = client.post(
        "/classify/batch", json=BATCH, headers={"X-Request-ID": "a", "Accept-Encoding": encoding}
    )
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == encoding
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert len(packed.data) < len(plain.data) / 5
    assert int(packed.headers["Content-Length"]) == len(packed.data)


def test_compressed_answer_is_the_same(client: FlaskClient) -> None:
    # The first fills the cache, so that the others tell the same of it.
    answers = [
        client.post("/classify/batch", json=BATCH, headers={"X-Request-ID": "a", "Accept-Encoding": encoding})
        for encoding in ("identity", "identity", "gzip")
    ]
    assert gzip.decompress(answers[2].data) == answers[1].data


def test_short_answer_is_not_compressed(client: FlaskClient) -> None:
    answer = client.post("/classify", json={"text": "one"}, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


def test_compression_can_be_left_to_the_proxy() -> None:
    client = serving(HttpSettings(compress=False))
    answer = client.post("/classify/batch", json=BATCH, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


def test_compressed_request_and_answer_together(client: FlaskClient) -> None:
    answer = client.post(
        "/classify/batch",
        data=gzip.compress(b'{"texts": ["a", "b", "c", "d"]}'),
        headers={"Content-Encoding": "gzip", "Accept-Encoding": "gzip", "Content-Type": "application/json"},
    )
    assert answer.status_code == 200
    assert answer.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/healthcheck", "/livez", "/readyz", "/metrics", "/openapi.json"]
)
def test_head_is_get_without_the_body(path: str, client: FlaskClient) -> None:
    head = client.head(path)
    assert (head.status_code, head.data) == (200, b"")
    assert int(head.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    "path", ["/classify", "/classify/batch", "/v1/moderations", "/v1alpha1/comments:analyze"]
)
def test_options_tells_the_methods(path: str, client: FlaskClient) -> None:
    answer = client.options(path)
    assert answer.status_code == 200
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_other_origin_is_let_in_by_default(client: FlaskClient) -> None:
    answer = client.post("/classify", json={"text": "one"}, headers={"Origin": PAGE})
    assert not [name for name in dict(answer.headers) if name.startswith("Access-Control")]


def test_origin_that_is_let_in_may_ask_and_read() -> None:
    client = serving(HttpSettings(cors_origins=[PAGE]))
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    wanted = {"Access-Control-Request-Headers": "content-type, x-stainless-lang"}
    preflight = client.options("/v1/moderations", headers=asked | wanted)
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "content-type, x-stainless-lang"
    assert preflight.headers["Access-Control-Max-Age"] == "600"
    for _ in range(2):
        # Once from the classifier, once from memory; an error is read as well.
        answer = client.post("/classify", json={"text": "one"}, headers={"Origin": PAGE})
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert client.post("/classify", headers={"Origin": PAGE}).headers["Access-Control-Allow-Origin"] == PAGE


def test_origin_that_is_not_let_in_gets_no_header() -> None:
    client = serving(HttpSettings(cors_origins=[PAGE]))
    answer = client.post("/classify", json={"text": "one"}, headers={"Origin": "https://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_all_origins_can_be_let_in() -> None:
    client = serving(HttpSettings(cors_origins=["*"]))
    answer = client.post("/classify", json={"text": "one"}, headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
