"""The client of the remote classifier: its requests, and the result of each reply and each fault."""

import contextlib
import json
import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
import requests
import responses
import urllib3.exceptions
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.classifiers.remote import wire_formats
from content_moderator.classifiers.remote.client import RemoteClassifier, _mapped_errors
from content_moderator.config.settings import Secret
from content_moderator.domain.classification import Classification, ClassifierIdentity, succeeded
from content_moderator.domain.errors import (
    BadReplyError,
    ClassifierError,
    ClassifierUnavailableError,
    CredentialsRefusedError,
    DeadlineExceededError,
    ModelNotFoundError,
    QuotaExhaustedError,
    RequestRefusedError,
    ThrottledError,
    WarmingUpError,
)
from content_moderator.domain.label import Label
from tests.support.fake import within
from tests.support.fault_server import FaultServer, Step, reply, scores, unused_port

URL = "http://koala.invalid/models/koala"
TOKEN = "hf_not_a_real_token"
IDENTITY = ClassifierIdentity("koala", "KoalaAI/Text-Moderation", "838ade0e")


class Koala:
    """The client, with the same time for each call; raises what a call fails with."""

    def __init__(self, client: RemoteClassifier, deadline: float) -> None:
        self.client = client
        self.deadline = deadline

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        return succeeded(self.client.classify(texts, within(self.deadline)))


def koala(
    url: str = URL, *, deadline: float = 5.0, connect: float = 2.0, limit: int = 4096, speaks: str = "hf"
) -> Koala:
    client = RemoteClassifier(
        url,
        token=Secret(TOKEN),
        identity=IDENTITY,
        connect_timeout_seconds=connect,
        max_reply_bytes=limit,
        wire_format=wire_formats.WIRE_FORMATS[speaks],
    )
    return Koala(client, deadline)


def test_request_asks_for_all_nine_labels(upstream: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without top_k the server silently loses labels; environment proxies and netrc are not read."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", "/dev/null")
    upstream.play(reply(scores(V=0.9)))
    [answer] = koala(upstream.url).classify(["a text"])
    assert answer.scores[Label.V] == 0.9
    assert answer.classifier == IDENTITY
    [request] = upstream.received
    assert request.request_line == "POST /models/koala HTTP/1.1"
    assert request.json() == {"inputs": "a text", "parameters": {"top_k": 9, "function_to_apply": "softmax"}}
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"


def test_several_texts_go_in_one_call_and_keep_their_order(upstream: FaultServer) -> None:
    upstream.play(reply(scores(V=0.9), scores(S=0.8)))
    first, second = koala(upstream.url).classify(["a", "b"])
    assert (first.scores[Label.V], second.scores[Label.S]) == (0.9, 0.8)
    [request] = upstream.received
    assert request.json()["inputs"] == ["a", "b"]  # type: ignore[index]


def test_no_text_is_no_call(upstream: FaultServer) -> None:
    assert koala(upstream.url).classify([]) == []
    assert upstream.received == []


def test_connection_is_reused(upstream: FaultServer) -> None:
    upstream.play(reply(scores()))
    classifier = koala(upstream.url)
    for _ in range(3):
        classifier.classify(["a"])
    assert (upstream.connections, len(upstream.received)) == (1, 3)


