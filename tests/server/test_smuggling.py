"""Malformed and smuggled requests, through nginx and directly: one response each, and no hidden request."""

import re
from collections.abc import Iterator

import pytest

from tests.support.live import Live, serving, talk
from tests.support.nginx import Nginx, proxying

BODY = b'{"text": "hello"}'
HIDDEN = b"POST /classify HTTP/1.1\r\nHost: x\r\nX-Request-ID: hidden\r\nContent-Length: 0\r\n\r\n"
REFUSED = {400, 403, 404, 405, 411, 413, 414, 415, 417, 422, 431, 501, 505}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(
        tmp_path_factory.mktemp("live") / "log", {"MODERATOR__HTTP__TRUSTED_PROXIES": "1"}
    ) as service:
        yield service


@pytest.fixture(scope="module")
def nginx(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with proxying(tmp_path_factory.mktemp("nginx") / "nginx", live.port, patience_seconds=1) as running:
        yield running


def head(*lines: str, method: str = "POST", path: str = "/classify", version: str = "HTTP/1.1") -> bytes:
    first = [f"{method} {path} {version}", "Content-Type: application/json", "X-Request-ID: shown"]
    return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CL = f"Content-Length: {len(BODY)}"
TE = "Transfer-Encoding: chunked"
H = "Host: x"
CHUNKED = chunk(BODY) + b"0\r\n\r\n"

REQUESTS = {
    # Two ways of saying how long the body is.
    "CL and TE": head(H, CL, TE) + b"0\r\n\r\n" + HIDDEN,
    "CL and TE, short CL": head(H, "Content-Length: 4", TE) + b"0\r\n\r\n" + HIDDEN,
    "TE and CL": head(H, TE, "Content-Length: 3") + chunk(HIDDEN) + b"0\r\n\r\n",
    "CL 0 and TE": head(H, "Content-Length: 0", TE) + CHUNKED + HIDDEN,
    "two lengths": head(H, "Content-Length: 0", f"Content-Length: {len(HIDDEN)}") + HIDDEN,
    "two lengths, the other way": head(H, f"Content-Length: {len(HIDDEN)}", "Content-Length: 0") + HIDDEN,
    "lengths with a comma": head(H, "Content-Length: 0, 17") + HIDDEN,
    "length with a plus": head(H, "Content-Length: +0") + HIDDEN,
    "length below 0": head(H, "Content-Length: -1") + HIDDEN,
    "length in hexadecimal": head(H, "Content-Length: 0x0") + HIDDEN,
    "length a word": head(H, "Content-Length: zero") + HIDDEN,
    "length with an underscore": head(H, "Content_Length: 200", "Content-Length: 0") + HIDDEN,
    "length of other digits": head(H, "Content-Length: \xb2") + HIDDEN,
    "length beyond all numbers": head(H, "Content-Length: " + "9" * 40) + BODY,
    "length with a space before the colon": head(H, "Content-Length : 0") + HIDDEN,
    "length with a vertical tab": head(H, "Content-Length:\x0b0") + HIDDEN,
    # Ways of writing chunked that one reader takes and another does not.
    "TE with a space before the colon": head(H, "Transfer-Encoding : chunked", CL) + CHUNKED + HIDDEN,
    "TE with a vertical tab": head(H, "Transfer-Encoding:\x0bchunked", "Content-Length: 0")
    + CHUNKED
    + HIDDEN,
    "TE another word": head(H, "Transfer-Encoding: xchunked", "Content-Length: 0") + HIDDEN,
    "TE identity": head(H, "Transfer-Encoding: identity", "Content-Length: 0") + HIDDEN,
    "TE chunked, identity": head(H, "Transfer-Encoding: chunked, identity") + CHUNKED + HIDDEN,
    "TE identity, chunked": head(H, "Transfer-Encoding: identity, chunked") + CHUNKED + HIDDEN,
    "TE gzip, chunked": head(H, "Transfer-Encoding: gzip, chunked") + CHUNKED + HIDDEN,
    "TE twice": head(H, TE, TE) + CHUNKED + HIDDEN,
    "TE chunked, then another": head(H, TE, "Transfer-Encoding: cow") + CHUNKED + HIDDEN,
    "TE another, then chunked": head(H, "Transfer-Encoding: cow", TE) + CHUNKED + HIDDEN,
    "TE in quotes": head(H, 'Transfer-Encoding: "chunked"', "Content-Length: 0") + CHUNKED + HIDDEN,
    "TE with a null": head(H, "Transfer-Encoding: chunked\x00", "Content-Length: 0") + CHUNKED + HIDDEN,
    "TE with an underscore": head(H, "Transfer_Encoding: chunked", "Content-Length: 0") + CHUNKED + HIDDEN,
    "TE of HTTP/1.0": head(H, TE, version="HTTP/1.0") + CHUNKED + HIDDEN,
    "TE after a bare LF": head(H, f"A: b\n{TE}", "Content-Length: 0") + CHUNKED + HIDDEN,
    "TE after a bare CR": head(H, f"A: b\r{TE}", "Content-Length: 0") + CHUNKED + HIDDEN,
    "TE folded": head(H, "Transfer-Encoding:\r\n chunked", "Content-Length: 0") + CHUNKED + HIDDEN,
    # Chunks.
    "chunk larger than it says": head(H, TE) + b"2\r\n" + BODY + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunk size below 0": head(H, TE) + b"-1\r\n" + BODY + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunk size with a plus": head(H, TE) + b"+11\r\n" + BODY + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunk size 0x": head(H, TE) + b"0x11\r\n" + BODY + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunk size beyond all numbers": head(H, TE) + b"f" * 40 + b"\r\n" + BODY + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunk size none": head(H, TE) + b"\r\n" + BODY + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunk ends with LF": head(H, TE) + b"11\n" + BODY + b"\n0\n\n" + HIDDEN,
    "chunk ends with nothing": head(H, TE) + b"11\r\n" + BODY + b"0\r\n\r\n" + HIDDEN,
    "chunk with a huge extension": head(H, TE) + b"11;" + b"x" * 100_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "trailer that lengthens": head(H, TE) + chunk(BODY) + b"0\r\nContent-Length: 500\r\n\r\n" + b"",
    "trailer without an end": head(H, TE) + chunk(BODY) + b"0\r\nX: y\r\n",
    # Lines.
    "folded header": head(H, "X-A: b\r\n c", CL) + BODY,
    "bare LF everywhere": head(H, CL).replace(b"\r\n", b"\n") + BODY + HIDDEN,
    "bare CR in a value": head(H, "X-A: b\rX-B: c", CL) + BODY,
    "null in a value": head(H, "X-A: b\x00c", CL) + BODY,
    "null in a name": head(H, "X\x00A: b", CL) + BODY,
    "space in a name": head(H, "X A: b", CL) + BODY,
    "no colon": head(H, "XA", CL) + BODY,
    "no name": head(H, ": b", CL) + BODY,
    "header before the first": b"POST /classify HTTP/1.1\r\n Host: x\r\n" + head(H)[25:] + BODY,
    "oversized line": head(H, path="/classify?message=" + "x" * 70_000),
    "oversized header": head(H, "X-A: " + "x" * 70_000, CL) + BODY,
    "very many headers": head(H, *[f"X-{number}: y" for number in range(5000)], CL) + BODY,
    "endless first line": b"POST /" + b"x" * 200_000,
    # Hosts, targets, methods, versions.
    "two hosts": head(H, "Host: y", CL) + BODY,
    "no host": head(CL) + BODY,
    "host with a path": head("Host: x/../y", CL) + BODY,
    "host with credentials": head("Host: a@b", CL) + BODY,
    "absolute target, another host": head(H, CL, path="http://y/classify") + BODY,
    "target without a slash": head(H, CL, path="classify") + BODY,
    "target a star": head(H, CL, path="*") + BODY,
    "target with a space": head(H, CL, path="/classify /x") + BODY,
    "target with a tab": head(H, CL, path="/classify\tx") + BODY,
    "target with a null": head(H, CL, path="/classify\x00") + BODY,
    "target with a fragment": head(H, CL, path="/classify#x") + BODY,
    "CONNECT": head(H, method="CONNECT", path="x:443") + HIDDEN,
    "TRACE": head(H, method="TRACE") + b"",
    "method in small letters": head(H, CL, method="post") + BODY,
    "method with signs": head(H, CL, method="PO<ST") + BODY,
    "method of a kilobyte": head(H, CL, method="P" * 1024) + BODY,
    "HTTP/0.9": b"GET /livez\r\n" + HIDDEN,
    "HTTP/1.2": head(H, CL, version="HTTP/1.2") + BODY,
    "HTTP/2.0": head(H, CL, version="HTTP/2.0") + BODY,
    "HTTP/9.9": head(H, CL, version="HTTP/9.9") + BODY,
    "no version": head(H, CL, version="HTTP/") + BODY,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "upgrade to h2c": head(
        H, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk", CL
    )
    + BODY,
    "TLS to a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "PROXY line": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + head(H, CL) + BODY,
    "Expect a word": head(H, CL, "Expect: the-unexpected") + BODY,
    "noise": bytes(range(256)) * 40,
    "nothing but ends of lines": b"\r\n" * 1000,
    # Bodies that end early.
    "half a body": head(H, "Content-Length: 500") + BODY,
    "half a chunk": head(H, TE) + b"500\r\n" + BODY,
    "no last chunk": head(H, TE) + chunk(BODY),
}


FOLLOWED = {
    # Underscores are no hyphens: both drop the header and read a body of 0 bytes.
    ("length with an underscore", "nginx"),
    ("length with an underscore", "directly"),
    ("TE with an underscore", "nginx"),
    ("TE with an underscore", "directly"),
    # gunicorn reads it as chunked, nginx refuses it.
    ("TE identity, chunked", "directly"),
    # nginx takes LF for the end of a line, and writes what it hands on anew.
    ("chunk ends with LF", "nginx"),
    ("bare LF everywhere", "nginx"),
}
"""Those after whose end, as the reader sees it, another request stands in the open: it is answered too."""


def answers(received: bytes) -> list[int]:
    """Give the status of each answer in what came back."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", received)]


@pytest.mark.parametrize("by", ["nginx", "directly"])
@pytest.mark.parametrize("name", REQUESTS)
def test_one_answer_and_nothing_hidden(name: str, by: str, live: Live, nginx: Nginx) -> None:
    port = nginx.port if by == "nginx" else live.port
    hidden = f"hidden-{by}-{list(REQUESTS).index(name)}"
    request = REQUESTS[name].replace(b"hidden", hidden.encode())
    received = talk(port, request, half_close=by == "directly")
    found = [status for status in answers(received) if status != 100]
    if (name, by) in FOLLOWED:
        assert len(found) == 2
    else:
        assert len(found) <= 1, received[:2000]
        assert hidden not in live.output, "what was hidden reached the application"
    assert set(found) <= REFUSED | {200}, received[:2000]
    assert b"Traceback" not in received
    assert b"<html" not in received
    after = talk(port, head(H, CL, "Connection: close") + BODY, half_close=False)
    assert answers(after) == [200], "others are served as ever"


@pytest.mark.parametrize("by", ["nginx", "directly"])
def test_requests_in_a_row_are_answered_in_order(by: str, live: Live, nginx: Nginx) -> None:
    """Pipelining is no crime: each has its own answer, and none another's."""
    port = nginx.port if by == "nginx" else live.port
    requests = [
        head(H, f"Content-Length: {len(body)}", *(["Connection: close"] if number == 4 else [])).replace(
            b"shown", b"row-%d" % number
        )
        + body
        for number in range(5)
        for body in [b'{"text": "text number %d"}' % number]
    ]
    received = talk(port, b"".join(requests), half_close=False)
    assert answers(received) == [200] * 5
    assert re.findall(rb"\nX-Request-ID: (\S+)", received) == [b"row-%d" % number for number in range(5)]
