"""Reads the files in which the master process describes its last reload and its workers."""

import json
from pathlib import Path
from typing import TypedDict


class ReloadStatus(TypedDict):
    """
    The status of the last load of the configuration.

    Args:
        pid: The process id of the master.
        begun: Start of the last load, in seconds of the machine's monotonic clock.
        problem: Why the configuration was refused; empty if it was accepted.
        taken_over: Time when the settings in force were loaded, in seconds since 1970.
    """

    pid: int
    begun: float
    problem: str
    taken_over: float


def read_reload_status(folder: str | None) -> ReloadStatus | None:
    """
    Read the status.

    Args:
        folder: The run folder.
    Returns:
        The status; None if there is none.
    """
    if folder is None:
        return None
    try:
        word: ReloadStatus = json.loads(Path(folder, "reload.json").read_bytes())
    except (OSError, json.JSONDecodeError):
        return None
    return word


def workers(folder: str | None) -> dict[str, int]:
    """
    Return the running workers.

    Args:
        folder: The run folder.
    Returns:
        The process ids by metric slot.
    """
    found = {}
    for path in sorted(Path(folder).glob("worker-*")) if folder else ():
        try:
            found[path.name.removeprefix("worker-")] = int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue  # The worker is just ending, or its file could not be written.
    return found
