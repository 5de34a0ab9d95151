"""Starts workers again that could not start; gunicorn would stop completely."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from gunicorn.arbiter import Arbiter

from content_moderator.server.state import log_of, master_state

RETRY_SECONDS: Final = 1.0


def spawning_patiently(server: Arbiter, spawn_worker: Callable[[], Any]) -> Callable[[], Any]:
    """Make the master try again after a second if it cannot start a worker (for lack of memory, say)."""
    master = os.getpid()

    def spawn_or_wait() -> Any:
        try:
            return spawn_worker()
        except Exception as error:
            if os.getpid() != master:
                raise
            log_of(server).error("Worker cannot be started and is tried again: %s", error)
            time.sleep(RETRY_SECONDS)
            return None

    return spawn_or_wait


def loading_patiently(server: Arbiter, load: Callable[[], Any]) -> Callable[[], None]:
    """
    Make a worker that cannot load the application end and be replaced, if another has loaded it before.

    Not everything is frozen: a file with a secret, a model, or the folder of the audit log can be missing
    temporarily.
    """

    def load_or_end() -> None:
        loaded = master_state(server).loaded
        try:
            load()
        except Exception as error:
            if not loaded[0]:
                raise
            log_of(server).error("Worker cannot start and is tried again: %s", error)
            time.sleep(RETRY_SECONDS)
            sys.exit(1)
        loaded[0] = 1

    return load_or_end
