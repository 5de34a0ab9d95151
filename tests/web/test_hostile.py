"""
Hostile clients of the real service behind nginx: none causes a 5xx, or takes a worker, memory or the time of
others.
"""

import contextlib
import gzip
import json
import os
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from tests.support.live import Live, serving, talk
from tests.support.load import BODY, HEADERS, asking
from tests.support.nginx import Nginx, proxying
from tests.web.test_guardrails import SHAPES, shape

PATHS = ["/classify", "/classify/batch", "/v1/moderations", "/v1alpha1/comments:analyze"]
JSON = {"Content-Type": "application/json"}
GZIP = JSON | {"Content-Encoding": "gzip"}
SLOW = 200


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    variables = {
        "MODERATOR__HTTP__TRUSTED_PROXIES": "1",
        "MODERATOR__LOGGING__REQUESTS": "false",
    }
    with serving(tmp_path_factory.mktemp("live") / "log", variables) as service:
        yield service


@pytest.fixture(scope="module")
def nginx(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with proxying(tmp_path_factory.mktemp("nginx") / "nginx", live.port) as running:
        yield running


def texts() -> dict[str, str]:
    """Texts that have broken other software."""
    return {
        "expanding under NFKC": "\ufdfa" * 5000,
        "combining marks": "a" + "\u0301" * 15_000,
        "right to left": "\u202e" * 5000 + "abc",
        "invisible": "\u200b" * 19_000 + "a",
        "only invisible": "\u200b\u200d\ufeff" * 100,
        "emoji with joiners": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 3000,
        "beyond the basic plane": "\U0001f600" * 20_000,
        "private use": "\ue000" * 20_000,
        "not characters": "\ufffe\uffff\U0010ffff" * 5000,
        "ababab": "ab" * 10_000,
        "spaced letters": "a " * 10_000,
        "leetspeak": "4b3d" * 5000,
        "signs": "@$!|+" * 4000,
        "one long word": "a" * 20_000,
        "sentences": "A. " * 6600,
        "line breaks": "a\n" * 10_000,
        "NUL": "a\x00b" * 1000,
        "control characters": "".join(map(chr, range(1, 32))) * 500,
        "escapes of a terminal": "\x1b[2J\x1b]0;x\x07" * 100,
        "template": "{{7*7}} ${7*7} #{7*7} <%= 7*7 %>",
        "format": "%s%n%x {0} {__class__}",
        "SQL": "'; DROP TABLE users; --",
        "shell": "$(touch /tmp/x) `id` ; | & \n",
        "path": "../../../../etc/passwd\x00.png",
        "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "entities": "&lt;&#x3c;&#0;" * 1000,
        "log line": 'x"}\n{"event":"forged","level":"info"}',
        "headers": "a\r\nSet-Cookie: x=1\r\n\r\n<html>",
        "JNDI": "${jndi:ldap://127.0.0.1/x}",
        "pickle": "cos\nsystem\n(S'id'\ntR.",
        "surrogates as text": "\\ud800\\udfff" * 500,
        "numbers": "9" * 20_000,
        "infinities": "NaN Infinity -Infinity 1e999",
        "mathematical letters": "\U0001d400\U0001d68a" * 5000,
        "Arabic ligatures": "\ufdfb\ufdf0" * 5000,
        "Hangul": "\u1112\u1161\u11ab" * 3000,
        "ideographs": "\u3300\u3316\u334a" * 6000,
        "many scripts": "aа\u03b1\u0561\u13aa" * 4000,
        "punctuation": "..." * 6000,
        "blank letters": "a\u115f\u1160\u3164\uffa0\u2800\ufffc" * 3000,
        "tags": "a" + "".join(map(chr, range(0xE0000, 0xE0080))) * 150,
        "ideographic variations": "\u8fbb" + "".join(map(chr, range(0xE0100, 0xE01F0))) * 80,
        "unassigned": "".join(map(chr, range(0x2FE0, 0x2FF0))) * 1000,
        "marks in falling order": "a" + "\u0345" * 10_000 + "\u0334" * 10_000,
        "marks that come apart": "a" + "\u0344\u0f73" * 10_000,
        "white space of all kinds": "a\u00a0\u2003\u3000\u2028\u0085\x1c" * 3000,
        "very many spaces": "hello" + " " * 20_000 + "bye",
        "words that are spaced": "k i l l  " * 2200,
        "stretched": "kiiiiiiiiiiill " * 1300,
        "addresses": "https://example.org/?a=" + "%41" * 6000,
        "markup in depth": "<b>" * 6000,
        "base64": "QUJDREVGR0g=" * 1600,
        "bidirectional isolates": "\u2066a\u2069" * 6000,
        "half width": "\uff76\uff9e" * 10_000,
        "enclosed": "\u24d0\u1f150" * 9000,
        "quotes": "\"'\u2018\u2019\u201c\u201d" * 3000,
    }


def bodies() -> dict[str, tuple[bytes, Mapping[str, str]]]:
    """Invalid bodies."""
    bomb = b"[" + b"0," * 3_000_000 + b"0]"
    return {
        "nothing": (b"", JSON),
        "deep lists": (b"[" * 500_000, JSON),
        "deep objects": (b'{"text":' * 100_000, JSON),
        "deep and closed": (b"[" * 100_000 + b"]" * 100_000, JSON),
        "deep in text": (b'{"text":' + b"[" * 10_000 + b"]" * 10_000 + b"}", JSON),
        "very many keys": (json.dumps({f"k{n}": n for n in range(50_000)}).encode(), JSON),
        "a key many times": (b"{" + b'"text":"a",' * 50_000 + b'"text":"b"}', JSON),
        "a huge key": (b'{"' + b"k" * 900_000 + b'":1}', JSON),
        "a huge number": (b'{"text":' + b"9" * 900_000 + b"}", JSON),
        "an exponent": (b'{"text":1e999999999}', JSON),
        "escapes": (b'{"text":"' + b"\\u0041" * 100_000 + b'"}', JSON),
        "lone surrogates": (b'{"text":"\\ud800"}', JSON),
        "UTF-7": (b'{"text":"+ADw-"}', JSON | {"Content-Type": "application/json; charset=utf-7"}),
        "UTF-32": ('{"text":"a"}'.encode("utf-32"), JSON),
        "overlong UTF-8": (b'{"text":"\xc0\xaf"}', JSON),
        "a byte order mark": (b"\xef\xbb\xbf{}", JSON),
        "__proto__": (b'{"__proto__":{"text":"a"},"constructor":1}', JSON),
        "python's own": (b'{"text":{"__class__":"x"},"__init__":1}', JSON),
        "yaml": (b"!!python/object/apply:os.system [id]", {"Content-Type": "application/yaml"}),
        "xml": (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', {"Content-Type": "application/xml"}),
        "a form": (b"text=a", {"Content-Type": "application/x-www-form-urlencoded"}),
        "a multipart form": (b"--x\r\n\r\na\r\n--x--", {"Content-Type": "multipart/form-data; boundary=x"}),
        "an endless boundary": (b"x", {"Content-Type": "multipart/form-data; boundary=" + "x" * 4000}),
        "no type": (b'{"text":"a"}', {"Content-Type": ""}),
        "a huge type": (b'{"text":"a"}', {"Content-Type": "application/json;" + "a=b;" * 1500}),
        "a bomb": (gzip.compress(bomb), GZIP),
        "a bomb in a bomb": (gzip.compress(gzip.compress(bomb)), GZIP),
        "members": (gzip.compress(b" ") * 20_000, GZIP),
        "empty members": (gzip.compress(b"") * 50_000, GZIP),
        "gzip cut": (gzip.compress(b'{"text":"a"}')[:-5], GZIP),
        "gzip with more": (gzip.compress(b'{"text":"a"}') + b"more", GZIP),
        "gzip altered": (gzip.compress(b'{"text":"a"}')[:-8] + b"\x00" * 8, GZIP),
        "no gzip": (b"\x1f\x8b" + b"x" * 100, GZIP),
        "deflate": (zlib.compress(b'{"text":"a"}'), JSON | {"Content-Encoding": "deflate"}),
        "brotli": (b"x", JSON | {"Content-Encoding": "br"}),
        "encodings": (b"x", JSON | {"Content-Encoding": "gzip, gzip, gzip"}),
        "an encoding of a kilobyte": (b"x", JSON | {"Content-Encoding": "g" * 1000}),
        "no end of a text": (b'{"text":"' + b"a" * 900_000, JSON),
        "no end and very many quotes": (b'{"text":"' + b'\\"' * 500_000, JSON),
        "brackets in a text": (b'{"text":"' + b"[{,:" * 4000 + b'"}', JSON),
        "brackets in texts": (json.dumps({"texts": ["[{,:" * 2000] * 100}).encode(), JSON),
        "halves of emoji": (b'{"input":"' + b"\\ud83d" * 100_000 + b'"}', JSON),
        "backslashes": (b'{"input":"' + b"\\\\" * 400_000 + b'"}', JSON),
        "a backslash at the end": (b'{"text":"a\\', JSON),
        "a list for a text": (b'{"text":["a"],"input":{"text":"a"},"comment":["a"]}', JSON),
        "numbers for options": (b'{"text":"a","spans":1,"explain":0}', JSON),
        "a text twice": (b'{"text":"a","message":"b"}', JSON),
        "white space around": (b" \n\t" * 300_000 + b'{"text":"a"}', JSON),
        "null": (b"null", JSON),
        "a number": (b"7", JSON),
        "true": (b"true", JSON),
        "lists in lists": (b"[[[[[]]]]]", JSON),
        "huge batch": (json.dumps({"texts": ["a"] * 100_000}).encode(), JSON),
        "mixed batch": (json.dumps({"texts": [None, 7, [], {}, "", "a", True]}).encode(), JSON),
        "mixed input": (json.dumps({"input": [None, 7, [], {}, "", "a", True]}).encode(), JSON),
        "parts": (json.dumps({"input": [{"type": "text", "text": 7}, {"type": []}, {}]}).encode(), JSON),
        "attributes": (
            json.dumps({"comment": {"text": "a"}, "requestedAttributes": {"x" * 1000: {"y": []}}}).encode(),
            JSON,
        ),
    }


def headers() -> dict[str, Mapping[str, str]]:
    """Unusual headers."""
    return {
        "request id with a line break escaped": {"X-Request-ID": "a%0d%0aSet-Cookie:x"},
        "request id of 8 kB": {"X-Request-ID": "a" * 7000},
        "request id of signs": {"X-Request-ID": "<script>\"'{}"},
        "many directives": {"Cache-Control": "no-cache," * 800},
        "cache of a word": {"Cache-Control": "\xff\xfe"},
        "bearer of 7 kB": {"Authorization": "Bearer " + "x" * 7000},
        "bearer of dots": {"Authorization": "Bearer " + "." * 2000},
        "basic": {"Authorization": "Basic Og=="},
        "digest": {"Authorization": 'Digest username="a", realm="b"'},
        "no scheme": {"Authorization": "x"},
        "key of other bytes": {"X-API-Key": "\xe9" * 100},
        "accept": {"Accept": "a/b;q=2, */*;q=-1, ;;;," * 100},
        "accept-encoding": {"Accept-Encoding": "gzip;q=nan, br;q=1e999, *;q=" * 50},
        "range": {"Range": "bytes=0-,5-0,-1" * 50},
        "conditional": {"If-None-Match": '"' * 500, "If-Modified-Since": "yesterday"},
        "origin": {"Origin": "null"},
        "forged address": {"X-Forwarded-For": "127.0.0.1, ::1, x, '; --" * 50},
        "forged host": {
            "X-Forwarded-Host": "evil.example",
            "X-Original-URL": "/metrics",
            "X-Rewrite-URL": "/metrics",
        },
        "forged prefix": {"X-Forwarded-Prefix": "//evil.example", "X-Script-Name": "/x"},
        "gunicorn's own": {"SCRIPT_NAME": "/zz", "PATH_INFO": "/metrics", "REMOTE_ADDR": "127.0.0.1"},
        "schemes that differ": {"X-Forwarded-Protocol": "ssl", "X-Forwarded-Ssl": "on"},
        "method override": {"X-HTTP-Method-Override": "DELETE"},
        "cookie": {"Cookie": "a=b; " * 1000},
        "te": {"TE": "trailers, deflate;q=0.5"},
        "hop by hop": {"Connection": "close, X-Forwarded-For, X-Request-ID, Content-Length"},
        "proxy": {"Proxy": "http://127.0.0.1:9/"},
        "user agent": {"User-Agent": "() { :;}; echo x"},
        "expect": {"Expect": "100-continue"},
    }


def check(answer: requests.Response) -> None:
    assert answer.status_code < 500, answer.text[:500]
    assert "Traceback" not in answer.text
    assert "Set-Cookie" not in answer.headers


def test_table_is_long_enough() -> None:
    assert len(texts()) + len(bodies()) + len(headers()) + len(SHAPES) * len(PATHS) >= 200


@pytest.mark.parametrize("name", texts())
def test_hostile_text(name: str, nginx: Nginx) -> None:
    text = texts()[name]
    for body in ({"text": text}, {"text": text, "spans": True, "explain": True}):
        check(requests.post(f"{nginx.url}/classify", json=body, timeout=30))
    check(requests.post(f"{nginx.url}/v1/moderations", json={"input": [text, "a"]}, timeout=30))
    comment = {"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}, "spanAnnotations": True}
    check(requests.post(f"{nginx.url}/v1alpha1/comments:analyze", json=comment, timeout=30))
    if len(text) < 2000:
        check(requests.post(f"{nginx.url}/classify", params={"message": text}, timeout=30))


@pytest.mark.parametrize("name", bodies())
def test_hostile_body(name: str, nginx: Nginx) -> None:
    body, sent = bodies()[name]
    for path in PATHS:
        check(requests.post(f"{nginx.url}{path}", data=body, headers=sent, timeout=30))


@pytest.mark.parametrize("name", headers())
def test_hostile_headers(name: str, nginx: Nginx, live: Live) -> None:
    sent = {key: value.encode("latin-1") for key, value in headers()[name].items()}
    answer = requests.post(f"{nginx.url}/classify", data=BODY, headers={**HEADERS, **sent}, timeout=30)
    check(answer)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", answer.headers["X-Request-ID"])
    lines = [f"{key}: {value}" for key, value in {**headers()[name], **JSON}.items()]
    head = ["POST /classify HTTP/1.1", "Host: x", *lines, f"Content-Length: {len(BODY)}", "", ""]
    directly = talk(live.port, "\r\n".join(head).encode("latin-1") + BODY)
    assert re.match(rb"HTTP/1\.1 [124]\d\d ", directly)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", SHAPES)
def test_counted_shapes(name: str, path: str, live: Live) -> None:
    """A megabyte of whatever the caller counts: a small answer, little time, and no memory that stays."""
    body = orjson.dumps(shape(name))
    packed = gzip.compress(body, 1)
    with requests.Session() as session:

        def send() -> requests.Response:
            return session.post(f"{live.url}{path}", data=packed, headers=GZIP, timeout=30)

        # The first requests of each thread allocate memory that stays; what leaks grows in every round.
        growth = []
        for _ in range(4):
            memory, seconds = resident_bytes(live), cpu_seconds(live)
            for _ in range(10):
                answer = send()
                check(answer)
                assert len(answer.content) <= 64 * 1024
            assert (cpu_seconds(live) - seconds) / 10 <= 0.3
            growth.append(resident_bytes(live) - memory)
            if len(growth) > 1 and growth[-1] <= 5_000_000:
                break
        assert growth[-1] <= 5_000_000, growth


def cpu_seconds(live: Live) -> float:
    """What all workers have used."""
    found = 0
    for worker in live.workers():
        fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
        found += int(fields[11]) + int(fields[12])
    return found / os.sysconf("SC_CLK_TCK")


def test_all_workers_are_still_the_same(live: Live, nginx: Nginx) -> None:
    """Nothing above has hung or ended one."""
    assert "exited" not in live.output
    assert "internal_error" not in live.output
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(
            lambda _: requests.post(f"{nginx.url}/classify", data=BODY, headers=HEADERS, timeout=30),
            range(64),
        )
        assert {answer.status_code for answer in answers} == {200}


def resident_bytes(live: Live) -> int:
    """Memory of all workers."""
    found = 0
    for worker in live.workers():
        fields = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{worker}/status").read_text().splitlines()
            if ":" in line
        )
        found += int(fields["VmRSS"].split()[0]) * 1024
    return found


def test_gzip_bombs_take_no_memory(live: Live, figure: Callable[[str], None]) -> None:
    """Directly: each is a megabyte that would become a gigabyte."""
    bomb = gzip.compress(b"\x00" * (1 << 30), 9)
    assert len(bomb) < 1024 * 1024 + 50_000
    bomb = bomb[: 1024 * 1024]

    def send(_: int) -> int:
        return requests.post(f"{live.url}/classify", data=bomb, headers=GZIP, timeout=60).status_code

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(20)))
        before = highest = resident_bytes(live)
        pending = [pool.submit(send, number) for number in range(200)]
        while not all(each.done() for each in pending):
            highest = max(highest, resident_bytes(live))
            time.sleep(0.02)
    assert {each.result() for each in pending} == {413}
    grown = (highest - before) / 1e6
    figure(f"200 bombs, 4 at a time: memory of both workers grew by {grown:.1f} MB at most")
    assert grown < 20


