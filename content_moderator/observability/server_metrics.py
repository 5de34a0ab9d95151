"""Metrics of gunicorn's master and workers, which are read at each scrape."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from content_moderator.server.reload_status import read_reload_status, workers


class Reloads:
    """
    Collects the result of the last reload, from the file that gunicorn's master writes.

    The master itself has no metrics, so the worker that is scraped reads the file.
    """

    def describe(self) -> list[Metric]:
        """Return no metrics, because there may be none yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the current metrics."""
        if word := read_reload_status(os.environ.get("MODERATOR_RUN_DIR")):
            yield GaugeMetricFamily(
                "content_moderator_config_last_reload_successful",
                "1 if the settings were accepted when they were last read, 0 if they were refused.",
                value=not word["problem"],
            )
            yield GaugeMetricFamily(
                "content_moderator_config_last_reload_success_timestamp_seconds",
                "When the settings in force were loaded, in seconds since 1970.",
                value=word["taken_over"],
            )


class Workers:
    """Collects the resources that each worker uses."""

    def describe(self) -> list[Metric]:
        """Return no metrics, because there may be none yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the current metrics."""
        families = {
            name: GaugeMetricFamily(f"content_moderator_worker_{name}", text, labels=("worker",))
            for name, text in _WORKER_GAUGES.items()
        }
        for slot, pid in workers(os.environ.get("MODERATOR_RUN_DIR")).items():
            with contextlib.suppress(OSError, ValueError, IndexError):
                for name, value in _measures(Path("/proc", str(pid))).items():
                    families[name].add_metric([slot], value)
        yield from families.values()


_WORKER_GAUGES: Final = {
    "resident_memory_bytes": "Memory of a worker, in bytes.",
    "open_fds": "File descriptors that a worker has open.",
    "max_fds": "File descriptors that a worker may have open.",
    "threads": "Threads of a worker.",
}


def _measures(process: Path) -> dict[str, float]:
    """Return the values of ``_WORKER_GAUGES`` for one process."""
    pages = int((process / "statm").read_text().split()[1])
    limits = (process / "limits").read_text()
    return {
        "resident_memory_bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "open_fds": len(list((process / "fd").iterdir())),
        "max_fds": float(limits.partition("Max open files")[2].split()[0].replace("unlimited", "inf")),
        "threads": len(list((process / "task").iterdir())),
    }
