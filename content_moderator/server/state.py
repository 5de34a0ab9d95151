"""The state of the master process and its workers, attached to gunicorn's objects, which survive a reload."""

import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from content_moderator.server.reload_status import ReloadStatus

_NAME: Final = "content_moderator"


@dataclass(slots=True)
class MasterState:
    """
    The state of the master process.

    Args:
        folder: The run folder: metric files, the frozen configuration, the process ids of workers.
        reload_status: The result of the last load.
        frozen: The folder of the configuration in force.
        frozen_files: The content of that folder by file name, in case somebody removes it.
        loaded: Shared with the workers: 1 after a worker has loaded the application.
        reload_waits: Whether a reload is pending.
    """

    folder: Path
    reload_status: ReloadStatus
    frozen: Path
    frozen_files: dict[str, bytes] = field(default_factory=dict)
    loaded: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 1))
    reload_waits: bool = False


@dataclass(slots=True)
class WorkerState:
    """
    The state of a worker process.

    Args:
        metrics_slot: The number in the names of its metric files.
        frozen: The folder of its configuration.
        spare_descriptor: An open descriptor, which is closed to refuse a connection.
    """

    metrics_slot: int
    frozen: Path
    spare_descriptor: int = -1


def log_of(server: Arbiter) -> Logger:
    """Return gunicorn's logger."""
    return cast(Logger, server.log)


def attach(holder: Arbiter | Worker, state: MasterState | WorkerState) -> None:
    """Attach the state of a process to gunicorn's object for it."""
    setattr(holder, _NAME, state)


def master_state(server: Arbiter) -> MasterState:
    """Return the state of the master process."""
    return cast(MasterState, getattr(server, _NAME))


def worker_state(worker: Any) -> WorkerState:
    """Return the state of a worker process."""
    return cast(WorkerState, getattr(worker, _NAME))
