"""The shared cache on a real server, whose failures never affect callers."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.cache import records
from content_moderator.cache.encryption import AesGcmEncryption, DecryptionError, NoEncryption
from content_moderator.cache.records import Record, read_record, write_record
from content_moderator.cache.redis_client import FAILURES, RedisClient
from content_moderator.cache.redis_store import PREFIX, RedisStore
from content_moderator.config.settings import (
    CacheSettings,
    Secret,
    Settings,
    SharedCacheSettings,
    SimilarCacheSettings,
)
from content_moderator.domain.errors import ClassifierUnavailableError, ConfigurationError
from content_moderator.observability import metrics
from tests.classifiers.wrappers.test_caching import COPY, EXACT, KOALA, MISS, TEXT, Oracle, cache_of
from tests.support import fault_server, redis_server
from tests.support.fake import HARMLESS, Clock
from tests.support.fault_server import reply, scores, wait_until
from tests.support.live import serving
from tests.support.redis_server import RedisServer

OTHER = "There is soup in the fridge if you are hungry later tonight"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server.running() as running:
        yield running


def settings(server: RedisServer, *, mode: str = "off", secret: str | None = None, **shared: Any) -> Settings:
    chosen: dict[str, Any] = {"url": server.url, "timeout_seconds": 0.5} | shared
    return Settings(
        cache=CacheSettings(
            similar=SimilarCacheSettings(mode=mode, sample_rate=0.0),  # type: ignore[arg-type]
            shared=SharedCacheSettings(**chosen),
        ),
        cache_secret=Secret(secret) if secret else None,
        cache_password=Secret(server.password) if server.password else None,
    )


def workers(chosen: Settings, count: int = 2) -> list[tuple[FlaskClient, Oracle]]:
    """Return several stores that only share the server."""
    oracles = [Oracle() for _ in range(count)]
    return [(create_app(chosen, classifier=oracle).test_client(), oracle) for oracle in oracles]


def failures() -> dict[str, float]:
    return {reason: metrics.SHARED_FAILURES.labels(reason)._value.get() for reason in FAILURES}


def failed_since(before: dict[str, float]) -> dict[str, float]:
    return {reason: count - before[reason] for reason, count in failures().items() if count != before[reason]}


def test_what_one_worker_has_asked_another_knows(server: RedisServer) -> None:
    (one, _), (other, unasked) = workers(settings(server))
    assert cache_of(one, TEXT) == MISS
    before = server.calls()
    assert cache_of(other, TEXT) == EXACT
    assert server.calls() - before == 1, "one round trip"
    assert cache_of(other, TEXT) == EXACT
    assert server.calls() - before == 1, "from now on it is remembered here too"
    assert unasked.seen == []


def test_age_is_that_of_the_answer_not_of_the_copy(server: RedisServer) -> None:
    (one, _), (other, _) = workers(settings(server))
    cache_of(one, TEXT)
    [key] = server.keys("r")
    with server.client as client:
        value = orjson.loads(client.get(key))
        client.set(key, orjson.dumps(value | {"at": value["at"] - 100}))
    response = other.post("/classify", json={"text": TEXT})
    assert 100 <= int(response.headers["Age"]) < 110
    with server.client as client:
        client.set(key, orjson.dumps(value | {"at": value["at"] - 4000}))
    [(third, asked)] = workers(settings(server), 1)
    assert cache_of(third, TEXT) == MISS, "too old"
    assert asked.seen == [TEXT]


def test_near_copies_are_shared_too(server: RedisServer) -> None:
    (one, _), (other, unasked) = workers(settings(server, mode="on", secret="sesame"))
    cache_of(one, TEXT)
    cache_of(one, OTHER)
    before = server.calls()
    assert cache_of(other, COPY) == {"status": "similar", "distance": 1}
    assert server.calls() - before == 2, "one look-up for identical texts, one for similar"
    assert cache_of(other, "I will kill you, said the goose to the fox")["status"] == "miss"
    assert unasked.seen == ["I will kill you, said the goose to the fox"]


def test_guard_stands_before_shared_near_copies(server: RedisServer) -> None:
    (one, _), (other, asked) = workers(settings(server, mode="on", secret="sesame"))
    cache_of(one, "I will kiss you tonight when I get home from work")
    assert cache_of(other, "I will kill you tonight when I get home from work") == MISS
    assert len(asked.seen) == 1


@pytest.mark.parametrize("secret", [None, "sesame"], ids=["plain", "sealed"])
def test_no_text_can_be_read_on_the_server(server: RedisServer, secret: str | None) -> None:
    (one, _), (other, _) = workers(settings(server, mode="on", secret=secret))
    cache_of(one, TEXT)
    assert len(server.keys("r")) == 1
    assert bool(server.keys("s")) is bool(secret)
    with server.client as client:
        everything = b"".join(key + client.get(key) for key in client.keys("*"))
    for piece in (TEXT[i : i + 6] for i in range(len(TEXT) - 6)):
        assert piece.lower().encode() not in everything.lower()
    assert cache_of(other, COPY)["status"] == ("similar" if secret else "miss")


def test_other_secret_shares_nothing(server: RedisServer) -> None:
    [(one, _)] = workers(settings(server, secret="sesame"), 1)
    cache_of(one, TEXT)
    for secret in (None, "open"):
        [(other, _)] = workers(settings(server, secret=secret), 1)
        assert cache_of(other, TEXT) == MISS


def test_hundred_identical_texts_in_two_processes_are_one_call(tmp_path: Path, server: RedisServer) -> None:
    """gunicorn with two workers, a slow model, a hundred callers at once."""
    with fault_server.running() as upstream:
        upstream.play(reply(scores(), delay_seconds=0.4))
        variables = {
            "MODERATOR__CLASSIFIER__NAME": "koala",
            "MODERATOR__CLASSIFIER__CONFIG__URL": upstream.url,
            "MODERATOR__READINESS__PROBE_AT_START": "false",
            "MODERATOR__CACHE__SHARED__URL": server.url,
            "MODERATOR__CACHE__SHARED__TIMEOUT_SECONDS": "1",
            "BEARER_TOKEN": "x",
            "THREADS": "128",
        }
        with serving(tmp_path / "log", variables) as live, ThreadPoolExecutor(100) as threads:
            answers = [
                threads.submit(requests.post, f"{live.url}/classify", json={"text": TEXT}, timeout=20)
                for _ in range(100)
            ]
            assert {each.result().status_code for each in answers} == {200}
            assert upstream.texts() == [TEXT]


def test_who_waits_goes_on_when_the_other_fails(server: RedisServer) -> None:
    (one, failing), (other, working) = workers(settings(server))
    failing.error = ClassifierUnavailableError("away")
    assert one.post("/classify", json={"text": TEXT}).status_code == 503
    assert server.keys("l") == []
    started = time.monotonic()
    assert cache_of(other, TEXT) == MISS
    assert time.monotonic() - started < 1
    assert working.seen == [TEXT]


def test_who_waits_for_one_that_died_waits_no_longer_than_the_lease(server: RedisServer) -> None:
    clock = Clock()
    shared = RedisStore(
        settings(server, lease_seconds=1.5), KOALA, RedisClient(settings(server).cache.shared), clock=clock,
        sleep=clock.sleep,
    )  # fmt: skip
    assert shared.get([TEXT]).leased == [0]
    found = shared.get([TEXT, OTHER])
    assert found.leased == [1], "the first is another's"
    assert found.records == [None, None]
    assert 1.3 < sum(clock.slept) <= 1.5
    shared.release([TEXT, OTHER])
    assert shared.get([TEXT]).leased == [0]


def test_no_lease_is_taken_where_none_is_wanted(server: RedisServer) -> None:
    (one, failing), _ = workers(settings(server, lease_seconds=0.0))
    failing.error = ClassifierUnavailableError("away")
    one.post("/classify", json={"text": TEXT})
    assert server.keys("l") == []


def test_server_away_and_back(server: RedisServer) -> None:
    """
    Killed, absent, started again: misses, one failure for each pause, no errors, and then the cache is shared
    again.
    """
    before = failures()
    (one, asked), (other, _) = workers(settings(server, pause_seconds=0.2))
    cache_of(one, TEXT)
    server.kill()
    for number in range(5):
        assert cache_of(one, f"{OTHER} {number}") == MISS
    assert failed_since(before) == {"unavailable": 1}, "then it is left alone"
    assert len(asked.seen) == 6
    server.start()

    def shares() -> bool:
        text = f"{OTHER} {time.monotonic()}"
        cache_of(one, text)
        return cache_of(other, text) == EXACT

    wait_until(shares)


def test_server_that_answers_nothing_costs_one_time_out(server: RedisServer) -> None:
    before = failures()
    (one, _), _ = workers(settings(server, timeout_seconds=0.05, pause_seconds=30))
    cache_of(one, TEXT)
    server.pause()
    for number in range(20):
        assert cache_of(one, f"{OTHER} {number}") == MISS
    assert failed_since(before) == {"timeout": 1}, "and not twenty time-outs"


def test_full_server_still_tells_what_it_knows(server: RedisServer) -> None:
    (one, _), (other, _) = workers(settings(server))
    cache_of(one, TEXT)
    with server.client as client:
        client.config_set("maxmemory", 1)
        client.config_set("maxmemory-policy", "noeviction")
    before = failures()
    assert cache_of(other, TEXT) == EXACT
    assert cache_of(other, OTHER) == MISS
    assert failed_since(before) == {"full": 1}
    with server.client as client:
        client.config_set("maxmemory", 0)
    assert cache_of(other, f"{OTHER}, I say") == MISS
    assert cache_of(one, f"{OTHER}, I say") == EXACT


def poison(value: dict[str, Any], **changes: Any) -> bytes:
    return orjson.dumps(value | changes)


@pytest.mark.parametrize("secret", [None, "sesame"], ids=["plain", "sealed"])
def test_poisoned_records_are_misses(server: RedisServer, secret: str | None) -> None:
    [(one, _)] = workers(settings(server, mode="on", secret=secret), 1)
    cache_of(one, TEXT)
    [key] = server.keys("r")
    good = {"v": records.VERSION, "at": time.time(), "scores": [0.1] * 9}
    values: list[bytes] = [
        b"{",
        b"[]",
        b"\xff\xfe",
        b"x" * 70_000,
        poison(good, v=99),
        poison(good, scores=[0.1] * 8),
        poison(good, scores=[7.0, *[0.1] * 8]),
        poison(good, scores=["0.1"] * 9),
        poison(good, at="now"),
        poison(good, text=7),
    ]
    for value in values:
        [(other, asked)] = workers(settings(server, mode="on", secret=secret, lease_seconds=0.0), 1)
        with server.client as client:
            client.set(key, value)
        before = failures()
        assert cache_of(other, TEXT) == MISS
        assert failed_since(before)["poisoned"] >= 1
        assert asked.seen == [TEXT]
    with server.client as client:
        for name in (key, *server.keys("s")):
            client.delete(name)
            client.rpush(name, "a list")
    [(other, asked)] = workers(settings(server, mode="on", secret=secret), 1)
    assert cache_of(other, TEXT) == MISS
    assert cache_of(other, COPY)["status"] == "similar", "from its own memory"


def test_segment_with_rubbish_leads_nowhere(server: RedisServer) -> None:
    (one, _), (other, _) = workers(settings(server, mode="on", secret="sesame"))
    cache_of(one, TEXT)
    with server.client as client:
        for name in server.keys("s"):
            client.set(name, b"rubbish that is as long as two or three names of texts are, or so")
    assert cache_of(other, COPY) == MISS


def test_segments_lead_to_the_newest_texts_only(server: RedisServer) -> None:
    [(one, _)] = workers(settings(server, mode="on", secret="sesame"), 1)
    for number in range(100, 150):
        cache_of(
            one, f"We say the same all day long, and then word {'abcdefghij'[number % 10] * 9} comes {number}"
        )
    with server.client as client:
        longest = max(client.strlen(name) for name in server.keys("s"))
    assert longest <= 32 * 20


def test_more_at_once_than_connections_is_a_miss(server: RedisServer) -> None:
    before = failures()
    line = RedisClient(settings(server, max_connections=1).cache.shared)
    shared = RedisStore(settings(server), KOALA, line)
    taken = line._client.connection_pool.get_connection()
    assert shared.get([TEXT]).records == [None]
    assert failed_since(before) == {"busy": 1}
    line._client.connection_pool.release(taken)
    assert shared.get([TEXT]).leased == [0]


def test_server_that_still_loads_is_left_alone(tmp_path: Path) -> None:
    before = failures()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        line = RedisClient(SharedCacheSettings(url=url, timeout_seconds=2, pause_seconds=30))

        def load() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"-LOADING Redis is loading the dataset in memory\r\n")
                connection.recv(1)

        thread = threading.Thread(target=load)
        thread.start()
        shared = RedisStore(Settings(), KOALA, line)
        assert [shared.get([TEXT]).records for _ in range(3)] == [[None]] * 3
        line._client.close()
        thread.join(5)
    assert failed_since(before) == {"unavailable": 1}


def test_refused_password_is_no_error(tmp_path: Path) -> None:
    with redis_server.running(password="right") as server:
        before = failures()
        [(one, _)] = workers(settings(server), 1)
        assert cache_of(one, TEXT) == MISS
        assert not failed_since(before)
        server.password = None
        [(other, _)] = workers(settings(server), 1)
        assert cache_of(other, TEXT) == MISS
        server.password = "right"
        assert failed_since(before)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("http://127.0.0.1", "must be a redis://", id="scheme"),
        pytest.param("redis://:x@127.0.0.1", "CACHE_PASSWORD", id="password"),
        pytest.param("redis://me@127.0.0.1", "CACHE_PASSWORD", id="user"),
        pytest.param("redis://127.0.0.1:port", "must be a redis://", id="port"),
    ],
)
def test_bad_urls_stop_the_start(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as error:
        create_app(Settings(cache=CacheSettings(shared=SharedCacheSettings(url=url))), classifier=Oracle())
    assert "cache.shared.url" in str(error.value)
    assert ":x@" not in str(error.value)


def test_records_come_back_and_seals_hold() -> None:
    record = Record(dict(HARMLESS), 17.5, "a text")
    assert read_record(write_record(record)) == record
    assert json.loads(write_record(Record(dict(HARMLESS), 1.0))).keys() == {"v", "at", "scores"}
    seal = AesGcmEncryption(b"sesame")
    sealed = seal.encrypt(b"data", b"name")
    assert seal.decrypt(sealed, b"name") == b"data"
    assert seal.encrypt(b"data", b"name") != sealed
    for broken, name in (
        (sealed, b"other"),
        (sealed[:-1], b"name"),
        (b"", b"name"),
        (b"\0" + sealed[1:], b"name"),
    ):
        with pytest.raises(DecryptionError):
            seal.decrypt(broken, name)
    with pytest.raises(DecryptionError):
        AesGcmEncryption(b"other").decrypt(sealed, b"name")
    assert NoEncryption().decrypt(NoEncryption().encrypt(b"data", b"name"), b"name") == b"data"


def test_keys_name_the_version() -> None:
    assert PREFIX.endswith(f":{records.VERSION}:".encode())
