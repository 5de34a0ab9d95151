"""Workers that cannot start are tried again: gunicorn as a whole would stop."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from gunicorn.arbiter import Arbiter

from content_moderator.server.state import log_of, master_state

RETRY_SECONDS: Final = 1.0


def spawning_patiently(server: Arbiter, spawn_worker: Callable[[], Any]) -> Callable[[], Any]:
    """Have the master try again a second later if it cannot start a worker: without memory, say."""
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
    Have a worker that cannot load the application end and be replaced, once another could load it.

    Not all that it needs is frozen: a file with a secret, a model, the folder of the audit log may be away
    for the moment.
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
