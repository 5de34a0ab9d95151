"""Overload, with real processes: an upstream that fails for everybody, and more work than possible."""

import http.client
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.fault_server import FaultServer, Step, reply, scores
from tests.support.live import Live, serving

NINE = scores(V=0.9)


@dataclass(frozen=True)
class Answer:
    """What a client saw."""

    at: float
    seconds: float
    status: int
    code: str
    retry_after: str | None


def variables(upstream: FaultServer, **more: str) -> dict[str, str]:
    return {
        "MODERATOR__CLASSIFIER__NAME": "koala",
        "MODERATOR__CLASSIFIER__CONFIG__URL": upstream.url,
        "MODERATOR__LOGGING__REQUESTS": "false",
        "MODERATOR__READINESS__PROBE_AT_START": "false",
        "BEARER_TOKEN": "x",
        "WEB_CONCURRENCY": "2",
        "THREADS": "96",
        **more,
    }


class Client:
    """One kept-alive connection for each thread."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._all: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """Close every connection; the next request of each thread opens another."""
        for connection in self._all:
            connection.close()

    def classify(self, live: Live, text: str, began: float) -> Answer:
        """Send one text."""
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=30)
            self._mine.connection = connection
            self._all.append(connection)
        started = time.monotonic()
        connection.request(
            "POST", "/classify", json.dumps({"text": text}), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        body = json.loads(response.read())
        seconds = time.monotonic() - started
        code = body.get("code", body.get("decision"))
        return Answer(started - began, seconds, response.status, code, response.getheader("Retry-After"))


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.close()


def at_rate(rate: float, seconds: float, send: Callable[[int], Answer]) -> list[Answer]:
    """Send *rate* requests a second, whatever becomes of the earlier ones."""
    with ThreadPoolExecutor(96) as pool:
        began = time.monotonic()
        sent = []
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            sent.append(pool.submit(send, number))
        return [each.result(60) for each in sent]


@pytest.mark.timeout(180)
def test_an_upstream_that_always_fails_is_not_stormed(
    upstream: FaultServer, client: Client, tmp_path: Path
) -> None:
    upstream.play(Step(500, b"<html>down</html>"))
    with serving(tmp_path / "log", variables(upstream)) as live:
        began = time.monotonic()
        answers = at_rate(200, 20, lambda number: client.classify(live, f"text {number}", began))
        calls_in_storm = len(upstream.received)
        metrics = requests.get(f"{live.url}/metrics", timeout=10).text
        upstream.play(reply(NINE))
        recovered = wait_for_recovery(live, client)
    codes = Counter(answer.code for answer in answers)
    assert set(codes) == {"classifier_unavailable", "classifier_circuit_open"}, codes
    assert {answer.status for answer in answers} == {503}
    # Each of the two workers opens for itself; texts that shared a call make it fewer than 1.2 a request.
    trials = 2 * (20 / 5 + 1)
    asked = codes["classifier_unavailable"]
    assert calls_in_storm <= 1.2 * asked + trials, (calls_in_storm, asked)
    assert asked < 0.1 * len(answers), "after the breaker opened about none was sent"
    slowest = sorted(answer.seconds for answer in answers)
    # Not a measurement: with retries for all and no breaker these take seconds.
    assert slowest[int(0.99 * len(slowest))] < 1.5
    opened = re.search(r'breaker_transitions_total\{state="open"\} (\S+)', metrics)
    assert opened is not None
    assert 1 <= float(opened[1]) <= trials
    assert all(int(answer.retry_after or 0) >= 1 for answer in answers)
    assert recovered < 15


def wait_for_recovery(live: Live, client: Client) -> float:
    """Ask until twenty answers in a row are good: both workers'."""
    began = time.monotonic()
    good = 0
    while good < 20 and time.monotonic() - began < 30:
        good = good + 1 if client.classify(live, f"again {good} {began}", began).status == 200 else 0
        client.close()
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.timeout(120)
def test_more_work_than_can_be_done_is_refused_at_once(
    upstream: FaultServer, client: Client, tmp_path: Path
) -> None:
    """While all that may wait waits for an upstream that never answers, health and metrics stay quick."""
    upstream.play(Step(hang=True))
    # One worker: of two the kernel may give one nearly all connections, and then the other has room for long.
    small = {"MODERATOR__CLASSIFIER__BATCHING__MAX_WAITING": "10", "WEB_CONCURRENCY": "1"}
    service = serving(tmp_path / "log", variables(upstream, **small), workers=1)
    with service as live, ThreadPoolExecutor(60) as pool:
        began = time.monotonic()
        waiting = [pool.submit(client.classify, live, f"text {n}", began) for n in range(60)]
        time.sleep(1.0)
        refused = [client.classify(live, f"more {n}", began) for n in range(20)]
        quick = []
        for path in ("livez", "metrics", "healthcheck") * 5:
            started = time.monotonic()
            assert requests.get(f"{live.url}/{path}", timeout=10).status_code == 200
            quick.append(time.monotonic() - started)
        assert "requests_shed_total 0.0" not in requests.get(f"{live.url}/metrics", timeout=10).text
        answers = [each.result(60) for each in waiting]
    overloaded = [answer for answer in [*answers, *refused] if answer.code == "overloaded"]
    assert len(overloaded) == 60 + 20 - 10, "it keeps ten"
    assert {answer.retry_after for answer in overloaded} == {"1"}
    # Not measurements: what waits takes 8 s.
    assert sorted(answer.seconds for answer in overloaded)[len(overloaded) // 2] < 1
    assert max(quick) < 2
    assert {answer.code for answer in answers} - {"overloaded"} <= {
        "classifier_deadline_exceeded",
        "classifier_unavailable",
    }
    assert max(answer.seconds for answer in answers) < 8 + 3


@pytest.mark.timeout(120)
def test_a_hundred_identical_requests_are_one_call(
    upstream: FaultServer, client: Client, tmp_path: Path
) -> None:
    upstream.play(reply(NINE, delay_seconds=1.0))
    with serving(tmp_path / "log", variables(upstream)) as live, ThreadPoolExecutor(80) as pool:
        began = time.monotonic()
        asked = [pool.submit(client.classify, live, "the same text", began) for _ in range(80)]
        answers = [each.result(60) for each in asked]
    assert {answer.status for answer in answers} == {200}
    assert len(upstream.received) <= 2 * 2, "one for each worker, and one more for who came late"
