"""Rate limits: each text is counted once, by all workers together, and no request is refused by mistake."""

import itertools
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from limits import RateLimitItem
from werkzeug.test import TestResponse

from content_moderator.access import rate_limits as limit
from content_moderator.access.access_control import network_of
from content_moderator.access.api_key import make_key
from content_moderator.access.api_keys import ApiKeys
from content_moderator.access.rate_limits import RateLimiter, build_rate_limiter, parse_limits
from content_moderator.access.tenants import load_tenants
from content_moderator.app import create_app
from content_moderator.config.settings import AuthSettings, LimitsSettings, Settings, TenantsSettings
from content_moderator.domain.errors import ConfigurationError, RateLimitedError
from content_moderator.observability import metrics
from tests.support.fake import FakeClassifier
from tests.support.live import serving
from tests.support.redis_server import RedisServer
from tests.support.redis_server import running as redis_running

TEXT = {"text": "one"}
HOUR = parse_limits("5/hour", "x")


def client_with(tmp_path: Path, fake: FakeClassifier | None = None, **limits: Any) -> FlaskClient:
    settings = Settings(limits=LimitsSettings(**{"rate": "5/hour"} | limits))
    return create_app(settings, classifier=fake or FakeClassifier()).test_client()


def ask(
    client: FlaskClient, key: str | None = None, address: str = "192.0.2.1", **request: Any
) -> TestResponse:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return client.post(
        request.get("path", "/classify"),
        json=request.get("json", TEXT),
        headers=headers,
        environ_base={"REMOTE_ADDR": address},
    )


def test_what_is_left_is_told_and_then_refused(tmp_path: Path, fake: FakeClassifier) -> None:
    client = client_with(tmp_path, fake)
    for taken in range(1, 6):
        answer = ask(client)
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Policy"] == '"per-hour";q=5;w=3600'
        told = re.fullmatch(r'"per-hour";r=(\d);t=(\d+)', answer.headers["RateLimit"])
        assert told is not None
        assert int(told[1]) == 5 - taken
        assert 1 <= int(told[2]) <= 3600
        assert answer.headers["x-ratelimit-limit-requests"] == "5"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(5 - taken)
        assert answer.headers["x-ratelimit-reset-requests"] == f"{told[2]}s"
    refused = ask(client)
    assert (refused.status_code, refused.get_json()["code"]) == (429, "rate_limited")
    assert refused.headers["RateLimit"].startswith('"per-hour";r=0;t=')
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    assert len(fake.seen) == 1, "answers from memory count as well"


@pytest.mark.parametrize(
    ("path", "json"),
    [
        pytest.param("/classify/batch", {"texts": ["a", "b", "c"]}, id="batch"),
        pytest.param("/v1/moderations", {"input": ["a", "b", "c"]}, id="moderations"),
    ],
)
def test_request_counts_as_many_times_as_it_has_texts(path: str, json: Any, tmp_path: Path) -> None:
    client = client_with(tmp_path)
    first = ask(client, path=path, json=json)
    assert (first.status_code, first.headers["x-ratelimit-remaining-requests"]) == (200, "2")
    assert ask(client, path=path, json=json).status_code == 429


def test_request_that_is_larger_than_the_limit_is_told_so(tmp_path: Path) -> None:
    client = client_with(tmp_path)
    refused = ask(client, path="/classify/batch", json={"texts": ["a"] * 7})
    assert refused.status_code == 429
    assert refused.get_json()["detail"] == "The request has more texts than your rate limit allows at once."
    assert "Retry-After" not in refused.headers


