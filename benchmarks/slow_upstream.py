"""
An upstream that answers each call after a fixed time: ``python -m benchmarks.slow_upstream PORT SECONDS``.

It implements the necessary part of Hugging Face's protocol. /count returns the number of calls and texts.
"""

import asyncio
import json
import sys

from content_moderator.domain.label import Label

SCORES = json.dumps([{"label": label.value, "score": 1 / len(Label)} for label in Label])


class Upstream(asyncio.Protocol):
    """One connection, with one request at a time."""

    calls = 0
    texts = 0
    seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer when the request is complete."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        if len(body) < int(headers.get("content-length", 0)):
            return
        self._buffer = b""
        if lines[0].startswith("GET /count"):
            self._answer(json.dumps([Upstream.calls, Upstream.texts]))
            return
        inputs = json.loads(body)["inputs"]
        texts = 1 if isinstance(inputs, str) else len(inputs)
        Upstream.calls += 1
        Upstream.texts += texts
        answer = f"[{','.join([SCORES] * texts)}]"
        asyncio.get_running_loop().call_later(Upstream.seconds, self._answer, answer)

    def _answer(self, body: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write((head + body).encode())


async def main(port: int, seconds: float) -> None:
    """Serve until the process is stopped."""
    Upstream.seconds = seconds
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