def test_threads_do_not_share_a_session(upstream: FaultServer) -> None:
    upstream.play(reply(scores()))
    classifier = koala(upstream.url)
    threads = [threading.Thread(target=classifier.classify, args=(["a"],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (upstream.connections, len(upstream.received)) == (4, 4)


NINE = scores(H=0.5)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([NINE], id="nested, as the servers answer"),
        pytest.param(NINE, id="flat, as the documentation shows"),
        pytest.param([NINE[::-1]], id="in another order"),
        pytest.param([[each | {"extra": 1} for each in NINE]], id="with something more"),
    ],
)
@responses.activate
def test_both_shapes_of_a_reply(body: Any) -> None:
    responses.post(URL, json=body)
    [answer] = koala().classify(["a"])
    assert answer.scores[Label.H] == 0.5
    assert math.isclose(sum(answer.scores.values()), 1)


def changed(**named: object) -> list[list[dict[str, object]]]:
    return [
        [each | {"score": named[str(each["label"])]} if each["label"] in named else each for each in NINE]
    ]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>busy</html>", id="HTML with 200"),
        pytest.param(b'{"error": "overloaded"}', id="error with 200"),
        pytest.param(b"[]", id="empty list"),
        pytest.param(b"[[]]", id="no labels"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"OK"', id="a string"),
        pytest.param(b"[null]", id="a list of null"),
        pytest.param(b"[[null,null,null,null,null,null,null,null,null]]", id="nine nulls"),
        pytest.param(orjson.dumps([NINE[:5]]), id="five labels, the trap without top_k"),
        pytest.param(orjson.dumps([NINE[:8]]), id="missing label"),
        pytest.param(orjson.dumps([[*NINE[:8], NINE[0]]]), id="label twice"),
        pytest.param(orjson.dumps([[*NINE, NINE[0]]]), id="ten labels"),
        pytest.param(orjson.dumps([[*NINE[:8], {"label": "X", "score": 0.1}]]), id="unknown label"),
        pytest.param(orjson.dumps([[*NINE[:8], {"score": 0.1}]]), id="no label"),
        pytest.param(orjson.dumps([[*NINE[:8], {"label": NINE[8]["label"]}]]), id="no score"),
        pytest.param(orjson.dumps([NINE, NINE]), id="two answers for one text"),
        pytest.param(json.dumps(changed(H=math.nan)).encode(), id="score NaN"),
        pytest.param(json.dumps(changed(H=math.inf)).encode(), id="score Infinity"),
        pytest.param(json.dumps(changed(H="0.5")).encode(), id="score a string"),
        pytest.param(json.dumps(changed(H=None)).encode(), id="score null"),
        pytest.param(json.dumps(changed(H=True)).encode(), id="score a boolean"),
        pytest.param(json.dumps(changed(H=1.01)).encode(), id="score above 1"),
        pytest.param(json.dumps(changed(H=-0.01)).encode(), id="score below 0"),
        pytest.param(json.dumps(changed(H={})).encode(), id="score an object"),
        pytest.param(orjson.dumps([NINE]) + b" " * 4096, id="larger than the limit"),
        pytest.param(b"[" * 4000, id="deep nesting"),
    ],
)
@responses.activate
def test_nonsense_is_an_error_and_never_harmless(body: bytes) -> None:
    responses.post(URL, body=body, content_type="application/json")
    with pytest.raises(BadReplyError):
        koala().classify(["a"])


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([[NINE[0], NINE[1]]], id="top 1 of each in one list, the trap without top_k"),
        pytest.param([NINE], id="one answer too few"),
        pytest.param(NINE, id="flat"),
        pytest.param([NINE, NINE, NINE], id="one too many"),
    ],
)
@responses.activate
def test_wrong_number_of_answers_is_an_error(answers: Any) -> None:
    responses.post(URL, json=answers)
    with pytest.raises(BadReplyError):
        koala().classify(["a", "b"])


LOADING = {"error": "Model KoalaAI/Text-Moderation is currently loading", "estimated_time": 20.5}