def test_openai_and_google_read_it_in_their_words(tmp_path: Path) -> None:
    client = client_with(tmp_path, rate="1/hour")
    ask(client)
    openai = ask(client, path="/v1/moderations", json={"input": "a"})
    assert (openai.status_code, openai.get_json()["error"]["type"]) == (429, "rate_limit_error")
    assert openai.headers["X-Should-Retry"] == "false", "an hour is longer than those clients wait"
    google = ask(client, path="/v1alpha1/comments:analyze", json={})
    assert (google.status_code, google.get_json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")


def test_nothing_but_judging_is_limited(tmp_path: Path) -> None:
    client = client_with(tmp_path, rate="1/hour")
    ask(client)
    for path in ("/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"):
        with client.get(path) as answer:
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers
    assert client.options("/classify").status_code == 200
    assert ask(client).status_code == 429


def test_tightest_of_several_limits_is_told(tmp_path: Path) -> None:
    answer = ask(client_with(tmp_path, rate="100/second; 2/5 minute"))
    assert answer.headers["RateLimit-Policy"] == '"per-second";q=100;w=1, "per-5-minute";q=2;w=300'
    assert answer.headers["x-ratelimit-limit-requests"] == "2"


def test_asking_too_fast_costs_nothing_of_the_day(tmp_path: Path) -> None:
    """The shortest window refuses first, whatever the order of the limits."""
    client = client_with(tmp_path, rate="20/day; 2/hour")
    answers = [ask(client) for _ in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 2 + [429] * 8
    assert '"per-day";r=18;' in answers[-1].headers["RateLimit"]


def test_limit_that_is_written_twice_is_one(tmp_path: Path) -> None:
    client = client_with(tmp_path, rate="2/hour; 2/hour; 2/1 hour")
    assert [ask(client).status_code for _ in range(3)] == [200, 200, 429]


TENANTS = """
tenants:
  small: {rate_limit: 2/hour}
  free: {rate_limit: null}
"""


class Locked:
    """A service with keys."""

    def __init__(self, tmp_path: Path, **limits: Any) -> None:
        ring = ApiKeys([])
        self.keys: dict[str, str] = {}
        for name in ("small", "small 2", "free", "other"):
            self.keys[name], key = make_key(name.partition(" ")[0], ["classify"], created="2026-01-01")
            ring.add(key)
        ring.save(tmp_path / "keys.json")
        (tmp_path / "tenants.yml").write_text(TENANTS)
        settings = Settings(
            auth=AuthSettings(mode="api_key", keys_file=str(tmp_path / "keys.json")),
            tenants=TenantsSettings(str(tmp_path / "tenants.yml")),
            limits=LimitsSettings(**{"rate": "5/hour"} | limits),
        )
        self.client = create_app(settings, classifier=FakeClassifier()).test_client()

    def admitted(self, name: str, count: int = 8, address: str = "192.0.2.1") -> int:
        answers = [ask(self.client, self.keys[name], address).status_code for _ in range(count)]
        assert set(answers) <= {200, 429}
        return answers.count(200)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        pytest.param("tenant", {"small": 2, "small 2": 0, "other": 5, "free": 8}, id="tenant"),
        pytest.param("key", {"small": 2, "small 2": 2, "other": 5, "free": 8}, id="key"),
        pytest.param("address", {"small": 2, "small 2": 0, "other": 3, "free": 8}, id="address"),
    ],
)
def test_whose_account_it_is(by: str, expected: dict[str, int], tmp_path: Path) -> None:
    locked = Locked(tmp_path, by=by)
    if by == "address":
        # One account, with a limit for each tenant.
        assert locked.admitted("small") == expected["small"]
        assert locked.admitted("small 2") == expected["small 2"]
        assert locked.admitted("small", address="192.0.2.2") == 2
        assert locked.admitted("free") == expected["free"]
        return
    assert {name: locked.admitted(name) for name in expected} == expected


def test_wrong_key_takes_from_nobody(tmp_path: Path) -> None:
    locked = Locked(tmp_path)
    for _ in range(10):
        assert ask(locked.client, "cm_wrong").status_code == 401
    assert locked.admitted("small") == 2


def test_callers_without_keys_are_known_by_their_network(tmp_path: Path) -> None:
    client = client_with(tmp_path, rate="1/hour")
    assert ask(client, address="2001:db8::1").status_code == 200
    assert ask(client, address="2001:db8::2").status_code == 429, "the same customer"
    assert ask(client, address="2001:db8:0:1::1").status_code == 200
    assert ask(client, address="192.0.2.7").status_code == 200
    assert ask(client, address="::ffff:192.0.2.7").status_code == 429
    assert ask(client, address="192.0.2.7:40001").status_code == 429, "some proxies add the port"
    assert ask(client, address="[2001:db8::3]:40002").status_code == 429
    assert ask(client, address="[2001:db8::3]").status_code == 429
    assert network_of("") == ""
    assert network_of("unknown") == "unknown"


@pytest.mark.parametrize("rate", ["", "often", "5", "0/minute", "-1/minute", "5/minute; often"])
def test_rate_that_is_none_is_refused(rate: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^limits\.rate: must be "):
        load_tenants(Settings(limits=LimitsSettings(rate=rate)))
    (tmp_path / "tenants.yml").write_text(f"tenants: {{a: {{rate_limit: '{rate}'}}}}")
    with pytest.raises(ConfigurationError, match=r"tenants\.a: rate_limit: must be "):
        load_tenants(Settings(tenants=TenantsSettings(str(tmp_path / "tenants.yml"))))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1", "limits.url: must be a redis://, rediss:// or unix:// URL"),
        ("redis://:x@127.0.0.1", "limits.url: must not carry credentials; use LIMITS_PASSWORD"),
    ],
)
def test_server_that_is_none_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        build_rate_limiter(LimitsSettings(url=url), None)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_running() as running:
        yield running


def test_several_count_together_on_a_server(server: RedisServer) -> None:
    limiters = [build_rate_limiter(LimitsSettings(url=server.url), None) for _ in range(3)]
    outcomes = [takes(limiter) for limiter, _ in itertools.product(limiters, range(3))]
    assert outcomes == [True] * 5 + [False] * 4
    with server.client as redis:
        names = redis.keys("*")
        assert names
        assert all(name.startswith(b"content-moderator:limit") for name in names)
        assert all(0 < redis.ttl(name) <= 7200 for name in names)


def takes(limiter: RateLimiter, who: str = "tenant:a", limits: Sequence[RateLimitItem] = HOUR) -> bool:
    try:
        limiter.take(who, limits)
    except RateLimitedError:
        return False
    return True


