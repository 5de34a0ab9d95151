"""A WSGI callable that only waits as long as the slow upstream: the lower limit of the costs of gunicorn."""

import time
from collections.abc import Callable, Iterable
from typing import Any

SECONDS = 0.05


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Read the body, wait, and answer."""
    environ["wsgi.input"].read()
    time.sleep(SECONDS)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]