@contextlib.contextmanager
def slow_connections(port: int) -> Iterator[list[socket.socket]]:
    """Two hundred that send a byte of a header or a body now and then, or read next to nothing."""
    stop = threading.Event()
    sockets: list[socket.socket] = []
    kinds = (
        b"POST /classify HTTP/1.1\r\nHost: x\r\nX-A: ",
        b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n{",
        b"GET /static/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
    )
    for number in range(SLOW):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(kinds[number % 3])
        sockets.append(connection)

    def drip() -> None:
        while not stop.wait(1):
            for number, connection in enumerate(sockets):
                with contextlib.suppress(OSError):
                    if number % 3 == 2:
                        connection.recv(16)
                    else:
                        connection.send(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield sockets
    finally:
        stop.set()
        thread.join(10)
        for connection in sockets:
            connection.close()


def test_slow_connections_hold_no_thread(nginx: Nginx, live: Live) -> None:
    """The service has 16 threads, and 200 slow connections ask; the others notice nothing."""
    with slow_connections(nginx.port), asking(nginx.port, clients=4) as load:
        time.sleep(5)
        assert live.metric("content_moderator_http_requests_in_progress") <= 4 + 1
    assert load.failed == {}
    assert load.asked > 500


@pytest.mark.system
def test_slow_connections_cost_the_others_little(nginx: Nginx, figure: Callable[[str], None]) -> None:
    """Alternating, for this machine is noisy: with them and without."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for round_ in range(8):
        slow = bool(round_ % 2)
        around: Any = slow_connections(nginx.port) if slow else contextlib.nullcontext()
        with around:
            time.sleep(1)
            with asking(nginx.port, clients=4, pause_seconds=0.002) as load:
                time.sleep(5)
        assert load.failed == {}
        times[slow] += load.seconds
    p99 = {slow: sorted(each)[int(0.99 * len(each))] * 1000 for slow, each in times.items()}
    ratio = p99[True] / p99[False]
    figure(
        f"p99 {p99[False]:.1f} ms without, {p99[True]:.1f} ms with {SLOW} slow connections: {ratio:.2f} times"
    )
    assert ratio < 2
