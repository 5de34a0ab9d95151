"""gunicorn's own log, in the format of the application's and without data of requests."""

import json
import logging
import re
import time
from typing import Any, Final

from gunicorn.glogging import Logger

from content_moderator.server.log_writer import LogHandler, LogWriter

STDOUT: Final = LogWriter(1)
STDERR: Final = LogWriter(2)
"""
Lines are written in a thread, because a full disk or a pipe that nobody reads must not block the master.
"""


class QuietLogger(Logger):
    """Without request lines: gunicorn would format one for each request, even if it is not written."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Do nothing: the application writes its own request lines."""


class WithoutRequestData(logging.Filter):
    """
    Removes data of requests. gunicorn quotes requests that it cannot parse, and URIs; both can contain the
    text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove quoted data from the record; return True."""
        message = record.getMessage()
        if message.startswith("Invalid request from ip="):
            message = message.partition(": ")[0]
        record.msg, record.args = re.sub(r"\?\S*", "?...", message), ()
        return True


class JsonFormatter(logging.Formatter):
    """Formats records like the log lines of the application."""

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
"""The value of ``logconfig_dict``."""
