"""
What callers get for each fault of the upstream: through the HTTP interface, with real sockets.

Each row: the answer's status and code, Retry-After, how many calls the upstream got, and a bound in time. No
fault may lead to a 500, to a harmless verdict, or to a thread that hangs.
"""

import datetime as dt
import gzip
import json
import math
import socket
import ssl
import time
from dataclasses import dataclass, replace
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
from flask import Flask

from content_moderator.app import create_app
from content_moderator.config.settings import (
    BreakerSettings,
    ClassifierSettings,
    ReadinessSettings,
    RetrySettings,
    Secret,
    Settings,
    UpstreamSettings,
)
from tests.support import fault_server
from tests.support.fault_server import FaultServer, Step, reply, scores, unused_port

NINE = scores(H=0.9)
GOOD = reply(NINE)
HTML = b"<html><body>502 Bad Gateway</body></html>"


def settings(url: str, **upstream: object) -> Settings:
    """Short times; the breaker stays out of it."""
    config = UpstreamSettings(
        url=url, call_timeout_seconds=0.6, connect_timeout_seconds=0.4, max_reply_bytes=10_000
    )
    return Settings(
        classifier=ClassifierSettings(
            name="koala",
            deadline_seconds=1.5,
            config=replace(config, **upstream),  # type: ignore[arg-type]
            retries=RetrySettings(first_delay_seconds=0.01, budget_floor=100),
            breaker=BreakerSettings(min_calls=1000),
        ),
        readiness=ReadinessSettings(probe_at_start=False),
        bearer_token=Secret("hf_secret"),
    )


def in_seconds(seconds: float) -> str:
    when = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return format_datetime(when, usegmt=True)


def throttled(retry_after: str) -> Step:
    return Step(429, b'{"error":"slow down"}', headers=[("Retry-After", retry_after)])


def changed(label: str, score: object) -> Step:
    body = [[{**each, "score": score} if each["label"] == label else each for each in NINE]]
    return Step(body=json.dumps(body).encode())


def chunks(written: bytes) -> Step:
    return Step(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + written)


WHOLE = b"".join(GOOD.encode())


@dataclass(frozen=True)
class Row:
    """A fault, and what must come of it."""

    steps: tuple[Step, ...]
    status: int
    code: str | None
    calls: int
    retry_after: tuple[int, int] | None = None
    seconds: float = 4.0


UNAVAILABLE, BAD_REPLY = "classifier_unavailable", "classifier_bad_reply"
DEADLINE, WARMING = "classifier_deadline_exceeded", "classifier_warming_up"

