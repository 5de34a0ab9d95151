"""
Writes log lines in a thread: a log that cannot be written holds up neither requests nor the master.

A disk may be full, and the reader of a pipe may have stopped reading. A thread writes; in front of it is a
queue with a limit, beyond which lines are dropped and counted. Only the standard library is used here:
gunicorn's master process loads this file by its path, and imports nothing else of the package.
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
"""Of the lines that wait: a few seconds of a busy service."""

BATCH_BYTES: Final = 4096
"""A pipe takes so many in one piece (PIPE_BUF): the lines of several processes do not mix."""

FLUSH_SECONDS: Final = 1.0
"""How long the end of the process waits for the last lines."""

GATHER_SECONDS: Final = 0.02
"""How long lines gather after some were written: to wake the thread for each costs as much as to write it."""

_POLL_MILLISECONDS: Final = 1000


class LogWriter:
    """
    Writes lines to a file descriptor, in a thread that starts with the first line. Safe to fork.

    Args:
        descriptor: Of the log.
        on_drop: Told how many lines were not written, and why.
    """

    def __init__(self, descriptor: int, *, on_drop: Callable[[int], object] = lambda _: None) -> None:
        self._descriptor = descriptor
        self._on_drop = on_drop
        self._reset()
        # A thread is not there after a fork, and what it held locked would stay locked.
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
        """Write a line, soon; it never raises and never blocks."""
        self.write_bytes(line.encode("utf-8", "backslashreplace"))

    def write_bytes(self, line: bytes) -> None:
        """Write an encoded line; see `write`."""
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
        """Wait until what was logged so far is written, or could not be, for *seconds* at most."""
        ends = time.monotonic() + seconds
        while (self._lines or self._writing) and time.monotonic() < ends:
            time.sleep(0.001)

    def _started(self) -> bool:
        """Start the thread if there is none; tell whether there is one."""
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
        """Take as many lines as go out in one piece, at least one if there is any."""
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
        # What is left of a line that broke off is not to run into the next one.
        left = memoryview(b"\n" * self._torn + b"".join(batch))
        self._torn = False
        whole = len(left)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                # Somebody who shares the descriptor has made it so.
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
    Has the records of the standard library's logging written by a `LogWriter`.

    Args:
        writer: Writes them.
    """

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; one that cannot be formatted is left out."""
        with contextlib.suppress(Exception):
            self._writer.write(self.format(record))
