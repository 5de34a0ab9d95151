"""gunicorn's settings; the hooks are in `content_moderator.server`."""

import os
import sys

from content_moderator.server import descriptors, responses
from content_moderator.server.hooks import (  # noqa: F401  (gunicorn finds them here by their names)
    child_exit,
    on_exit,
    on_starting,
    post_fork,
    post_worker_init,
    pre_fork,
    when_ready,
)
from content_moderator.server.log import LOGGING, QuietLogger
from content_moderator.server.run_folder import SHARED_MEMORY


def _whole_number(name: str, default: str) -> int:
    """Read a number, at least 1, from the environment; end with a sentence if it is none."""
    value = os.environ.get(name, default)
    if not (value.isascii() and value.isdigit() and int(value[:9]) >= 1):
        sys.exit(f"Error: {name}: must be a whole number from 1 on, not {value!r}")
    return int(value)


responses.install()
descriptors.install()
# The matrices of the sentence encoder are small: more threads than one to a request only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_host = os.environ.get("HOST", "127.0.0.1")
_port = os.environ.get("PORT", "8000")
# Loopback unless told otherwise: a buffering reverse proxy belongs in front.
bind = f"[{_host}]:{_port}" if ":" in _host else f"{_host}:{_port}"
# Threads: the work is waiting for an upstream; gevent was no faster and starved connections.
worker_class = "gthread"
# Set it to the number of cores: the embedded model's arithmetic keeps one busy each.
workers = _whole_number("WEB_CONCURRENCY", "2")
# More than classifier.batching.max_waiting, so that a worker with all the texts that it may have still has
# threads to refuse the rest with, and for /livez and /metrics. Threads start when they are first needed.
threads = _whole_number("THREADS", "224")
# Seconds without a sign of life until a worker is killed; it does not bound a request, the deadline does.
timeout = 30
# Longer than the default deadline, so that a stopping worker answers what it has begun.
graceful_timeout = 30
# Longer than the reverse proxy keeps its connections to us, so that the proxy closes first.
keepalive = 75
# Connections kept open in a worker, idle ones included.
worker_connections = 1000
# Addresses and schemes are taken from proxies by http.trusted_proxies alone. gunicorn would take from any
# process of this machine, so from what a proxy passes on too, that the path begins later than was read.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
# The largest that gunicorn takes: the old contract carries the text in the query.
limit_request_line = 8190
# Heartbeat files in memory: on a disk a slow write can look like a dead worker.
worker_tmp_dir = SHARED_MEMORY
# Files are sent like all else, after the headers that are held back.
sendfile = False
# gunicorn 27 opens a control socket in $HOME unless told not to.
control_socket_disable = True
# The application writes its own request lines; gunicorn's would hold the query, and so the text.
accesslog = None
logger_class = QuietLogger
logconfig_dict = LOGGING