@pytest.mark.parametrize(
    ("status", "body", "headers", "error", "retryable", "retry_after"),
    [
        pytest.param(400, {"error": "x"}, {}, RequestRefusedError, False, None, id="400"),
        pytest.param(422, {"error": "x"}, {}, RequestRefusedError, False, None, id="422"),
        pytest.param(413, "too large", {}, RequestRefusedError, False, None, id="413"),
        pytest.param(401, {"error": "x"}, {}, CredentialsRefusedError, False, None, id="401"),
        pytest.param(403, {"error": "x"}, {}, CredentialsRefusedError, False, None, id="403"),
        pytest.param(402, {"error": "x"}, {}, QuotaExhaustedError, False, 3600, id="402"),
        pytest.param(404, "Not Found", {}, ModelNotFoundError, False, None, id="404 in plain text"),
        pytest.param(410, "Gone", {}, ModelNotFoundError, False, None, id="410"),
        pytest.param(408, "", {}, ClassifierUnavailableError, True, 5, id="408"),
        pytest.param(429, "", {}, ThrottledError, True, 5, id="429"),
        pytest.param(429, "", {"Retry-After": "7"}, ThrottledError, True, 7, id="429 and when"),
        pytest.param(429, "", {"Retry-After": "0"}, ThrottledError, True, 0, id="429 now"),
        pytest.param(429, "", {"Retry-After": "-1"}, ThrottledError, True, 5, id="429 negative"),
        pytest.param(429, "", {"Retry-After": "soon"}, ThrottledError, True, 5, id="429 garbage"),
        pytest.param(429, "", {"Retry-After": "1" * 5000}, ThrottledError, True, 3600, id="429 never"),
        pytest.param(503, LOADING, {}, WarmingUpError, True, 20.5, id="503 loading"),
        pytest.param(503, LOADING, {"Retry-After": "3"}, WarmingUpError, True, 3, id="503 loading and when"),
        pytest.param(
            503,
            LOADING | {"estimated_time": 1e300},
            {},
            WarmingUpError,
            True,
            3600,
            id="503 loading for ever",
        ),
        pytest.param(
            503, {"error": "Model X is currently loading"}, {}, WarmingUpError, True, 20, id="503 no estimate"
        ),
        pytest.param(
            503, LOADING | {"estimated_time": "x"}, {}, WarmingUpError, True, 20, id="503 bad estimate"
        ),
        pytest.param(503, "Model is loading", {}, WarmingUpError, True, 20, id="503 loading, plain text"),
        pytest.param(503, "busy", {}, ClassifierUnavailableError, True, 5, id="503 plain text"),
        pytest.param(503, [1], {}, ClassifierUnavailableError, True, 5, id="503 odd JSON"),
        pytest.param(500, "<html>", {}, ClassifierUnavailableError, True, 5, id="500"),
        pytest.param(502, "<html>", {}, ClassifierUnavailableError, True, 5, id="502"),
        pytest.param(504, "<html>", {}, ClassifierUnavailableError, True, 5, id="504"),
        pytest.param(501, "", {"Retry-After": "9"}, ClassifierUnavailableError, True, 9, id="501"),
        pytest.param(201, [NINE], {}, BadReplyError, False, None, id="201"),
        pytest.param(204, "", {}, BadReplyError, False, None, id="204"),
        pytest.param(301, "", {"Location": "/elsewhere"}, BadReplyError, False, None, id="redirect"),
        pytest.param(307, "", {"Location": "http://127.0.0.1/"}, BadReplyError, False, None, id="307"),
    ],
)
@responses.activate
def test_each_status_is_its_own_error(
    status: int,
    body: Any,
    headers: dict[str, str],
    error: type[ClassifierError],
    retryable: bool,
    retry_after: float | None,
) -> None:
    encoded = body if isinstance(body, str) else json.dumps(body)
    responses.post(URL, status=status, body=encoded, headers=headers)
    with pytest.raises(error) as raised:
        koala().classify(["a"])
    assert type(raised.value) is error
    assert raised.value.retryable is retryable
    assert raised.value.retry_after_seconds == retry_after
    assert len(responses.calls) == 1, "the client itself never repeats a call and follows no redirect"


def test_retry_after_as_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    assert wire_formats.retry_after_seconds(soon) == pytest.approx(60, abs=5)
    assert wire_formats.retry_after_seconds(past) == 0
    assert wire_formats.retry_after_seconds("Mon, 01 Jan 2035 00:00:00") is None, "no zone, no time"
    assert wire_formats.retry_after_seconds(None) is None


