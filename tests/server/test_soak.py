"""The service under mixed traffic and faults for SOAK_SECONDS: its resources do not grow."""

import contextlib
import gzip
import json
import os
import random
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.fault_server import FaultServer, Step, reply, scores
from tests.support.live import Live, serving
from tests.support.nginx import proxying
from tests.support.redis_server import RedisServer
from tests.support.redis_server import running as redis_running

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
WARM_UP = 0.3
CLIENTS = 8

pytestmark = [pytest.mark.system, pytest.mark.timeout(SECONDS + 300)]


@dataclass
class Sample:
    """What all workers hold."""

    memory_mb: float
    descriptors: int
    threads: int
    metric_files: int


def sample(live: Live) -> Sample:
    memory = descriptors = threads = 0
    for worker in live.workers():
        for line in Path(f"/proc/{worker}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmRSS":
                memory += int(value.split()[0])
            elif name == "Threads":
                threads += int(value)
        descriptors += len(list(Path(f"/proc/{worker}/fd").iterdir()))
    files = len(list((live.run_folder() / "metrics").glob("*.db")))
    return Sample(memory / 1024, descriptors, threads, files)


def upstream_answers(generator: random.Random) -> list[Step]:
    """A classifier that mostly answers, and fails in every way now and then."""
    good = [reply(scores(), delay_seconds=generator.choice([0, 0.01, 0.05])) for _ in range(40)]
    bad = [
        Step(status=500, body=b"{}"),
        Step(status=503, body=b'{"error":"loading","estimated_time":1}'),
        Step(status=429, body=b"{}"),
        Step(body=b"no json"),
        Step(body=b"[[]]"),
        Step(body=b"x" * 200_000),
        reply(scores(), cut_at=30),
        reply(scores(), reset=True),
        reply(scores(), delay_seconds=2.5),
    ]
    steps = good + bad
    generator.shuffle(steps)
    return steps


class Client:
    """Asks in every way that there is, and in some that there should not be."""

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.random = random.Random(seed)
        self.session = requests.Session()

    def text(self) -> str:
        if self.random.random() < 0.4:
            return f"a text that is asked about often, number {self.random.randrange(50)}"
        return " ".join(self.random.choices(["sun", "rain", "idiot", "walk", "l0ve", "you"], k=12)) + str(
            self.random.random()
        )

    def ask(self) -> str:
        kind = self.random.choices(
            ["one", "one", "one", "batch", "openai", "google", "gzip", "bad", "page", "gone", "half", "fresh"]
        )[0]
        with contextlib.suppress(OSError):
            return str(getattr(self, kind)())
        return "broken"

    def post(self, path: str, **options: object) -> str:
        answer = self.session.post(f"{self.url}{path}", timeout=30, **options)  # type: ignore[arg-type]
        return str(answer.status_code)

    def one(self) -> str:
        return self.post("/classify", json={"text": self.text()})

    def fresh(self) -> str:
        return self.post("/classify", json={"text": self.text()}, headers={"Cache-Control": "no-cache"})

    def batch(self) -> str:
        return self.post("/classify/batch", json={"texts": [self.text() for _ in range(8)]})

    def openai(self) -> str:
        return self.post("/v1/moderations", json={"input": [self.text(), self.text()]})

    def google(self) -> str:
        comment = {"comment": {"text": self.text()}, "requestedAttributes": {"TOXICITY": {}}}
        return self.post("/v1alpha1/comments:analyze", json=comment)

    def gzip(self) -> str:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return self.post(
            "/classify", data=gzip.compress(json.dumps({"text": self.text()}).encode()), headers=headers
        )

    def bad(self) -> str:
        body = self.random.choice([b"", b"{", b"[" * 5000, b'{"text": 7}', b"\xff", b"x" * 1_200_000])
        return self.post("/classify", data=body, headers={"Content-Type": "application/json"})

    def page(self) -> str:
        path = self.random.choice(["/", "/docs", "/openapi.json", "/static/page.js", "/nothing", "/readyz"])
        return str(self.session.get(f"{self.url}{path}", timeout=30).status_code)

    def gone(self) -> str:
        """Ask and go away."""
        body = json.dumps({"text": self.text()}).encode()
        head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(head + b"%d\r\n\r\n" % len(body) + body)
        return "gone"

    def half(self) -> str:
        """Send half a request and go away."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        return "half"


def trouble(server: RedisServer, stop: threading.Event) -> None:
    """Pause the cache's server now and then."""
    while not stop.wait(20):
        server.pause()
        stop.wait(2)
        server.resume()


def test_nothing_grows(tmp_path: Path, upstream: FaultServer, figure: Callable[[str], None]) -> None:
    generator = random.Random(1)
    upstream.play(*upstream_answers(generator) * 20_000)
    with redis_running() as server:
        variables = {
            "MODERATOR__HTTP__TRUSTED_PROXIES": "1",
            "MODERATOR__LOGGING__REQUESTS": "false",
            "MODERATOR__LOGGING__LEVEL": "error",
            "MODERATOR__CLASSIFIER__NAME": "koala",
            "MODERATOR__CLASSIFIER__CONFIG__URL": upstream.url,
            "MODERATOR__CLASSIFIER__CONFIG__MAX_REPLY_BYTES": "100000",
            "MODERATOR__CLASSIFIER__DEADLINE_SECONDS": "2",
            "MODERATOR__CLASSIFIER__BATCHING__MAX_BATCH": "1",
            "MODERATOR__CLASSIFIER__ON_UNAVAILABLE": "embedded",
            "MODERATOR__CACHE__EXACT__MAX_ENTRIES": "500",
            "MODERATOR__CACHE__SIMILAR__MODE": "on",
            "MODERATOR__CACHE__SHARED__URL": server.url,
            "CACHE_SECRET": "a secret of the tests' own".replace(" ", "-"),
            "MODERATOR__LIMITS__URL": server.url,
            "MODERATOR__LIMITS__RATE": "1000000/hour",
            "BEARER_TOKEN": "hf_x",
            "THREADS": "32",
        }
        with serving(tmp_path / "log", variables) as live, proxying(tmp_path / "nginx", live.port) as nginx:
            outcomes: Counter[str] = Counter()
            stop = threading.Event()

            def work(seed: int) -> None:
                client = Client(nginx.port, seed)
                while not stop.is_set():
                    outcomes[client.ask()] += 1

            threads = [threading.Thread(target=work, args=(seed,)) for seed in range(CLIENTS)]
            threads.append(threading.Thread(target=trouble, args=(server, stop)))
            for thread in threads:
                thread.start()
            workers = live.workers()
            samples: list[tuple[float, Sample]] = []
            started = time.monotonic()
            try:
                while (elapsed := time.monotonic() - started) < SECONDS:
                    samples.append((elapsed, sample(live)))
                    requests.get(f"{live.url}/metrics", timeout=30)
                    stop.wait(min(5, SECONDS / 40))
            finally:
                stop.set()
                for thread in threads:
                    thread.join(60)
            assert live.workers() == workers, "none had to be replaced"
            in_progress = live.metric("content_moderator_http_requests_in_progress")
    warm = [each for elapsed, each in samples if elapsed > WARM_UP * SECONDS]
    early, late = warm[: len(warm) // 3], warm[-(len(warm) // 3) :]

    def median(part: list[Sample], name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in part))

    grown = {name: (median(early, name), median(late, name)) for name in vars(warm[0])}
    figure(f"{sum(outcomes.values())} requests in {SECONDS:.0f} s, {dict(outcomes)}; early and late: {grown}")
    assert set(outcomes) <= {"200", "400", "404", "413", "415", "422", "gone", "half", "broken"}
    assert outcomes["broken"] < 0.01 * sum(outcomes.values())
    assert in_progress == 1, "only the scrape itself"
    assert late[-1].metric_files == early[0].metric_files
    assert grown["memory_mb"][1] < grown["memory_mb"][0] * 1.05 + 5
    assert grown["descriptors"][1] <= grown["descriptors"][0] + 20
    assert grown["threads"][1] <= grown["threads"][0] + 8
