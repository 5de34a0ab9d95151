"""The state of the master process and its workers, kept on gunicorn's own objects, which outlive a reload."""

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
    The master process.

    Args:
        folder: Shared with the workers: the metric files, the frozen configuration, who the workers are.
        reload_status: How the configuration was last read.
        frozen: The folder of the configuration in force.
        frozen_files: What is in there, by name: the folder may be removed by somebody.
        loaded: Shared with the workers: 1 once a worker could load the application.
        reload_waits: Whether a reload was asked for and has not begun.
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
    A worker process.

    Args:
        metrics_slot: The number of its metric files.
        frozen: The folder of the configuration that it reads.
        spare_descriptor: Open, to be closed where a connection can only be refused.
    """

    metrics_slot: int
    frozen: Path
    spare_descriptor: int = -1


def log_of(server: Arbiter) -> Logger:
    """Return the log of gunicorn."""
    return cast(Logger, server.log)


def attach(holder: Arbiter | Worker, state: MasterState | WorkerState) -> None:
    """Keep the state of a process on gunicorn's object for it."""
    setattr(holder, _NAME, state)


def master_state(server: Arbiter) -> MasterState:
    """Return the state of the master process."""
    return cast(MasterState, getattr(server, _NAME))


def worker_state(worker: Any) -> WorkerState:
    """Return the state of a worker process."""
    return cast(WorkerState, getattr(worker, _NAME))
