"""The audit log: caller, decision and reasons for each text, but never the text."""

import hashlib
import hmac
import logging
import os
import sys
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from typing import Any, Final

import orjson
import structlog

from content_moderator.config.settings import AuditSettings, Secret
from content_moderator.domain.caller import Caller
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.verdict import Verdict
from content_moderator.observability import metrics
from content_moderator.server.log_writer import LogHandler, LogWriter
from content_moderator.text.cleaning import clean

STANDARD_OUTPUT: Final = "-"

_log = structlog.get_logger(__name__)


class AuditLog:
    """
    Writes one line of JSON for each text that is judged.

    A text is identified by a keyed hash (HMAC-SHA256 of the cleaned text). With the secret, the decision
    about a given text can be found; without it nobody can find a text by guessing. If a line cannot be
    written, that is counted and logged, and the response is sent anyway.

    Args:
        path: The file to append to, which is opened again if it was moved away; or ``STANDARD_OUTPUT``.
        secret: The key of the hash.
    Raises:
        ConfigurationError: The file cannot be written.
    """

    def __init__(self, path: str, secret: Secret) -> None:
        self._secret = secret
        try:
            self._handler = _standard_output() if path == STANDARD_OUTPUT else _File(path)
        except OSError as error:
            raise ConfigurationError(f"audit.file: {path} cannot be written ({error.strerror})") from error
        self._handler.handleError = _count_lost_line  # type: ignore[assignment,method-assign]

    def write(
        self,
        text: str | None,
        verdict: Verdict,
        *,
        request_id: str,
        endpoint: str,
        caller: Caller | None,
    ) -> None:
        """
        Record a decision.

        Args:
            text: The text; None to write no hash.
            verdict: The verdict about the text.
            request_id: The id of the request.
            endpoint: The endpoint of the request.
            caller: The caller; None for anonymous callers.
        """
        judged = verdict.as_dict()
        for reason in judged["reasons"]:
            # A term is a part of the text.
            reason.pop("term", None)
        line: dict[str, Any] = {
            "event": "audit",
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id,
            "endpoint": endpoint,
            "tenant": caller.tenant if caller else None,
            "key_id": caller.key_id if caller else None,
            "text_hash": None if text is None else self.hash(text),
        } | judged
        record = logging.LogRecord("audit", logging.INFO, "", 0, orjson.dumps(line).decode(), None, None)
        self._handler.handle(record)

    def close(self) -> None:
        """Close the file."""
        self._handler.close()

    def hash(self, text: str) -> str:
        """Return the keyed hash of a text."""
        return hmac.new(self._secret.reveal().encode(), clean(text).encode(), hashlib.sha256).hexdigest()


def build_audit(settings: AuditSettings, secret: Secret | None) -> AuditLog | None:
    """
    Build the audit log that the settings describe; return None if there is none.

    Raises:
        ConfigurationError: The secret is missing, or the file cannot be written.
    """
    if settings.file is None:
        return None
    if secret is None:
        raise ConfigurationError("AUDIT_SECRET: missing; audit.file needs it, or AUDIT_SECRET_FILE")
    return AuditLog(settings.file, secret)


def _standard_output() -> logging.Handler:
    """Return a handler that writes in a thread, as the log does: nobody may read from standard output."""
    try:
        return LogHandler(LogWriter(sys.stdout.fileno(), on_drop=metrics.AUDIT_FAILURES.inc))
    except (OSError, AttributeError, ValueError):
        return logging.StreamHandler(sys.stdout)


class _File(WatchedFileHandler):
    """A log file that only its owner can read."""

    def __init__(self, path: str) -> None:
        super().__init__(path, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            # The base class does not handle a file that cannot be opened again.
            self.handleError(record)


def _count_lost_line(_record: logging.LogRecord) -> None:
    metrics.AUDIT_FAILURES.inc()
    _log.error("audit_not_written", exception=getattr(sys.exc_info()[0], "__name__", None))
