"""gunicorn's own log: lines like the application's, without anything of a request."""

import json
import logging
import re
import time
from typing import Any, Final

from gunicorn.glogging import Logger

from content_moderator.server.log_writer import LogHandler, LogWriter

STDOUT: Final = LogWriter(1)
STDERR: Final = LogWriter(2)
"""A log that is full or not read must not hold the master: a thread writes."""


class QuietLogger(Logger):
    """gunicorn puts a line together for each request, even where nothing would write it."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Write nothing: the application writes its own request lines."""


class WithoutRequestData(logging.Filter):
    """gunicorn quotes what it could not parse, and the URI of what failed: both may hold the text."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Cut what is quoted, and let the record pass."""
        message = record.getMessage()
        if message.startswith("Invalid request from ip="):
            message = message.partition(": ")[0]
        record.msg, record.args = re.sub(r"\?\S*", "?...", message), ()
        return True


class JsonFormatter(logging.Formatter):
    """Writes lines like the application's own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, Any] = {
            "event": "gunicorn",
            "message": record.getMessage(),
            "level": record.levelname.lower(),
            "pid": record.process,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
        }
        if record.exc_info:
            line["exception"] = getattr(record.exc_info[0], "__name__", None)
        return json.dumps(line)


LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"without_request_data": {"()": WithoutRequestData}},
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {
        "stderr": {
            "()": LogHandler,
            "writer": STDERR,
            "formatter": "json",
            "filters": ["without_request_data"],
        }
    },
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}
"""For ``logconfig_dict``."""