@given(st.text())
def test_retry_after_is_bounded_whatever_comes(value: str) -> None:
    seconds = wire_formats.retry_after_seconds(value)
    assert seconds is None or 0 <= seconds <= wire_formats.MAX_RETRY_AFTER_SECONDS


@given(st.binary())
def test_any_bytes_are_an_answer_or_a_bad_reply(body: bytes) -> None:
    with contextlib.suppress(BadReplyError):
        wire_formats.HUGGING_FACE.decode_reply(body, texts=1)


GOOD = orjson.dumps([NINE])


@pytest.mark.parametrize(
    ("step", "error"),
    [
        pytest.param(Step(hang=True), DeadlineExceededError, id="never answers"),
        pytest.param(reply(NINE, delay_seconds=5.0), DeadlineExceededError, id="answers too late"),
        pytest.param(reply(NINE, drip_seconds=0.1), DeadlineExceededError, id="drips the body"),
        pytest.param(
            reply(NINE, drip_seconds=0.1, drip_headers=True), DeadlineExceededError, id="drips the headers"
        ),
        pytest.param(
            Step(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 90, drip_seconds=0.05, drip_headers=True),
            DeadlineExceededError,
            id="drips headers without end",
        ),
        pytest.param(Step(cut_at=0), ClassifierUnavailableError, id="closes at once"),
        pytest.param(Step(cut_at=0, reset=True), ClassifierUnavailableError, id="resets at once"),
        pytest.param(reply(NINE, cut_at=150), ClassifierUnavailableError, id="cut within the body"),
        pytest.param(reply(NINE, cut_at=20), ClassifierUnavailableError, id="cut within the headers"),
        pytest.param(
            reply(NINE, cut_at=150, reset=True), ClassifierUnavailableError, id="reset within the body"
        ),
        pytest.param(Step(raw=b"SSH-2.0-x\r\n\r\n", cut_at=13), ClassifierUnavailableError, id="not HTTP"),
        pytest.param(
            Step(body=b"zz\r\n", headers=[("Transfer-Encoding", "chunked")]),
            ClassifierUnavailableError,
            id="broken chunks",
        ),
        pytest.param(
            Step(body=GOOD, headers=[("Content-Encoding", "gzip")]), BadReplyError, id="says it is gzip"
        ),
        pytest.param(Step(body=b" " * 1_000_000 + GOOD), BadReplyError, id="a megabyte"),
        pytest.param(
            Step(body=b"4\r\n    \r\n" * 5000, headers=[("Transfer-Encoding", "chunked")]),
            BadReplyError,
            id="chunks without end",
        ),
        pytest.param(Step(302, headers=[("Location", "/elsewhere")]), BadReplyError, id="redirect"),
        pytest.param(
            Step(503, json.dumps(LOADING).encode(), drip_seconds=0.2),
            DeadlineExceededError,
            id="drips an error",
        ),
    ],
)
def test_each_fault_is_an_error_within_the_deadline(
    step: Step, error: type[ClassifierError], upstream: FaultServer
) -> None:
    upstream.play(step)
    started = time.monotonic()
    with pytest.raises(error) as raised:
        koala(upstream.url, deadline=0.5).classify(["a"])
    assert type(raised.value) is error
    # Not a measurement: the hanging, dripping and late servers above go on for 5 s and longer.
    assert time.monotonic() - started < 4.5
    assert len(upstream.received) == 1


def test_next_call_works_after_each_fault(upstream: FaultServer) -> None:
    classifier = koala(upstream.url, deadline=0.5)
    for fault in (
        Step(hang=True),
        reply(NINE, cut_at=150),
        Step(500),
        Step(body=b"x" * 9999),
    ):
        upstream.play(fault, reply(NINE))
        with pytest.raises(ClassifierError):
            classifier.classify(["a"])
        assert len(classifier.classify(["a"])) == 1


