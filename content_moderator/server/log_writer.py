"""
Writes log lines in a thread, so that a log that cannot be written blocks neither requests nor the master.

A disk can be full, and the reader of a pipe can stop reading. The thread has a bounded queue; further lines
are dropped and counted. This module uses only the standard library, because gunicorn's master process imports
it.
"""

import atexit
import contextlib
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_LINES: Final = 10_000
MAX_BYTES: Final = 4 * 1024 * 1024
"""The largest size of the queue in bytes: a few seconds of a busy service."""

BATCH_BYTES: Final = 4096
"""A pipe accepts this number of bytes atomically (PIPE_BUF), so lines of several processes do not mix."""

FLUSH_SECONDS: Final = 1.0
"""How long the process waits for the last lines when it ends."""

GATHER_SECONDS: Final = 0.02
"""How long lines are collected after a write. Waking the thread for each line costs as much as writing it."""

_POLL_MILLISECONDS: Final = 1000


class LogWriter:
    """
    Writes lines to a file descriptor, in a thread that starts with the first line. Safe to fork.

    Args:
        descriptor: The file descriptor of the log.
        on_drop: Called with the number of lines that were not written.
    """

    def __init__(self, descriptor: int, *, on_drop: Callable[[int], object] = lambda _: None) -> None:
        self._descriptor = descriptor
        self._on_drop = on_drop
        self._reset()
        # After a fork the thread does not exist, and locks that it held would stay locked.
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self.flush)

    def _reset(self) -> None:
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._torn = False
        self._writing = False

    def write(self, line: str) -> None:
        """Add a line to the queue; this never raises or blocks."""
        self.write_bytes(line.encode("utf-8", "backslashreplace"))

    def write_bytes(self, line: bytes) -> None:
        """Add an encoded line to the queue; see `write`."""
        data = line + b"\n"
        with self._lock:
            kept = len(self._lines) < MAX_LINES and self._bytes + len(data) <= MAX_BYTES and self._started()
            if kept:
                self._lines.append(data)
                self._bytes += len(data)
        if not kept:
            self._on_drop(1)
        elif not self._wake.is_set():
            self._wake.set()

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait until all lines so far are written or dropped, at most *seconds*."""
        ends = time.monotonic() + seconds
        while (self._lines or self._writing) and time.monotonic() < ends:
            time.sleep(0.001)

    def _started(self) -> bool:
        """Start the thread if it is not running; return whether it runs."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while batch := self._take():
                self._write(batch)
                self._writing = False
            time.sleep(GATHER_SECONDS)

    def _take(self) -> list[bytes]:
        """Take as many lines as can be written atomically, at least one if there is any."""
        with self._lock:
            batch: list[bytes] = []
            size = 0
            while self._lines and (not batch or size + len(self._lines[0]) <= BATCH_BYTES):
                batch.append(self._lines.popleft())
                size += len(batch[-1])
            self._bytes -= size
            self._writing = bool(batch)
            return batch

    def _write(self, batch: list[bytes]) -> None:
        # The rest of an incomplete line must not be joined with the next line.
        left = memoryview(b"\n" * self._torn + b"".join(batch))
        self._torn = False
        whole = len(left)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                # Another process that shares the descriptor has made it non-blocking.
                with contextlib.suppress(OSError, ValueError):
                    poll = select.poll()
                    poll.register(self._descriptor, select.POLLOUT)
                    poll.poll(_POLL_MILLISECONDS)
            except OSError:
                self._torn = len(left) < whole
                self._on_drop(len(batch))
                return


class LogHandler(logging.Handler):
    """
    Writes records of the standard library's logging with a `LogWriter`.

    Args:
        writer: The writer.
    """

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; a record that cannot be formatted is dropped."""
        with contextlib.suppress(Exception):
            self._writer.write(self.format(record))
