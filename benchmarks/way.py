"""
The way of a request that misses the cache: ``python -m benchmarks.way``.

It counts the modules of the package that a request passes and their lines, and how often its body is parsed,
and its text is cleaned and looked up. The upstream is a fake remote server on loopback.
"""

import collections
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import content_moderator
from benchmarks.upstream import upstream
from content_moderator.app import create_app
from content_moderator.cache.answer_cache import AnswerCache
from content_moderator.config.settings import (
    ClassifierSettings,
    LoggingSettings,
    Secret,
    Settings,
    UpstreamSettings,
)
from content_moderator.domain import moderator
from content_moderator.web import blueprint, fast_path

PACKAGE = Path(content_moderator.__file__).parent


@contextmanager
def traced(modules: set[Path]) -> Iterator[None]:
    """Collect the modules of the package in which functions are called, in all threads."""

    def trace(frame: FrameType, _event: str, _argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            modules.add(path)

    threading.settrace(trace)
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)
        threading.settrace(None)


@contextmanager
def counted(counts: collections.Counter[str], name: str, owner: Any, function: str) -> Iterator[None]:
    """Count the calls of a function."""
    original: Callable[..., Any] = getattr(owner, function)

    def counting(*args: Any, **kwargs: Any) -> Any:
        counts[name] += 1
        return original(*args, **kwargs)

    with patch.object(owner, function, counting):
        yield


def main() -> None:
    """Print the results for one request."""
    with upstream() as url:
        settings = Settings(
            classifier=ClassifierSettings(name="koala", config=UpstreamSettings(url=url)),
            logging=LoggingSettings(requests=False),
            bearer_token=Secret("x"),
        )
        client = create_app(settings).test_client()
        client.post("/classify", json={"text": "the first request has more to do"})
        modules: set[Path] = set()
        counts: collections.Counter[str] = collections.Counter()
        with traced(modules):
            client.post("/classify", json={"text": "a text that is not in the cache"})
        with (
            counted(counts, "parsed", fast_path.FastPath, "_parse"),
            counted(counts, "parsed", blueprint, "read_json"),
            counted(counts, "cleaned", moderator, "clean"),
            counted(counts, "looked up", AnswerCache, "entry"),
        ):
            client.post("/classify", json={"text": "another text that is not in the cache"})
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in modules)
    print(f"{len(modules)} modules with {lines:,} lines")
    for name in ("parsed", "cleaned", "looked up"):
        print(f"{name}: {counts[name]}")


if __name__ == "__main__":
    main()
