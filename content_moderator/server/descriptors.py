"""File descriptors: raises their limit, and refuses connections when there are none left."""

import contextlib
import errno
import os
import resource
from collections.abc import Callable
from typing import Any, Final

from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import ThreadWorker

from content_moderator.server.state import log_of, worker_state

RESERVED: Final = 128
"""The number of descriptors of a worker besides its connections: files, libraries, the classifier, Redis."""

MIN_CONNECTIONS: Final = 8

_NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def allow_descriptors(server: Arbiter) -> None:
    """Raise the limit of file descriptors to the need of a worker, or lower the number of connections."""
    wanted = server.cfg.worker_connections + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard == resource.RLIM_INFINITY or hard > soft:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        connections = max(MIN_CONNECTIONS, soft - min(RESERVED, soft * 3 // 4))
        server.cfg.set("worker_connections", connections)
        log_of(server).warning(
            "Only %d file descriptors are allowed: each worker takes %d connections at once instead of %d."
            " Allow %d: ulimit -n, or LimitNOFILE of systemd",
            soft,
            connections,
            wanted - RESERVED,
            wanted,
        )


def keep_spare_descriptor(worker: Any) -> None:
    """Open a spare descriptor. Closing it makes room to accept a connection and close it at once."""
    with contextlib.suppress(OSError):
        worker_state(worker).spare_descriptor = os.open(os.devnull, os.O_RDONLY)


def refusing(accept: Callable[[Any, Any], Any]) -> Callable[[Any, Any], None]:
    """Make a worker refuse connections for which it has no descriptor; gunicorn would end the worker."""

    def accept_or_refuse(worker: Any, listener: Any) -> None:
        try:
            accept(worker, listener)
        except OSError as error:
            if error.errno not in _NONE_LEFT:
                raise
            worker.log.error("Connection refused: %s", error.strerror)  # noqa: TRY400
            with contextlib.suppress(OSError):
                os.close(worker_state(worker).spare_descriptor)
            with contextlib.suppress(OSError):
                listener.accept()[0].close()
            keep_spare_descriptor(worker)

    return accept_or_refuse


def install() -> None:
    """Make gunicorn's workers use `refusing`."""
    if not getattr(ThreadWorker.accept, "refuses", False):
        accept = refusing(ThreadWorker.accept)
        accept.refuses = True  # type: ignore[attr-defined]
        ThreadWorker.accept = accept  # type: ignore[method-assign,assignment]
