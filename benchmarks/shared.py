"""Exchanges with a Valkey or Redis server, and the memory of a text there: ``make bench-cache``."""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from benchmarks.load import machine, unused_port
from benchmarks.text import Writer
from content_moderator.cache.near_copies.folding import fold
from content_moderator.cache.redis_client import RedisClient
from content_moderator.cache.redis_store import RedisStore
from content_moderator.config.settings import (
    CacheSettings,
    Secret,
    Settings,
    SharedCacheSettings,
    SimilarCacheSettings,
)
from content_moderator.domain.classification import ClassifierIdentity
from content_moderator.domain.label import Label

SCORES = dict.fromkeys(Label, 0.0123) | {Label.OK: 0.9}


def main() -> None:
    """Print a Markdown table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--texts", type=int, default=20_000)
    count = arguments.parse_args().texts
    texts = list(Writer(3).texts(count))
    print(f"{machine()}; {count:,} texts of 20 to 400 characters\n")
    print("| | look-up µs | p99 µs | near copies µs | p99 µs | store µs | bytes a text |")
    print("|---|---|---|---|---|---|---|")
    for name, secret in (("scores only", None), ("with sealed texts", "sesame")):
        with server() as (url, client):
            shared = cache(url, secret)
            before = client.info("memory")["used_memory"]
            stores = [timed(shared.put, [(text, shared.record_of(SCORES, fold(text)))]) for text in texts]
            taken = (client.info("memory")["used_memory"] - before) / count
            gets = [timed(shared.get, [text]) for text in texts[:4000]]
            cells = [*spread(gets), "", "", f"{statistics.median(stores) * 1e6:.0f}", f"{taken:.0f}"]
            if secret:
                cells[2:4] = spread([timed(shared.find, text + "!") for text in texts[:4000]])
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def spread(seconds: list[float]) -> list[str]:
    """Return the median and the 99th percentile in microseconds."""
    return [
        f"{each * 1e6:.0f}" for each in (statistics.median(seconds), statistics.quantiles(seconds, n=100)[98])
    ]


def cache(url: str, secret: str | None) -> RedisStore:
    """Return a shared cache without short time-outs."""
    chosen = SharedCacheSettings(url=url, timeout_seconds=5)
    settings = Settings(
        cache=CacheSettings(similar=SimilarCacheSettings(mode="on"), shared=chosen),
        cache_secret=Secret(secret) if secret else None,
    )
    return RedisStore(settings, ClassifierIdentity("koala", "model", "1"), RedisClient(chosen))


def timed(exchange: Any, argument: Any) -> float:
    """Time one exchange, in seconds."""
    started = time.perf_counter()
    exchange(argument)
    return time.perf_counter() - started


@contextmanager
def server() -> Iterator[tuple[str, Any]]:
    """Run an empty server until the block ends; yields its URL and a client."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise SystemExit("a server is missing; on Debian and Ubuntu: apt install redis-server")
    port = unused_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            with redis.Redis(port=port, retry_on_error=[redis.exceptions.ConnectionError]) as client:
                client.ping()
                yield f"redis://127.0.0.1:{port}/0", client
        finally:
            process.terminate()
            process.wait(10)


if __name__ == "__main__":
    main()
