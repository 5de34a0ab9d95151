"""Structured logs on standard output: one event a line, with the request's id, never with a text."""

import logging
import sys
from typing import Any

import structlog

from content_moderator.settings import LoggingSettings


def configure_logging(settings: LoggingSettings) -> None:
    """Set up structlog for this process."""
    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    if settings.format == "json":
        renderer = structlog.processors.JSONRenderer()
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