@pytest.mark.parametrize(
    "stale", [pytest.param(Step(cut_at=0), id="closed"), pytest.param(Step(cut_at=0, reset=True), id="reset")]
)
def test_a_kept_alive_connection_that_has_gone_stale_costs_nothing(
    stale: Step, upstream: FaultServer
) -> None:
    """The server closed the idle connection: no failure, and no retry that counts."""
    classifier = koala(upstream.url)
    upstream.play(reply(NINE), stale, reply(NINE))
    assert len(classifier.classify(["a"])) == 1
    assert len(classifier.classify(["b"])) == 1
    assert upstream.connections == 2
    assert [request.json()["inputs"] for request in upstream.received] == ["a", "b", "b"]  # type: ignore[index]


def test_a_new_connection_that_breaks_is_a_failure_even_after_a_stale_one(upstream: FaultServer) -> None:
    classifier = koala(upstream.url)
    upstream.play(reply(NINE), Step(cut_at=0))
    classifier.classify(["a"])
    with pytest.raises(ClassifierUnavailableError):
        classifier.classify(["b"])
    assert len(upstream.received) == 3


def test_a_stale_connection_leaves_no_more_time_than_there_was(upstream: FaultServer) -> None:
    classifier = koala(upstream.url, deadline=0.5)
    upstream.play(reply(NINE), Step(cut_at=0), Step(hang=True))
    classifier.classify(["a"])
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        classifier.classify(["b"])
    assert time.monotonic() - started < 4.5


@pytest.mark.parametrize(
    ("speaks", "texts", "request_body", "body"),
    [
        pytest.param(
            "tei",
            ["a"],
            {"inputs": [["a"]], "truncate": True, "raw_scores": False},
            [NINE],
            id="tei, one text in a list of lists, for two in one list are a pair",
        ),
        pytest.param(
            "tei",
            ["a", "b"],
            {"inputs": [["a"], ["b"]], "truncate": True, "raw_scores": False},
            [NINE, NINE],
            id="tei, two",
        ),
        pytest.param(
            "infinity",
            ["a", "b"],
            {"model": "KoalaAI/Text-Moderation", "input": ["a", "b"], "raw_scores": False},
            {"object": "classify", "data": [NINE, NINE], "model": "m", "usage": {}},
            id="infinity, two",
        ),
    ],
)
def test_other_protocols(
    speaks: str, texts: list[str], request_body: object, body: object, upstream: FaultServer
) -> None:
    upstream.play(Step(body=json.dumps(body).encode()))
    answers = koala(upstream.url, speaks=speaks).classify(texts)
    assert [answer.scores[Label.H] for answer in answers] == [0.5] * len(texts)
    assert upstream.received[0].json() == request_body


@pytest.mark.parametrize(
    ("speaks", "step", "error"),
    [
        ("tei", Step(429, b'{"error":"Model is overloaded","error_type":"overloaded"}'), ThrottledError),
        ("tei", Step(424, b'{"error":"x","error_type":"backend"}'), ClassifierUnavailableError),
        ("tei", Step(422, b'{"error":"x","error_type":"tokenizer"}'), RequestRefusedError),
        (
            "tei",
            Step(413, b"Payload too large", headers=[("Content-Type", "text/plain")]),
            RequestRefusedError,
        ),
        ("tei", Step(401), CredentialsRefusedError),
        ("infinity", Step(400, b'{"error":{"message":"x","type":"y"}}'), RequestRefusedError),
        ("infinity", Step(500, b'{"error":{"message":"x"}}'), ClassifierUnavailableError),
        ("infinity", Step(body=b'{"data": null}'), BadReplyError),
        ("infinity", Step(body=orjson.dumps([NINE])), BadReplyError),
        ("infinity", Step(body=orjson.dumps({"data": NINE})), BadReplyError),
        ("tei", Step(body=b'{"data": []}'), BadReplyError),
    ],
)
def test_errors_of_other_protocols(
    speaks: str, step: Step, error: type[ClassifierError], upstream: FaultServer
) -> None:
    upstream.play(step)
    with pytest.raises(error) as raised:
        koala(upstream.url, speaks=speaks).classify(["a"])
    assert type(raised.value) is error


