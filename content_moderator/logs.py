"""Structured logs on standard output: one event a line, with the request's id, never with a text."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from content_moderator.settings import LoggingSettings


def configure_logging(settings: LoggingSettings) -> None:
    """Set up structlog for this process."""
    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    if settings.format == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_json)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.level.upper())),
        # One write for each line: print's two would interleave with those of other workers.
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _json(event: Any, default: Callable[[Any], Any]) -> str:
    """Write an event as JSON, in a fifth of the time of the standard library."""
    return orjson.dumps(event, default=default).decode()
