"""A server that answers Redis commands with arbitrary bytes: a cache miss for callers, and no rate limit."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.config.settings import (
    CacheSettings,
    LimitsSettings,
    Secret,
    Settings,
    SharedCacheSettings,
    SimilarCacheSettings,
)
from tests.classifiers.wrappers.test_caching import KOALA, Oracle

RECORD = json.dumps({"v": 1, "at": 4e9, "scores": [0.99] + [0.001] * 8}).encode()


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def array(*values: bytes) -> bytes:
    return b"*%d\r\n" % len(values) + b"".join(values)


REPLIES = {
    "nothing": b"",
    "OK": b"+OK\r\n",
    "an empty status": b"+\r\n",
    "a number": b":1\r\n",
    "a negative number": b":-7\r\n",
    "a number of very many digits": b":" + b"9" * 5000 + b"\r\n",
    "no number": b":abc\r\n",
    "nil": b"$-1\r\n",
    "a text": bulk(b"hello"),
    "an empty text": bulk(b""),
    "a record": bulk(b"V" + RECORD),
    "a text longer than it says": b"$2\r\nhello\r\n",
    "a text shorter than it says": b"$50\r\nhello\r\n",
    "a text of a negative length": b"$-5\r\nhello\r\n",
    "a text of a huge length": b"$99999999999\r\nhello\r\n",
    "a text of no length": b"$x\r\nhello\r\n",
    "no list": b"*-1\r\n",
    "an empty list": b"*0\r\n",
    "a list of a negative length": b"*-9\r\n",
    "a list of a huge length": b"*99999999\r\n:1\r\n",
    "a list of no length": b"*x\r\n",
    "nils": array(b"$-1\r\n", b"$-1\r\n"),
    "numbers": array(b":1\r\n", b":2\r\n"),
    "one number": array(b":1\r\n"),
    "one nil": array(b"$-1\r\n"),
    "one status": array(b"+OK\r\n"),
    "one empty text": array(bulk(b"")),
    "one text": array(bulk(b"hello")),
    "two texts": array(bulk(b"V" + RECORD), bulk(b"V" + RECORD)),
    "three texts": array(bulk(b"M"), bulk(b"M"), bulk(b"M")),
    "very many texts": array(*[bulk(b"M")] * 500),
    "a list in a list": array(array(bulk(b"M"))),
    "lists in lists": b"*1\r\n" * 100 + b":1\r\n",
    "very deep lists": b"*1\r\n" * 5000 + b":1\r\n",
    "an error in a list": array(b"-ERR x\r\n"),
    "a text and a list": array(bulk(b"M"), array(bulk(b"M"))),
    "a text and an error": array(bulk(b"M"), b"-ERR x\r\n"),
    "an error": b"-ERR something\r\n",
    "an empty error": b"-\r\n",
    "no script": b"-NOSCRIPT No matching script.\r\n",
    "loading": b"-LOADING Redis is loading\r\n",
    "no rights": b"-NOPERM this user has no permissions\r\n",
    "a password is needed": b"-NOAUTH Authentication required.\r\n",
    "a wrong password": b"-WRONGPASS invalid\r\n",
    "wrong kind": b"-WRONGTYPE Operation against a key\r\n",
    "moved": b"-MOVED 3999 127.0.0.1:6381\r\n",
    "asked elsewhere": b"-ASK 3999 127.0.0.1:6381\r\n",
    "read only": b"-READONLY You can't write\r\n",
    "full": b"-OOM command not allowed\r\n",
    "busy": b"-BUSY Redis is busy\r\n",
    "the master is down": b"-MASTERDOWN Link with MASTER is down\r\n",
    "try again": b"-TRYAGAIN Multiple keys\r\n",
    "the cluster is down": b"-CLUSTERDOWN The cluster is down\r\n",
    "an error that is not UTF-8": b"-ERR \xff\xfe\r\n",
    "a map": b"%1\r\n+a\r\n:1\r\n",
    "a set": b"~1\r\n+a\r\n",
    "true": b"#t\r\n",
    "a double": b",1.5\r\n",
    "null": b"_\r\n",
    "a big number": b"(12345678901234567890\r\n",
    "a verbatim text": b"=8\r\ntxt:abcd\r\n",
    "a push": b">2\r\n+message\r\n+a\r\n",
    "an attribute": b"|1\r\n+a\r\n+b\r\n:1\r\n",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "garbage": bytes(range(256)),
    "no line end": b":1",
    "line feeds only": b":1\n:1\n",
    "two answers": b"+OK\r\n+OK\r\n",
    "an answer and half": b"*1\r\n$1\r\nM\r\n*1\r\n$1\r\n",
}


@contextmanager
def odd_server(reply: bytes) -> Iterator[int]:
    """Answer every command with the same bytes."""
    stop = threading.Event()

    def converse(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(0.2)
            while not stop.is_set():
                try:
                    if not connection.recv(65536):
                        return
                    connection.sendall(reply)
                except TimeoutError:
                    continue
                except OSError:
                    return

    def accept() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            threads.append(threading.Thread(target=converse, args=(connection,)))
            threads[-1].start()

    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            for each in (thread, *threads):
                each.join(5)


def client(port: int) -> FlaskClient:
    url = f"redis://127.0.0.1:{port}/0"
    chosen = Settings(
        cache=CacheSettings(
            shared=SharedCacheSettings(url=url, timeout_seconds=0.1, pause_seconds=0.01, lease_seconds=0.05),
            similar=SimilarCacheSettings(mode="on", sample_rate=0.0),
        ),
        limits=LimitsSettings(rate="100/hour", url=url, timeout_seconds=0.1, pause_seconds=0.01),
        cache_secret=Secret("a-secret-of-the-tests-own"),
    )
    oracle = Oracle(["the harmful text of this test is here"])
    return create_app(chosen, classifier=oracle).test_client()


@pytest.mark.parametrize("name", REPLIES)
def test_whatever_the_server_says_is_a_miss(name: str) -> None:
    with odd_server(REPLIES[name]) as port:
        asking = client(port)
        for number in range(3):
            answer = asking.post("/classify", json={"text": f"a harmless text of this test, number {number}"})
            assert answer.status_code == 200, answer.get_json()
            assert answer.get_json()["decision"] == "allow"
            assert answer.get_json()["classifier"]["name"] == KOALA.name
        harmful = asking.post("/classify", json={"text": "the harmful text of this test is here"}).get_json()
        assert harmful["decision"] == "block"


def test_table_is_long_enough() -> None:
    assert len(REPLIES) >= 65
