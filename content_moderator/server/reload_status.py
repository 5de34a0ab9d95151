"""Reads what the master process writes about its last reload and its workers."""

import json
from pathlib import Path
from typing import TypedDict


class ReloadStatus(TypedDict):
    """
    The word that the master leaves.

    Args:
        pid: Its own.
        begun: When it began to read them, in seconds of the machine's monotonic clock.
        problem: Why it refused the last time; empty if it did not.
        taken_over: When the settings in force were loaded, in seconds since 1970.
    """

    pid: int
    begun: float
    problem: str
    taken_over: float


def read_reload_status(folder: str | None) -> ReloadStatus | None:
    """
    Read the word.

    Args:
        folder: That the master shares with its workers.
    Returns:
        The word; None if nothing is said there.
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
    List the workers.

    Args:
        folder: That the master shares with its workers.
    Returns:
        Their process ids by the numbers of their slots.
    """
    found = {}
    for path in sorted(Path(folder).glob("worker-*")) if folder else ():
        try:
            found[path.name.removeprefix("worker-")] = int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue  # It is just ending, or there was no room to say who it is.
    return found