def test_more_who_ask_than_connections_still_count_together(server: RedisServer) -> None:
    """If all connections are in use, a request waits for one instead of counting in this process only."""
    limiter = build_rate_limiter(LimitsSettings(url=server.url, timeout_seconds=5, max_connections=2), None)
    limits = parse_limits("100/hour", "x")
    before = metrics.LIMIT_STORAGE_FAILURES._value.get()
    with ThreadPoolExecutor(16) as pool:
        admitted = list(pool.map(lambda _: takes(limiter, limits=limits), range(400)))
    assert metrics.LIMIT_STORAGE_FAILURES._value.get() == before
    assert admitted.count(True) == 100


def test_burst_is_no_breaker(server: RedisServer) -> None:
    """
    With few connections and the usual time-out: waiting for a connection is not a failure of the server.
    """
    limiter = build_rate_limiter(LimitsSettings(url=server.url, max_connections=1), None)
    limits = parse_limits("100/hour", "x")
    takes(limiter, "tenant:other", limits)
    before = metrics.LIMIT_STORAGE_FAILURES._value.get()
    with ThreadPoolExecutor(64) as pool:
        admitted = list(pool.map(lambda _: takes(limiter, limits=limits), range(600)))
    assert metrics.LIMIT_STORAGE_FAILURES._value.get() == before
    assert admitted.count(True) == 100


def test_having_no_connection_is_not_taken_for_an_breaker(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit, "WAIT_SECONDS", 0.01)
    limiter = build_rate_limiter(LimitsSettings(url=server.url, max_connections=1), None)
    assert takes(limiter)
    assert limiter._shared is not None
    pool = limiter._shared.storage.storage.connection_pool  # type: ignore[attr-defined]
    taken = pool.get_connection()
    assert takes(limiter)
    assert not limiter._breaker._lost
    pool.release(taken)


def test_count_goes_on_where_the_server_was(server: RedisServer) -> None:
    """A failure of the server does not give anybody the whole limit again."""
    limiter = build_rate_limiter(LimitsSettings(url=server.url, timeout_seconds=0.2), None)
    limits = parse_limits("10/hour", "x")
    assert [takes(limiter, limits=limits) for _ in range(7)] == [True] * 7
    server.kill()
    assert [takes(limiter, limits=limits) for _ in range(6)] == [True] * 3 + [False] * 3
    assert takes(limiter, "tenant:other", limits)


def test_server_that_is_gone_is_no_error(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter(itertools.count(0, 10)).__next__
    storage = LimitsSettings(url=server.url, timeout_seconds=0.2)
    limiter = build_rate_limiter(storage, None)
    limiter._breaker._clock = clock
    assert [takes(limiter) for _ in range(3)] == [True] * 3
    server.kill()
    assert [takes(limiter) for _ in range(5)] == [True] * 2 + [False] * 3, "each counts by itself"
    server.start()
    assert [takes(limiter) for _ in range(7)] == [True] * 5 + [False] * 2, (
        "together again, on an empty server"
    )


def test_server_that_hangs_is_left_alone(server: RedisServer) -> None:
    now = [0.0]
    limiter = build_rate_limiter(LimitsSettings(url=server.url, timeout_seconds=0.1, pause_seconds=5), None)
    limiter._breaker._clock = lambda: now[0]
    assert takes(limiter)
    server.pause()
    try:
        assert takes(limiter)
        failures = limiter._breaker._trial_at
        assert [takes(limiter) for _ in range(3)] == [True] * 3
        assert limiter._breaker._trial_at == failures, "nothing was asked"
    finally:
        server.resume()
    now[0] = 6
    assert takes(limiter)
    assert not limiter._breaker._lost


def test_server_with_a_password(tmp_path: Path) -> None:
    with redis_running(password="p4ss") as server:
        variables = {
            "MODERATOR__LIMITS__URL": server.url,
            "MODERATOR__LIMITS__RATE": "3/hour",
            "LIMITS_PASSWORD": "p4ss",
        }
        with serving(tmp_path / "log", variables) as live:
            codes = [
                requests.post(f"{live.url}/classify", json=TEXT, timeout=20).status_code for _ in range(5)
            ]
            assert codes == [200] * 3 + [429] * 2
            assert "p4ss" not in live.output
        with server.client as redis:
            assert redis.keys("*")


def test_workers_of_two_services_admit_no_more_than_the_limit(tmp_path: Path, server: RedisServer) -> None:
    """Four workers each, one server, and more requests at once than the limit allows."""
    variables = {"MODERATOR__LIMITS__URL": server.url, "MODERATOR__LIMITS__RATE": "200/hour"}
    variables["MODERATOR__LIMITS__TIMEOUT_SECONDS"] = "5"
    with ExitStack() as stack:
        lives = [
            stack.enter_context(serving(tmp_path / f"log{number}", variables, workers=4))
            for number in range(2)
        ]
        urls = [f"{lives[number % 2].url}/classify" for number in range(600)]
        with ThreadPoolExecutor(16) as pool:
            codes = list(pool.map(lambda url: requests.post(url, json=TEXT, timeout=30).status_code, urls))
    assert set(codes) == {200, 429}
    assert codes.count(200) == 200
