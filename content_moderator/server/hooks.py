"""The hooks that gunicorn calls by name; see https://docs.gunicorn.org/en/stable/settings.html#server-hooks."""

import contextlib
import ctypes
import gc
import os
import shutil
import sys
import time
from typing import Any, Final

from gunicorn.arbiter import Arbiter

from content_moderator.server.configuration import take_over
from content_moderator.server.descriptors import allow_descriptors, keep_spare_descriptor
from content_moderator.server.log import STDERR, STDOUT
from content_moderator.server.reloads import coalesced, note_reload, only_if_sound, surviving
from content_moderator.server.run_folder import announce_worker, forget_worker, keep_folder, make_folder
from content_moderator.server.state import MasterState, WorkerState, attach, master_state, worker_state
from content_moderator.server.worker_retries import loading_patiently, spawning_patiently

_M_ARENA_MAX: Final = -8  # from glibc's malloc.h; other libraries have no arenas


def on_starting(server: Arbiter) -> None:
    """
    Check the configuration, stop if it is invalid, and prepare the run folder.

    A reload keeps the folder. The new master of a binary upgrade also runs this, and creates its own folder.
    """
    allow_descriptors(server)
    begun = time.monotonic()
    folder = make_folder()
    os.environ["MODERATOR_RUN_DIR"] = str(folder)
    status = {"pid": os.getpid(), "begun": begun, "problem": "", "taken_over": 0.0}
    attach(server, MasterState(folder, status, frozen=folder))  # type: ignore[arg-type]
    if problem := take_over(server):
        shutil.rmtree(folder, ignore_errors=True)
        STDERR.flush()
        sys.exit(f"Error: {problem}")
    note_reload(server, "", begun)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder / "metrics")
    server.reload = only_if_sound(server, server.reload)  # type: ignore[method-assign]
    server.signal = coalesced(server, server.signal)  # type: ignore[method-assign,assignment]
    server.spawn_worker = spawning_patiently(server, server.spawn_worker)  # type: ignore[method-assign]


def when_ready(server: Arbiter) -> None:
    """Log the address of the service; with systemd it differs from *bind*."""
    url = server.LISTENERS[0]
    STDOUT.write(
        f"content_moderator is ready\n"
        f"  page     {url}/\n"
        f"  docs     {url}/docs\n"
        f"  metrics  {url}/metrics\n"
        f"  try      curl -s {url}/classify -H 'Content-Type: application/json' "
        f"""-d '{{"text": "I had a lovely day"}}'"""
    )


def pre_fork(server: Arbiter, worker: Any) -> None:
    """Give the worker the lowest metric slot that no running worker has, and the newest configuration."""
    taken = {worker_state(other).metrics_slot for other in server.WORKERS.values()}
    slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
    attach(worker, WorkerState(slot, master_state(server).frozen))
    surviving(server, keep_folder)(server)


def post_fork(server: Arbiter, worker: Any) -> None:
    """Set the metric slot and the configuration folder of this worker."""
    # Otherwise each thread would keep the memory of its largest request. Two workers with eight threads and
    # bodies of a megabyte grew by 67 MB, and by 41 MB with one arena.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    keep_spare_descriptor(worker)
    state = worker_state(worker)
    os.environ["MODERATOR_METRICS_SLOT"] = str(state.metrics_slot)
    os.environ["MODERATOR_CONFIG_DIR"] = str(state.frozen)
    # Their values are already frozen. They would replace the paths of the frozen files of keys and policies.
    for name in [name for name in os.environ if name.startswith(("MODERATOR__", "MODERATOR_ENVIRONMENT"))]:
        del os.environ[name]
    worker.load_wsgi = loading_patiently(server, worker.load_wsgi)
    # After a reload, workers run the installed code instead of the modules that the master has imported.
    for name in [name for name in sys.modules if name.partition(".")[0] == "content_moderator"]:
        del sys.modules[name]


def post_worker_init(worker: Any) -> None:
    """Announce the worker for /metrics, and exclude loaded objects from garbage collection."""
    announce_worker(worker)
    # These objects exist as long as the worker; each full collection would visit all of them.
    gc.collect()
    gc.freeze()


def child_exit(server: Arbiter, worker: Any) -> None:
    """Remove the gauges of a worker that has ended."""
    surviving(server, forget_worker)(server, worker)


def on_exit(server: Arbiter) -> None:
    """Remove the run folder."""
    shutil.rmtree(master_state(server).folder, ignore_errors=True)