ROWS = {
    "never answers": Row((Step(hang=True),), 504, DEADLINE, 3),
    "slow headers": Row((Step(drip_seconds=0.1, drip_headers=True),), 504, DEADLINE, 3),
    "dripping body": Row((reply(NINE, drip_seconds=0.1),), 504, DEADLINE, 3),
    "answers after the deadline": Row((reply(NINE, delay_seconds=3),), 504, DEADLINE, 3),
    "slow once, then well": Row((reply(NINE, delay_seconds=3), GOOD), 200, None, 2),
    "truncated": Row((reply(NINE, cut_at=150),), 503, UNAVAILABLE, 3, (5, 5)),
    "truncated headers": Row((reply(NINE, cut_at=20),), 503, UNAVAILABLE, 3, (5, 5)),
    "closed at once": Row((Step(cut_at=0),), 503, UNAVAILABLE, 3, (5, 5)),
    "reset at once": Row((Step(cut_at=0, reset=True),), 503, UNAVAILABLE, 3, (5, 5)),
    "reset within the body": Row((reply(NINE, cut_at=150, reset=True),), 503, UNAVAILABLE, 3, (5, 5)),
    "HTML with 200": Row((Step(body=HTML),), 502, BAD_REPLY, 1),
    "error with 200": Row((Step(body=b'{"error":"overloaded"}'),), 502, BAD_REPLY, 1),
    "missing label": Row((reply(NINE[:8]),), 502, BAD_REPLY, 1),
    "five labels": Row((reply(NINE[:5]),), 502, BAD_REPLY, 1),
    "NaN": Row((changed("H", math.nan),), 502, BAD_REPLY, 1),
    "a score as a string": Row((changed("H", "0.9"),), 502, BAD_REPLY, 1),
    "a score of 7": Row((changed("H", 7),), 502, BAD_REPLY, 1),
    "wrong count": Row((reply(NINE, NINE),), 502, BAD_REPLY, 1),
    "empty list": Row((Step(body=b"[]"),), 502, BAD_REPLY, 1),
    "oversized": Row((Step(body=b" " * 20_000),), 502, BAD_REPLY, 1),
    "gzip bomb": Row(
        (Step(body=gzip.compress(b" " * 10_000_000), headers=[("Content-Encoding", "gzip")]),),
        502,
        BAD_REPLY,
        1,
    ),
    "redirect": Row((Step(302, headers=[("Location", "http://127.0.0.1:1/")]),), 502, BAD_REPLY, 1),
    "400": Row((Step(400, b'{"error":"x"}'),), 502, "classifier_refused_request", 1),
    "401": Row((Step(401, b'{"error":"x"}'),), 502, "classifier_credentials_refused", 1),
    "402": Row((Step(402, b'{"error":"x"}'),), 503, "classifier_quota_exhausted", 1, (3600, 3600)),
    "403": Row((Step(403, b'{"error":"x"}'),), 502, "classifier_credentials_refused", 1),
    "404": Row((Step(404, b"Not Found"),), 502, "classifier_model_not_found", 1),
    "410": Row((Step(410, HTML),), 502, "classifier_model_not_found", 1),
    "422": Row((Step(422, b'{"error":"x"}'),), 502, "classifier_refused_request", 1),
    "429, in 60 seconds": Row((throttled("60"),), 503, "classifier_throttled", 1, (60, 60)),
    "429, now": Row((throttled("0"), GOOD), 200, None, 2),
    "429, in -1 seconds": Row((throttled("-1"), GOOD), 200, None, 2),
    "429, garbage": Row((throttled("soon"), GOOD), 200, None, 2),
    "429, in a billion seconds": Row(
        (throttled("1000000000"),), 503, "classifier_throttled", 1, (3600, 3600)
    ),
    "429, in a second, which fits": Row((throttled("1"), GOOD), 200, None, 2),
    "429 for ever": Row((throttled("0"),), 503, "classifier_throttled", 3, (1, 1)),
    "500": Row((Step(500, HTML),), 503, UNAVAILABLE, 3, (5, 5)),
    "500 once": Row((Step(500, HTML), GOOD), 200, None, 2),
    "502": Row((Step(502, HTML),), 503, UNAVAILABLE, 3, (5, 5)),
    "503 with an estimate": Row(
        (Step(503, b'{"error":"Model X is currently loading","estimated_time":20.0}'),),
        503,
        WARMING,
        1,
        (20, 20),
    ),
    "503 with an estimate that fits": Row(
        (Step(503, b'{"error":"Model X is currently loading","estimated_time":0.2}'), GOOD), 200, None, 2
    ),
    "503 without an estimate": Row(
        (Step(503, b'{"error":"Model X is currently loading"}'),), 503, WARMING, 3, (20, 20)
    ),
    "503 in plain text": Row((Step(503, b"Service Unavailable"),), 503, UNAVAILABLE, 3, (5, 5)),
    "504": Row((Step(504, HTML),), 503, UNAVAILABLE, 3, (5, 5)),
    "102, then the answer": Row((Step(raw=b"HTTP/1.1 102 Processing\r\n\r\n" + WHOLE),), 200, None, 1),
    "103 with headers, then the answer": Row(
        (Step(raw=b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + WHOLE),), 200, None, 1
    ),
    "interim answers without end": Row(
        (Step(raw=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200 + WHOLE),), 503, UNAVAILABLE, 3, (5, 5)
    ),
    "101": Row((Step(101),), 502, BAD_REPLY, 1),
    "201": Row((reply(NINE, status=201),), 502, BAD_REPLY, 1),
    "204": Row((Step(204),), 502, BAD_REPLY, 1),
    "205": Row((Step(205),), 502, BAD_REPLY, 1),
    "206": Row((reply(NINE, status=206),), 502, BAD_REPLY, 1),
    "301 to nowhere": Row((Step(301),), 502, BAD_REPLY, 1),
    "302 to what is no URL": Row((Step(302, headers=[("Location", "http://[")]),), 502, BAD_REPLY, 1),
    "302 with an endless body": Row(
        (Step(302, b"x" * 500_000, headers=[("Location", "http://127.0.0.1:1/")]),), 502, BAD_REPLY, 1
    ),
    "304": Row((Step(304),), 502, BAD_REPLY, 1),
    "408": Row((Step(408),), 503, UNAVAILABLE, 3, (5, 5)),
    "418": Row((Step(418),), 502, "classifier_refused_request", 1),
    "451": Row((Step(451),), 502, "classifier_refused_request", 1),
    "507": Row((Step(507),), 503, UNAVAILABLE, 3, (5, 5)),
    "599": Row((Step(599),), 503, UNAVAILABLE, 3, (5, 5)),
    "999": Row((Step(999),), 503, UNAVAILABLE, 3, (5, 5)),
    "not HTTP": Row((Step(raw=b"hello\r\n\r\n"),), 503, UNAVAILABLE, 3, (5, 5)),
    "HTTP/3": Row((Step(raw=b"HTTP/3 200 OK\r\n\r\n[]"),), 503, UNAVAILABLE, 3, (5, 5)),
    "a status of letters": Row((Step(raw=b"HTTP/1.1 OK\r\n\r\n[]"),), 503, UNAVAILABLE, 3, (5, 5)),
    "a long status line": Row(
        (Step(raw=b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n[]"),), 503, UNAVAILABLE, 3, (5, 5)
    ),
    "very many headers": Row(
        (Step(raw=b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n[]"),), 503, UNAVAILABLE, 3, (5, 5)
    ),
    "a long header": Row(
        (Step(raw=b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 80_000 + b"\r\n\r\n[]"),), 503, UNAVAILABLE, 3, (5, 5)
    ),
    "a chunk of -5": Row((chunks(b"-5\r\nabc\r\n0\r\n\r\n"),), 503, UNAVAILABLE, 3, (5, 5)),
    "a chunk of letters": Row((chunks(b"zz\r\nabc\r\n0\r\n\r\n"),), 503, UNAVAILABLE, 3, (5, 5)),
    "a chunk of very many digits": Row((chunks(b"f" * 99 + b"\r\nabc"),), 503, UNAVAILABLE, 3, (5, 5)),
    "a chunk that ends elsewhere": Row((chunks(b"2\r\n[]XX0\r\n\r\n"),), 503, UNAVAILABLE, 3, (5, 5)),
    "chunks that are cut": Row(
        (Step(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[[", cut_at=55),),
        503,
        UNAVAILABLE,
        3,
        (5, 5),
    ),
    "deep JSON": Row((Step(body=b"[" * 9000),), 502, BAD_REPLY, 1),
    "JSON of another encoding": Row((Step(body="[]".encode("utf-16")),), 502, BAD_REPLY, 1),
    "a label twice": Row((reply([*NINE[:8], NINE[0]]),), 502, BAD_REPLY, 1),
    "a tenth label": Row((reply([*NINE, {"label": "X", "score": 0.0}]),), 502, BAD_REPLY, 1),
    "a score of true": Row((changed("H", True),), 502, BAD_REPLY, 1),
    "a score of null": Row((changed("H", None),), 502, BAD_REPLY, 1),
    "recovers": Row((Step(500), Step(cut_at=0), GOOD), 200, None, 3),
}


def test_table_is_long_enough() -> None:
    assert len(ROWS) >= 70


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_each_fault(row: Row, upstream: FaultServer) -> None:
    upstream.play(*row.steps)
    app = create_app(settings(upstream.url))
    check(app, row)
    # On a busy machine the deadline may come before the last of several slow calls.
    fewest = row.calls - (row.code == DEADLINE and row.calls > 1)
    assert fewest <= len(upstream.received) <= row.calls
    upstream.play(GOOD)
    again = app.test_client().post("/classify", json={"text": "the next text"}).get_json()
    assert (again["decision"], again["cache"]["status"]) == ("block", "miss"), "the next text is answered"


def test_429_on_a_date(upstream: FaultServer) -> None:
    """The date is of now, not of when the table above was read, minutes before."""
    test_each_fault(Row((throttled(in_seconds(90)),), 503, "classifier_throttled", 1, (50, 90)), upstream)


def check(app: Flask, row: Row) -> None:
    started = time.monotonic()
    response = app.test_client().post("/classify", json={"text": "a text"})
    # Not a measurement: without bounds the faults take 30 s and longer.
    assert time.monotonic() - started < row.seconds
    assert response.status_code == row.status
    body = response.get_json()
    assert "hf_secret" not in response.text
    if row.status == 200:
        assert (body["decision"], body["degraded"]) == ("block", False)
        return
    assert body["code"] == row.code
    assert "decision" not in body
    if row.retry_after is None:
        assert "Retry-After" not in response.headers
    else:
        low, high = row.retry_after
        assert low <= int(response.headers["Retry-After"]) <= high


def test_refused() -> None:
    row = Row((), 503, UNAVAILABLE, 0, (5, 5))
    check(create_app(settings(f"http://127.0.0.1:{unused_port()}/")), row)


def test_black_hole() -> None:
    """A host that does not answer, because the queue of its listener is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as first:
        port = listener.getsockname()[1]
        first.connect(("127.0.0.1", port))
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        check(create_app(settings(f"http://127.0.0.1:{port}/")), Row((), 503, UNAVAILABLE, 0, (5, 5)))
        for filler in fillers:
            filler.close()


def test_name_resolution_failure() -> None:
    check(create_app(settings("http://no-such-host.invalid/")), Row((), 503, UNAVAILABLE, 0, (5, 5)))


def test_reset_on_a_reused_connection(upstream: FaultServer) -> None:
    app = create_app(settings(upstream.url))
    upstream.play(GOOD)
    check(app, Row((), 200, None, 1))
    upstream.play(Step(cut_at=0, reset=True), GOOD)
    check(app, Row((), 200, None, 2))


LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("names", "not_after", "trusted", "status"),
    [
        pytest.param(["localhost"], None, True, 200, id="sound"),
        pytest.param(["localhost"], None, False, 503, id="unknown authority"),
        pytest.param(["elsewhere.example"], None, True, 503, id="wrong name"),
        pytest.param(["localhost"], LONG_AGO, True, 503, id="expired"),
    ],
)
def test_tls(
    names: list[str],
    not_after: dt.datetime | None,
    trusted: bool,
    status: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert(*names, not_after=not_after)
    ca_file = str(tmp_path / "ca.pem") if trusted else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with fault_server.running(tls=context) as server:
        server.play(GOOD)
        app = create_app(settings(server.url, ca_file=ca_file))
        check(
            app, Row((), status, None if status == 200 else UNAVAILABLE, 0, None if status == 200 else (5, 5))
        )


def test_plain_http_where_tls_was_asked_for(upstream: FaultServer) -> None:
    app = create_app(settings(upstream.url.replace("http:", "https:")))
    check(app, Row((), 503, UNAVAILABLE, 0, (5, 5)))


@pytest.mark.parametrize("row", [r for r in ROWS.values() if r.status != 200], ids=lambda row: row.code)
def test_with_a_stand_in_each_fault_is_a_degraded_answer(row: Row, upstream: FaultServer) -> None:
    upstream.play(*row.steps)
    chosen = settings(upstream.url)
    app = create_app(replace(chosen, classifier=replace(chosen.classifier, on_unavailable="embedded")))
    response = app.test_client().post("/classify", json={"text": "immigrants are vermin", "explain": True})
    body = response.get_json()
    assert response.status_code == 200
    assert (body["decision"], body["degraded"], body["classifier"]["name"]) == ("review", True, "embedded")
    assert body["explanation"][0]["label"] == "H"
    upstream.play(reply(scores(OK=0.95)))
    body = (
        app.test_client()
        .post("/classify", json={"text": "immigrants are vermin", "explain": True})
        .get_json()
    )
    assert (body["decision"], body["degraded"], body["classifier"]["name"]) == ("allow", False, "koala")
    assert body["explanation"] is None


def test_readiness_tells_degraded_while_the_stand_in_answers(upstream: FaultServer) -> None:
    upstream.play(Step(500))
    chosen = settings(upstream.url)
    with_stand_in = replace(chosen, classifier=replace(chosen.classifier, on_unavailable="embedded"))
    client = create_app(with_stand_in).test_client()
    response = client.get("/readyz")
    assert (response.status_code, response.get_json()) == (
        200,
        {"status": "degraded", "reason": UNAVAILABLE},
    )
    assert 'content_moderator_readiness{state="degraded"} 1.0' in client.get("/metrics").text
    upstream.play(GOOD)
    client.post("/classify", json={"text": "a text"})
    assert client.get("/readyz").get_json() == {"status": "ready"}


def test_a_sleeping_model_is_woken_at_start(upstream: FaultServer) -> None:
    upstream.play(GOOD)
    chosen = settings(upstream.url)
    app = create_app(replace(chosen, readiness=ReadinessSettings(probe_at_start=True)))
    deadline = time.monotonic() + 10
    while not upstream.received and time.monotonic() < deadline:
        time.sleep(0.01)
    assert app.test_client().get("/readyz").status_code == 200
    assert len(upstream.received) == 1
