"""Makes reloads change nothing if the new configuration is invalid."""

import functools
import os
import signal
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from gunicorn.arbiter import Arbiter

from content_moderator.server.configuration import take_over
from content_moderator.server.run_folder import write_reload_status
from content_moderator.server.state import log_of, master_state

P = ParamSpec("P")
T = TypeVar("T")


def surviving(server: Arbiter, hook: Callable[P, T]) -> Callable[P, T | None]:
    """Make a task of the master raise no exceptions, which would stop gunicorn completely."""

    @functools.wraps(hook)
    def survive(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return hook(*args, **kwargs)
        except Exception as error:  # noqa: BLE001
            log_of(server).error("%s failed: %s", hook.__name__, error)
            return None

    return survive


def only_if_sound(server: Arbiter, reload: Callable[[], Any]) -> Callable[[], Any]:
    """Make a reload change nothing if the new configuration is invalid."""

    def reload_if_sound() -> None:
        state = master_state(server)
        state.reload_waits = False
        begun = time.monotonic()
        try:
            problem = take_over(server)
        except OSError as error:
            problem = f"{error.filename or 'the folder of the run'}: {error.strerror}"
        if problem:
            log_of(server).error("Reload refused, the old configuration stays: %s", problem)
        else:
            reload()
        note_reload(server, problem, begun)

    return surviving(server, reload_if_sound)


def coalesced(server: Arbiter, queue: Callable[[int, Any], Any]) -> Callable[[int, Any], None]:
    """
    Coalesce pending reloads: the waiting one will read the latest files.

    Each takes a second or two, and gunicorn does nothing else until all are done. A script that reloads too
    often would keep it from stopping.
    """

    def queue_once(number: int, frame: Any) -> None:
        if number == signal.SIGHUP:
            state = master_state(server)
            if state.reload_waits:
                return
            state.reload_waits = True
        queue(number, frame)

    return queue_once


def note_reload(server: Arbiter, problem: str, begun: float) -> None:
    """
    Record the result of a reload.

    Args:
        server: gunicorn's master.
        problem: Why the configuration was refused; empty if it was accepted.
        begun: Start of the load, by ``time.monotonic``.
    """
    state = master_state(server)
    taken_over = state.reload_status["taken_over"] if problem else time.time()
    state.reload_status = {
        "pid": os.getpid(),
        "begun": begun,
        "problem": problem,
        "taken_over": taken_over,
    }
    write_reload_status(server)
