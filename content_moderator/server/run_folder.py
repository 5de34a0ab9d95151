"""The run folder, which a master process shares with its workers; it is in memory if possible."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from gunicorn.arbiter import Arbiter

from content_moderator.server.state import log_of, master_state, worker_state

SHARED_MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
"""A folder in memory; None if the system has none."""


def make_folder() -> Path:
    """
    Create the run folder of a new master process. It is in memory, because every request writes to metric
    files.
    """
    parent = os.environ.get("MODERATOR_RUN_PARENT") or SHARED_MEMORY
    return Path(tempfile.mkdtemp(prefix="content-moderator-", dir=parent))


def keep_folder(server: Arbiter) -> None:
    """Create the folder again if it was removed, with the files that workers need."""
    state = master_state(server)
    if not state.folder.is_dir():
        # Fails if another user has created the folder.
        state.folder.mkdir(mode=0o700)
        log_of(server).warning("The folder %s was removed, and is made again", state.folder)
    (state.folder / "metrics").mkdir(mode=0o700, exist_ok=True)
    if not state.frozen.is_dir():
        state.frozen.mkdir(mode=0o700)
        for name, content in state.frozen_files.items():
            (state.frozen / name).touch(mode=0o600)
            (state.frozen / name).write_bytes(content)
        write_reload_status(server)


def write_reload_status(server: Arbiter) -> None:
    """Write the result of the last load, for /metrics and ``content-moderator config reload``."""
    state = master_state(server)
    path = state.folder / "reload.json"
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(json.dumps(state.reload_status), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        log_of(server).error("write_reload_status failed: %s", error)


def announce_worker(worker: Any) -> None:
    """Write the process id of a worker under its metric slot, for /metrics."""
    folder = Path(os.environ["MODERATOR_RUN_DIR"])
    with contextlib.suppress(OSError):
        (folder / f"worker-{worker_state(worker).metrics_slot}").write_text(str(worker.pid), encoding="ascii")


def forget_worker(server: Arbiter, worker: Any) -> None:
    """Remove the gauges of a worker that has ended; its counters stay."""
    folder, slot = master_state(server).folder, worker_state(worker).metrics_slot
    for path in (*(folder / "metrics").glob(f"gauge_live*_{slot}.db"), folder / f"worker-{slot}"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
