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

_M_ARENA_MAX: Final = -8  # of glibc's malloc.h; other libraries have no arenas


def on_starting(server: Arbiter) -> None:
    """
    Stop before anything starts if the configuration is bad, and prepare the folder of the run.

    A reload keeps the folder, for the environment stays; the new master of a binary upgrade comes by here and
    makes its own.
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
    """Say where the service is; under systemd that is not what *bind* says."""
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
    """Return the worker the lowest metric slot that no living worker has, and the newest configuration."""
    taken = {worker_state(other).metrics_slot for other in server.WORKERS.values()}
    slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
    attach(worker, WorkerState(slot, master_state(server).frozen))
    surviving(server, keep_folder)(server)


def post_fork(server: Arbiter, worker: Any) -> None:
    """Tell the worker which metric slot is its own, and where its configuration is."""
    # Each thread would keep the memory of its largest request for itself: two workers of eight threads, given
    # bodies of a megabyte, grew by 67 MB, and by 41 MB so.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    keep_spare_descriptor(worker)
    state = worker_state(worker)
    os.environ["MODERATOR_METRICS_SLOT"] = str(state.metrics_slot)
    os.environ["MODERATOR_CONFIG_DIR"] = str(state.frozen)
    # What they say is frozen already; again they would lead past the frozen files of keys and policies.
    for name in [name for name in os.environ if name.startswith(("MODERATOR__", "MODERATOR_ENVIRONMENT"))]:
        del os.environ[name]
    worker.load_wsgi = loading_patiently(server, worker.load_wsgi)
    # After a reload workers run the code that is installed then, and not what the master has imported.
    for name in [name for name in sys.modules if name.partition(".")[0] == "content_moderator"]:
        del sys.modules[name]


def post_worker_init(worker: Any) -> None:
    """Write who the worker is, for /metrics; leave what it has loaded out of garbage collections."""
    announce_worker(worker)
    # It lives as long as the worker does: each full collection would go through all of it.
    gc.collect()
    gc.freeze()


def child_exit(server: Arbiter, worker: Any) -> None:
    """Forget a worker that is gone."""
    surviving(server, forget_worker)(server, worker)


def on_exit(server: Arbiter) -> None:
    """Remove the folder of the run."""
    shutil.rmtree(master_state(server).folder, ignore_errors=True)
