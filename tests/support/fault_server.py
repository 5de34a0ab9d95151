"""
A scripted HTTP server on raw sockets, for replies that no correct server sends.

Each request takes the next step of the script (the last one repeats); a step answers as told: status,
headers and body, late, in drips, cut short, with a reset, or never. What was received is kept.
"""

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from content_moderator.domain.label import Label

TLS_HANDSHAKE = b"\x16\x03"
"""How a client begins that takes us for a TLS server: answered in plain HTTP, as plain servers do."""


@dataclass(frozen=True)
class Step:
    """
    How one request is answered.

    Args:
        status: HTTP status code.
        body: What follows the headers.
        headers: Sent as they are; Content-Length is added unless given.
        delay_seconds: Before the first byte.
        after: Waited for before the first byte, for 30 seconds at most.
        drip_seconds: Pause after each byte of the headers and the body; 0 sends all at once.
        drip_headers: Whether the drip begins with the status line, or with the body.
        cut_at: How many bytes of the answer are sent before the connection closes; None for all.
        reset: Close with a TCP reset instead of an orderly end.
        hang: Never answer, and keep the connection open.
        raw: Sent instead of status line, headers and body.
        keep_alive: Whether the connection stays open for another request.
        late: Sent on the same connection afterwards, before another request is read.
        late_seconds: Pause before that.
    """

    status: int = 200
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),)
    delay_seconds: float = 0.0
    after: threading.Event | None = None
    drip_seconds: float = 0.0
    drip_headers: bool = False
    cut_at: int | None = None
    reset: bool = False
    hang: bool = False
    raw: bytes | None = None
    keep_alive: bool = True
    late: bytes = b""
    late_seconds: float = 0.0

    def encode(self) -> tuple[bytes, bytes]:
        """Give the head and the body as bytes."""
        if self.raw is not None:
            return self.raw, b""
        lines = [f"HTTP/1.1 {self.status} Reason", *(f"{name}: {value}" for name, value in self.headers)]
        names = {name.lower() for name, _ in self.headers}
        if not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode(), self.body


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    request_line: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> object:
        """Read the body."""
        return json.loads(self.body)


@dataclass
class FaultServer:
    """
    A running server; its script may be replaced at any time, and each replacement starts anew.

    Args:
        tls: Makes it speak TLS.
        answer: Gives the step for a request, instead of the script.
    """

    port: int
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None
    answer: Callable[[Received], Step] | None = None
    _script: list[Step] = field(default_factory=list)
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        scheme, host = ("http", "127.0.0.1") if self.tls is None else ("https", "localhost")
        return f"{scheme}://{host}:{self.port}/models/koala"

    def texts(self) -> list[str]:
        """List the texts that came, in calls of one or of many."""
        found: list[str] = []
        for request in self.received:
            inputs = json.loads(request.body)["inputs"]
            found += [inputs] if isinstance(inputs, str) else inputs
        return found

    def play(self, *steps: Step) -> None:
        """Answer the coming requests by *steps*; the last one repeats."""
        with self._lock:
            self._script, self._next = list(steps), 0

    def _step(self, request: Received) -> Step:
        with self._lock:
            self.received.append(request)
            step = self._script[min(self._next, len(self._script) - 1)]
            self._next += 1
        return self.answer(request) if self.answer else step

    def _serve(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, plain: socket.socket) -> None:
        with ExitStack() as stack:
            connection = stack.enter_context(plain)
            connection.settimeout(30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                if self.tls is not None:
                    connection = stack.enter_context(self.tls.wrap_socket(plain, server_side=True))
                while (request := _receive(connection)) and self._answer(connection, self._step(request)):
                    pass
            except OSError:
                return  # The client is gone; what it thinks of that is the test's matter.

    def _answer(self, connection: socket.socket, step: Step) -> bool:
        """Play one step; False ends the connection."""
        if step.hang:
            self._stopping.wait(30)
            return False
        self._stopping.wait(step.delay_seconds)
        if step.after:
            step.after.wait(30)
        head, body = step.encode()
        whole = head + body
        end = len(whole) if step.cut_at is None else step.cut_at
        if step.drip_seconds:
            fast = 0 if step.drip_headers else len(head)
            connection.sendall(whole[:fast])
            for index in range(fast, end):
                connection.sendall(whole[index : index + 1])
                if self._stopping.wait(step.drip_seconds):
                    return False
        else:
            connection.sendall(whole[:end] + (b"" if step.late_seconds else step.late))
        if step.late and step.late_seconds:
            self._stopping.wait(step.late_seconds)
            connection.sendall(step.late)
        if step.reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return step.keep_alive and not step.reset and step.cut_at is None


def _receive(connection: socket.socket) -> Received | None:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None
        data += part
        if data.startswith(TLS_HANDSHAKE):
            break
    head, _, body = data.partition(b"\r\n\r\n")
    request_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return Received(request_line, headers, body)


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """Run a server on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        server = FaultServer(listener.getsockname()[1], tls=tls)
        server.play(Step(503))
        thread = threading.Thread(target=server._serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server._stopping.set()
            thread.join(5)


def scores(**named: float) -> list[dict[str, object]]:
    """Nine scores that sum to 1, as Koala gives them: *named* as told, OK most of the rest, highest first."""
    rest = [label for label in Label if label.value not in named and label is not Label.OK]
    left = 1 - sum(named.values())
    values = dict.fromkeys((label.value for label in rest), 0.1 * left / len(rest))
    values |= {"OK": left - sum(values.values())} if "OK" not in named else {}
    ordered = sorted((values | named).items(), key=lambda item: -item[1])
    return [{"label": label, "score": score} for label, score in ordered]


def reply(*answers: list[dict[str, object]], **changes: object) -> Step:
    """Answer as Hugging Face does: a list of nine labels for each text."""
    return Step(body=json.dumps(answers).encode(), **changes)  # type: ignore[arg-type]


def unused_port() -> int:
    """Find a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def accepts(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def wait_until(condition: object, *, seconds: float = 10) -> None:
    """Poll *condition* (a callable) until it is true, or fail."""
    assert callable(condition)
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)
