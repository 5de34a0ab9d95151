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
    """Return a whole number of at least 1 from the environment; exit with an error if it is invalid."""
    value = os.environ.get(name, default)
    if not (value.isascii() and value.isdigit() and int(value[:9]) >= 1):
        sys.exit(f"Error: {name}: must be a whole number from 1 on, not {value!r}")
    return int(value)


responses.install()
descriptors.install()
# The matrices of the sentence encoder are small: with more than one thread, the threads only wait for each
# other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_host = os.environ.get("HOST", "127.0.0.1")
_port = os.environ.get("PORT", "8000")
# Loopback by default, because there should be a buffering reverse proxy in front.
bind = f"[{_host}]:{_port}" if ":" in _host else f"{_host}:{_port}"
# Threads, because requests mostly wait for the remote model. gevent was no faster, and starved connections.
worker_class = "gthread"
# Set it to the number of cores: the embedded model keeps one core busy in each worker.
workers = _whole_number("WEB_CONCURRENCY", "2")
# More than classifier.batching.max_waiting, so that a worker with a full queue still has threads to refuse
# requests, and for /livez and /metrics. Threads start when they are first needed.
threads = _whole_number("THREADS", "224")
# Seconds without a heartbeat until a worker is killed. This does not limit the time of a request; the
# deadline does.
timeout = 30
# Longer than the default deadline, so that a worker that stops can finish its requests.
graceful_timeout = 30
# Longer than the reverse proxy keeps idle connections, so that the proxy closes them first.
keepalive = 75
# The number of open connections of a worker, including idle ones.
worker_connections = 1000
# Only http.trusted_proxies says which headers of proxies are trusted. By default gunicorn trusts every
# process on the same machine, and so headers that a proxy passes on, such as SCRIPT_NAME, which changes the
# path.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
# The largest value that gunicorn accepts, because the old API has the text in the query.
limit_request_line = 8190
# Heartbeat files are in memory: on a slow disk, a worker could look dead.
worker_tmp_dir = SHARED_MEMORY
# Files are sent like all other bodies, together with the headers that are held.
sendfile = False
# By default gunicorn 27 opens a control socket in $HOME.
control_socket_disable = True
# The application writes its own request lines. Those of gunicorn would contain the query, and so the text.
accesslog = None
logger_class = QuietLogger
logconfig_dict = LOGGING
