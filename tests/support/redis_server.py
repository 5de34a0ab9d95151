"""A real Valkey or Redis server, in a process of its own, on a free port of this machine."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.fault_server import unused_port, wait_until

NAMES = ("valkey-server", "redis-server")


@dataclass
class RedisServer:
    """A server that can be stopped, paused and started anew; nothing that it knows outlives it."""

    folder: Path
    password: str | None = None
    port: int = field(default_factory=unused_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> Any:
        """A client of the tests' own."""
        return redis.Redis(port=self.port, password=self.password)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = next(filter(None, map(shutil.which, NAMES)))
        command = [
            program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        if self.password:
            command += ["--requirepass", self.password]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers)

    def kill(self) -> None:
        """End it without a word."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Let it take connections and answer nothing."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def keys(self, kind: str) -> list[bytes]:
        """Give the keys of one kind: r(ecord), l(ease) or s(egment)."""
        with self.client as client:
            found: list[bytes] = client.keys(f"content-moderator:*:{kind}:*")
            return found

    def calls(self) -> int:
        """Tell how many scripts were run so far."""
        with self.client as client:
            stats = client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval"))

    def _answers(self) -> bool:
        try:
            with self.client as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False


@contextmanager
def running(password: str | None = None) -> Iterator[RedisServer]:
    """Run a server until the block ends; skip the test where there is none."""
    if not any(map(shutil.which, NAMES)):
        pytest.skip(f"{' or '.join(NAMES)} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), password)
        server.start()
        try:
            yield server
        finally:
            server.resume()
            server.kill()