def test_large_text_goes_out_after_a_call_that_used_most_of_its_deadline(upstream: FaultServer) -> None:
    """A kept-alive socket must not keep the small time-out that its last read was left with."""
    classifier = koala(upstream.url, deadline=1.5)
    upstream.play(reply(NINE, delay_seconds=1.3), reply(NINE))
    classifier.classify(["a"])
    assert len(classifier.classify(["long " * 200_000])) == 1
    assert upstream.connections == 1


def test_refused_connection() -> None:
    with pytest.raises(ClassifierUnavailableError):
        koala(f"http://127.0.0.1:{unused_port()}/").classify(["a"])


def test_unknown_host() -> None:
    with pytest.raises(ClassifierUnavailableError):
        koala("http://no-such-host.invalid/").classify(["a"])


def test_plain_server_where_tls_was_asked_for(upstream: FaultServer) -> None:
    with pytest.raises(ClassifierUnavailableError):
        koala(upstream.url.replace("http:", "https:"), deadline=1).classify(["a"])


def addresses(*hosts: str, port: int) -> Callable[..., list[Any]]:
    return lambda *_args, **_kwargs: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (h, port)) for h in hosts]


def test_next_address_is_tried_when_one_refuses(
    upstream: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.play(reply(NINE))
    real = socket.getaddrinfo
    found = addresses("127.0.0.2", "127.0.0.1", port=upstream.port)
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: found() if host == "two.invalid" else real(host, *a, **k)
    )
    url = upstream.url.replace("127.0.0.1", "two.invalid")
    assert len(koala(url).classify(["a"])) == 1
    assert upstream.received[0].headers["host"].startswith("two.invalid")


def test_connecting_is_bounded_over_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that accepts no more is a black hole; eight addresses of it share one budget."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.socket() as first,
        socket.socket() as second,
    ):
        port = full.getsockname()[1]
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        real = socket.getaddrinfo
        found = addresses(*["127.0.0.1"] * 8, port=port)
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda h, *a, **k: found() if h == "eight.invalid" else real(h, *a, **k)
        )
        started = time.monotonic()
        with pytest.raises(ClassifierUnavailableError):
            koala(f"http://eight.invalid:{port}/", connect=0.5).classify(["a"])
        assert time.monotonic() - started < 3, "eight times half a second would be four"


def test_resolver_that_hangs_is_waited_for_no_longer_than_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hung = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: [hung.wait(20)][:0])
    started = time.monotonic()
    with pytest.raises(ClassifierUnavailableError):
        koala("http://hung.invalid/", connect=0.3).classify(["a"])
    assert time.monotonic() - started < 10
    hung.set()


def test_host_without_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: [])
    with pytest.raises(ClassifierUnavailableError):
        koala().classify(["a"])


def every_subclass(root: type[BaseException]) -> set[type[BaseException]]:
    return {root}.union(*(every_subclass(each) for each in root.__subclasses__()))


@pytest.mark.parametrize(
    "exception",
    sorted(
        (
            each
            for each in every_subclass(requests.RequestException)
            | every_subclass(urllib3.exceptions.HTTPError)
            | {OSError, TimeoutError, ConnectionResetError, socket.gaierror}
            if each.__module__.startswith(("requests", "urllib3", "builtins", "socket"))
        ),
        key=str,
    ),
)
def test_everything_the_libraries_raise_is_mapped(exception: type[BaseException]) -> None:
    with pytest.raises(ClassifierError), _mapped_errors():
        raise exception.__new__(exception)


def test_token_shows_nowhere(upstream: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.play(Step(401, b'{"error":"Invalid credentials"}'))
    classifier = koala(upstream.url)
    with pytest.raises(CredentialsRefusedError) as raised:
        classifier.classify(["some private words"])
    shown = repr(classifier) + repr(raised.value) + str(raised.value) + caplog.text
    assert TOKEN not in shown
    assert "private" not in shown
    assert TOKEN not in repr(Secret(TOKEN))
