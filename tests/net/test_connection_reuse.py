"""
No text gets the answer of another, whatever a server sends, and whenever.

A connection is reused only after a complete exchange. If a gateway answers with an error, and the server
behind it sends the real answer when that is ready, every later answer on that connection would otherwise be
the one before.
"""

import itertools
import json
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content_moderator.classifiers.remote.client import RemoteClassifier
from content_moderator.domain.classification import ClassifierIdentity
from content_moderator.domain.errors import ClassifierError
from content_moderator.domain.label import Label
from content_moderator.net.connection import MAX_INTERIM_ANSWERS
from tests.support import fault_server
from tests.support.fake import scored, within
from tests.support.fault_server import FaultServer, Received, Step, scores

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
OK = b"HTTP/1.1 200 OK\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: "
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return path, context


@pytest.fixture(params=["TCP", "TLS"])
def server(request: pytest.FixtureRequest, authority: tuple[Path, ssl.SSLContext]) -> Iterator[FaultServer]:
    with fault_server.running(authority[1] if request.param == "TLS" else None) as server:
        yield server


def classifier_of(server: FaultServer, authority: tuple[Path, ssl.SSLContext]) -> RemoteClassifier:
    return RemoteClassifier(
        server.url,
        token=None,
        identity=ClassifierIdentity("koala", "m", "1"),
        connect_timeout_seconds=2,
        max_reply_bytes=100_000,
        ca_file=str(authority[0]) if server.tls else None,
    )


def mark(text: str) -> float:
    """The score by which the answer about a text is known: texts are called "text 17"."""
    return int(text.split()[1]) / 1000


def answer_body(request: Received) -> bytes:
    inputs = json.loads(request.body)["inputs"]
    texts = [inputs] if isinstance(inputs, str) else inputs
    return json.dumps([scores(H=mark(text)) for text in texts]).encode()


def whole(body: bytes) -> bytes:
    return HEAD + str(len(body)).encode() + b"\r\n\r\n" + body


def sound(request: Received) -> Step:
    return Step(body=answer_body(request))


def ask(classifier: RemoteClassifier, text: str, seconds: float = 2.0) -> str:
    """Tell whether a text was answered rightly, or with an error; anything else fails the test."""
    try:
        [answer] = scored(classifier, [text], within(seconds))
    except ClassifierError as error:
        return error.code
    assert answer.scores[Label.H] == mark(text), "the answer of another text"
    return "right"


ERRORS = [
    101,
    102,
    103,
    199,
    201,
    204,
    205,
    206,
    299,
    302,
    304,
    400,
    401,
    404,
    429,
    500,
    502,
    503,
    504,
    600,
    999,
]


def late_on_the_second(step: Step, seconds: float) -> Callable[[Received], Step]:
    """Answer soundly, but the second request with *step*, and what it asked for *seconds* later."""
    number = itertools.count()

    def answer(request: Received) -> Step:
        if next(number) != 1:
            return sound(request)
        return replace(step, late=whole(answer_body(request)), late_seconds=seconds)

    return answer


@pytest.mark.parametrize("seconds", [0, 0.02], ids=["at once", "late"])
@pytest.mark.parametrize("body", [b"", b'{"error":"x"}'], ids=["no body", "body"])
@pytest.mark.parametrize("status", ERRORS)
def test_error_that_the_real_answer_follows(
    status: int, body: bytes, seconds: float, server: FaultServer, authority: tuple[Path, ssl.SSLContext]
) -> None:
    """Four texts in turn, the first of which meets a gateway that answers too early."""
    classifier = classifier_of(server, authority)
    server.answer = late_on_the_second(Step(status, body), seconds)
    assert ask(classifier, "text 900") == "right"
    first = ask(classifier, "text 1")
    # 1xx are legal before an answer, and nothing is wrong with them; but 101 begins another protocol.
    interim = 101 < status < 200 and not body
    assert (first == "right") == interim
    time.sleep(2 * seconds)
    assert [ask(classifier, f"text {n}") for n in (2, 3, 2, 4)] == ["right"] * 4


