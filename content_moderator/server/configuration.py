"""
Checks the configuration in a separate process and freezes it for the workers.

gunicorn stops completely if a worker cannot load the application, also at a reload and when a worker is
replaced. So workers never read files that may have changed since the check: the checked configuration is
frozen in a folder in memory.
"""

import os
import shutil
import subprocess
import sys
import time
from typing import Final

from gunicorn.arbiter import Arbiter

from content_moderator.server.run_folder import keep_folder
from content_moderator.server.state import log_of, master_state, worker_state

CHECK_SECONDS: Final = 25.0
"""
The time-out of the check. The master is blocked during it, so a file on a disk that hangs must not block it
for ever.
"""

_WARNING: Final = "Warning: "


def take_over(server: Arbiter) -> str:
    """
    Check the configuration and freeze it for the workers that start from now on.

    Each time a new folder is used, so that a worker that starts at the same time finds either the old or the
    new configuration completely.

    Returns:
        The problem in one line; empty if there is none.
    """
    state = master_state(server)
    keep_folder(server)
    fresh = state.folder / f"config-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "content_moderator", "config", "check", "--freeze", str(fresh)]
    without_metrics = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
    warnings: list[str] = []
    frozen: dict[str, bytes] = {}
    try:
        finished = subprocess.run(  # noqa: S603
            command, env=without_metrics, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False
        )
        lines = finished.stderr.strip().splitlines()
        warnings = [line.removeprefix(_WARNING) for line in lines if line.startswith(_WARNING)]
        # A process that was killed, for example because memory was short, has printed nothing.
        said = "\n".join(line for line in lines if not line.startswith(_WARNING)).removeprefix("Error: ")
        problem = (said or "the check of the configuration was killed") if finished.returncode else ""
        if not problem:
            frozen = {each.name: each.read_bytes() for each in fresh.iterdir()}
    except subprocess.TimeoutExpired:
        problem = f"the configuration could not be read in {CHECK_SECONDS:g} seconds"
    except OSError as error:
        problem = f"the configuration could not be checked ({error.strerror})"
    if problem:
        shutil.rmtree(fresh, ignore_errors=True)
        return problem
    for warning in warnings:
        log_of(server).warning("%s", warning)
    state.frozen, state.frozen_files = fresh, frozen
    # The folders of running workers are kept: one may be reading.
    used = {fresh, *(worker_state(worker).frozen for worker in server.WORKERS.values())}
    for outdated in set(state.folder.glob("config-*")) - used:
        shutil.rmtree(outdated, ignore_errors=True)
    return ""