UNUSABLE = {
    "not JSON": Step(body=b"<html>"),
    "no labels": Step(body=b"[[]]"),
    "two answers": Step(body=json.dumps([scores(H=0.5), scores(H=0.5)]).encode()),
    "a score of 7": Step(body=json.dumps([scores(H=0.5)]).replace("0.5", "7").encode()),
    "compressed": Step(body=b"x", headers=[("Content-Encoding", "gzip")]),
    "too large": Step(body=b" " * 200_000),
    "shorter than it says": Step(raw=HEAD + b"5000\r\n\r\n[["),
    "longer than it says": Step(raw=HEAD + b"3\r\n\r\n[[]]"),
    "two lengths": Step(raw=HEAD + b"4\r\nContent-Length: 2\r\n\r\n[[]]"),
    "a length and chunks": Step(raw=HEAD + b"4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n[[]]\r\n0\r\n\r\n"),
    "a length of letters": Step(raw=HEAD + b"four\r\n\r\n[[]]"),
    "a length with an underscore": Step(raw=HEAD + b"1_0\r\n\r\n[[       ]]"),
    "a negative length": Step(raw=HEAD + b"-4\r\n\r\n[[]]"),
    "a chunk of -5": Step(raw=CHUNKED + b"-5\r\n[[]]\r\n0\r\n\r\n"),
    "a chunk of +4": Step(raw=CHUNKED + b"+4\r\n[[]]\r\n0\r\n\r\n"),
    "a chunk of 0x4": Step(raw=CHUNKED + b"0x4\r\n[[]]\r\n0\r\n\r\n"),
    "a chunk of letters": Step(raw=CHUNKED + b"zz\r\n[[]]\r\n0\r\n\r\n"),
    "a chunk of very many digits": Step(raw=CHUNKED + b"f" * 40 + b"\r\n[[]]\r\n0\r\n\r\n"),
    "a chunk that ends elsewhere": Step(raw=CHUNKED + b"4\r\n[[]]XX0\r\n\r\n"),
    "no last chunk": Step(raw=CHUNKED + b"4\r\n[[]]\r\n"),
    "other encodings": Step(
        raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\n[[]]\r\n0\r\n\r\n"
    ),
    "a header without a colon": Step(raw=b"HTTP/1.1 200 OK\r\nwhat is this\r\nContent-Length: 4\r\n\r\n[[]]"),
    "no headers": Step(raw=b"HTTP/1.1 200 OK\r\n\r\n[[]]"),
    "not HTTP": Step(raw=b"hello\r\n\r\n"),
    "HTTP/3": Step(raw=b"HTTP/3 200 OK\r\nContent-Length: 4\r\n\r\n[[]]"),
    "a status of letters": Step(raw=b"HTTP/1.1 OK\r\nContent-Length: 4\r\n\r\n[[]]"),
    "a status of four digits": Step(raw=b"HTTP/1.1 2000 OK\r\nContent-Length: 4\r\n\r\n[[]]"),
    "a location that is not UTF-8": Step(raw=MOVED + b"\xff\xfe\r\nContent-Length: 0\r\n\r\n"),
    "a location that is no URL": Step(raw=MOVED + b"http://[\r\nContent-Length: 0\r\n\r\n"),
    "200 headers": Step(raw=OK + b"X-A: b\r\n" * 200 + b"Content-Length: 4\r\n\r\n[[]]"),
    "a long header": Step(raw=OK + b"X-A: " + b"b" * 80_000 + b"\r\nContent-Length: 4\r\n\r\n[[]]"),
    "interim answers without end": Step(raw=b"HTTP/1.1 103 Early\r\n\r\n" * 500),
}  # fmt: skip


@pytest.mark.parametrize("seconds", [0, 0.02], ids=["at once", "late"])
@pytest.mark.parametrize("name", UNUSABLE)
def test_answer_that_cannot_be_used(
    name: str, seconds: float, server: FaultServer, authority: tuple[Path, ssl.SSLContext]
) -> None:
    classifier = classifier_of(server, authority)
    server.answer = late_on_the_second(UNUSABLE[name], seconds)
    assert ask(classifier, "text 900") == "right"
    assert ask(classifier, "text 1", seconds=0.1).startswith("classifier_")
    time.sleep(2 * seconds)
    assert [ask(classifier, f"text {n}") for n in (2, 3, 2, 4)] == ["right"] * 4


def test_sound_answers_keep_the_connection(
    server: FaultServer, authority: tuple[Path, ssl.SSLContext]
) -> None:
    """By a length and by chunks, after interim answers too."""
    classifier = classifier_of(server, authority)
    number = itertools.count()

    def answer(request: Received) -> Step:
        body = answer_body(request)
        chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]))
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * MAX_INTERIM_ANSWERS
        kinds = (whole(body), CHUNKED + chunks + b"0\r\nX-Trailer: y\r\n\r\n", interim + whole(body))
        return Step(raw=kinds[next(number) % 3])

    server.answer = answer
    assert [ask(classifier, f"text {n}") for n in range(1, 10)] == ["right"] * 9
    assert server.connections == 1


@pytest.mark.parametrize("size", [10, 5000, 9000, 15_000])
def test_second_answer_right_behind_the_first(
    size: int, server: FaultServer, authority: tuple[Path, ssl.SSLContext]
) -> None:
    """Within what was received already, or beyond the 8,192 bytes of a buffer in what TLS has decrypted."""
    classifier = classifier_of(server, authority)
    server.answer = lambda request: Step(
        raw=whole(answer_body(request) + b" " * size) + whole(json.dumps([scores(H=0.999)]).encode())
    )
    assert [ask(classifier, f"text {n}") for n in range(1, 9)] == ["right"] * 8


PIECES = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 102 Processing\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]",
            b"\r\n",
            b"0\r\n\r\n",
            b"[[",
            b"\x00\xff",
            b"answer",
            b"answer in chunks",
        ]
    ),
    max_size=5,
)


@given(script=st.lists(st.tuples(PIECES, st.booleans()), min_size=1, max_size=6))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.parametrize("server", ["TCP"], indirect=True)
def test_whatever_comes_no_text_has_the_scores_of_another(
    script: list[tuple[list[bytes], bool]], server: FaultServer, authority: tuple[Path, ssl.SSLContext]
) -> None:
    """Any replies, in one piece or with the last part late: an error or the text's own answer comes of it."""
    classifier = classifier_of(server, authority)
    steps = iter(script)

    def written(piece: bytes, body: bytes) -> bytes:
        if piece == b"answer":
            return whole(body)
        if piece == b"answer in chunks":
            return CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return piece

    def answer(request: Received) -> Step:
        pieces, is_late = next(steps, ([b"answer"], False))
        found = [written(piece, answer_body(request)) for piece in pieces] or [b""]
        late = found.pop() if is_late else b""
        return Step(raw=b"".join(found), late=late, late_seconds=0.001, cut_at=None if found or late else 0)

    server.answer = answer
    for n in range(1, len(script) + 3):
        ask(classifier, f"text {n}", seconds=0.05)
