"""
gunicorn's settings. Only the standard library and gunicorn are imported here: what the master process has
imported is not read again when it reloads the workers.
"""

import contextlib
import ctypes
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path

from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from gunicorn.http.wsgi import Response

_host = os.environ.get("HOST", "127.0.0.1")
_port = os.environ.get("PORT", "8000")
_LOADED = "loaded"
_RETRY_SECONDS = 1.0
_CHECK_SECONDS = 25.0
_M_ARENA_MAX = -8  # of glibc's malloc.h; other libraries have no arenas
_shared_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108

# Loopback unless told otherwise: a buffering reverse proxy belongs in front.
bind = f"[{_host}]:{_port}" if ":" in _host else f"{_host}:{_port}"
# Threads: the work is waiting for an upstream; gevent was no faster and starved connections.
worker_class = "gthread"
# Set it to the number of cores: the embedded model's arithmetic keeps one busy each.
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
# More than classifier.coalescing.max_waiting, so that a worker with all that it may take on still has threads
# to refuse the rest with, and for /livez and /metrics. Threads start when they are first needed.
threads = int(os.environ.get("THREADS", "160"))
# Seconds without a sign of life until a worker is killed; it does not bound a request, the deadline does.
timeout = 30
# Longer than the default deadline, so that a stopping worker answers what it has begun.
graceful_timeout = 30
# Longer than the reverse proxy keeps its connections to us, so that the proxy closes first.
keepalive = 75
# Connections kept open in a worker, idle ones included.
worker_connections = 1000
# Whom to believe about addresses and schemes is said by http.trusted_proxies alone. gunicorn would take from
# any process of this machine, so from what a proxy passes on too, that the path begins later than was read.
forwarder_headers = ""
secure_scheme_headers = {}
# The largest that gunicorn takes: the old contract carries the text in the query.
limit_request_line = 8190
# Heartbeat files in memory: on a disk a slow write can look like a dead worker.
worker_tmp_dir = _shared_memory
# Files are sent like all else, after the headers that are held back.
sendfile = False
# gunicorn 27 opens a control socket in $HOME unless told not to.
control_socket_disable = True
# The application writes its own request lines; gunicorn's would hold the query, and so the text.
accesslog = None


class logger_class(Logger):  # noqa: N801  (gunicorn's name for the setting)
    """gunicorn puts a line together for each request, even where nothing would write it."""

    def access(self, resp, req, environ, request_time):
        """Write nothing."""


class _Answer(Response):
    """
    An answer without a name of the server, which leaves in one piece.

    gunicorn sends the headers by themselves: a proxy that has them can ask no other worker any more when this
    one is killed before the body. It has no setting for either.
    """

    _held = b""

    def default_headers(self):
        return [line for line in super().default_headers() if not line.startswith("Server:")]

    def send_headers(self):
        if not self.headers_sent:
            lines = [
                *self.default_headers(),
                *(f"{name}: {value}\r\n" for name, value in self.headers),
                "\r\n",
            ]
            self._held = util.to_bytestring("".join(lines), "latin-1")
            self.headers_sent = True

    def _emit_body(self, data):
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        self._release(data)

    def _release(self, data):
        held, self._held = self._held, b""
        util.write(self.sock, held + data)

    def close(self):
        self.send_headers()
        if self._held:
            self._release(b"")
        super().close()


def _refuse(sock, status_int, reason, mesg):
    """
    Answer what is not HTTP in the form of all errors: gunicorn would send a page that quotes the request.

    Behind a reverse proxy nobody sees it.
    """
    problem = {
        "type": "about:blank",
        "title": reason,
        "status": status_int,
        "code": "internal_error" if status_int == HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request",
        "detail": "The request is not valid HTTP, or its line or headers are too large.",
    }
    body = json.dumps(problem) + "\n"
    head = (
        f"HTTP/1.1 {status_int} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, (head + body).encode("ascii"))


wsgi.Response = _Answer
util.write_error = _refuse


class _WithoutRequestData(logging.Filter):
    """gunicorn quotes what it could not parse, and the URI of what failed: both may hold the text."""

    def filter(self, record):
        message = record.getMessage()
        if message.startswith("Invalid request from ip="):
            message = message.partition(": ")[0]
        record.msg, record.args = re.sub(r"\?\S*", "?...", message), ()
        return True


class _JsonFormatter(logging.Formatter):
    """Lines like the application's own."""

    def format(self, record):
        line = {
            "event": "gunicorn",
            "message": record.getMessage(),
            "level": record.levelname.lower(),
            "pid": record.process,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
        }
        if record.exc_info:
            line["exception"] = getattr(record.exc_info[0], "__name__", None)
        return json.dumps(line)


logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"without_request_data": {"()": _WithoutRequestData}},
    "formatters": {"json": {"()": _JsonFormatter}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "filters": ["without_request_data"],
        }
    },
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}


def _run(name):
    """Give a path in the folder of this master, which its workers share; see on_starting."""
    return Path(os.environ["MODERATOR_RUN_DIR"], name)


def _take_on(server):
    """
    Check the configuration and freeze it for the workers; give the line that says what is wrong.

    Each time in a folder of its own: a worker that starts meanwhile finds all of the old or all of the new.
    """
    fresh = _run(f"config-{time.monotonic_ns()}")
    command = [sys.executable, "-m", "content_moderator", "config", "check", "--freeze", str(fresh)]
    without_metrics = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
    try:
        # The master can do nothing else meanwhile: a file on a disk that hangs must not hold it for ever.
        finished = subprocess.run(  # noqa: S603
            command, env=without_metrics, capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False
        )
        # One that was killed, for want of memory say, has said nothing.
        said = finished.stderr.strip().removeprefix("Error: ") or "the check of the configuration was killed"
        problem = said if finished.returncode else ""
    except subprocess.TimeoutExpired:
        problem = f"the configuration could not be read in {_CHECK_SECONDS:g} seconds"
    if problem:
        shutil.rmtree(fresh, ignore_errors=True)
        return problem
    server.frozen = fresh
    # Those of living workers stay: one may just be reading.
    used = {fresh, *(worker.frozen for worker in server.WORKERS.values())}
    for outdated in set(_run("").glob("config-*")) - used:
        shutil.rmtree(outdated, ignore_errors=True)
    return ""


def _note_reload(problem, begun):
    """Leave word of how the settings were taken on, for /metrics and for content-moderator config reload."""
    path = _run("reload.json")
    word = {"pid": os.getpid(), "begun": begun, "problem": problem, "taken_on": time.time()}
    if problem:
        word["taken_on"] = json.loads(path.read_text(encoding="utf-8"))["taken_on"]
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(word), encoding="utf-8")
    fresh.replace(path)


def on_starting(server):
    """
    Stop before anything starts if the configuration is bad, and keep the old one at a bad reload.

    gunicorn as a whole stops when a worker cannot load the application, at a reload and when a worker
    is replaced too: so no worker reads files that may have become bad since they were checked. What was
    found sound is frozen in a folder in memory, where the metric files are as well. A reload keeps the
    folder, for the environment stays; the new master of a binary upgrade comes by here and makes its own.
    """
    os.environ["MODERATOR_RUN_DIR"] = tempfile.mkdtemp(prefix="content-moderator-", dir=_shared_memory)
    begun = time.monotonic()
    if problem := _take_on(server):
        shutil.rmtree(_run(""), ignore_errors=True)
        sys.exit(f"Error: {problem}")
    _note_reload("", begun)
    _run("metrics").mkdir()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_run("metrics"))
    server.reload = _only_if_sound(server, server.reload)
    server.signal = _once(server, server.signal)


def _only_if_sound(server, reload):
    """Have a reload change nothing if the new configuration is bad."""

    def reload_if_sound():
        server.reload_waits = False
        begun = time.monotonic()
        if problem := _take_on(server):
            server.log.error("Reload refused, the old configuration stays: %s", problem)
        else:
            reload()
        _note_reload(problem, begun)

    return reload_if_sound


def _once(server, queue):
    """
    Have reloads that are asked for while one waits be that one, which will read all that has changed.

    Each takes a second or two, and gunicorn hears of nothing else before it has done all of them: a script
    that asks too often would keep it from stopping.
    """
    server.reload_waits = False

    def queue_once(number, frame):
        if number == signal.SIGHUP:
            if server.reload_waits:
                return
            server.reload_waits = True
        queue(number, frame)

    return queue_once


def when_ready(server):
    """Tell a newcomer where to go; under systemd that is not what *bind* says."""
    url = server.LISTENERS[0]
    sys.stdout.write(
        f"content_moderator is ready\n"
        f"  page     {url}/\n"
        f"  docs     {url}/docs\n"
        f"  metrics  {url}/metrics\n"
        f"  try      curl -s {url}/classify -H 'Content-Type: application/json' "
        f"""-d '{{"text": "I had a lovely day"}}'\n"""
    )
    sys.stdout.flush()


def pre_fork(server, worker):
    """Give the worker the lowest metric slot that no living worker has, and the newest settings."""
    taken = {other.metrics_slot for other in server.WORKERS.values()}
    worker.metrics_slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
    worker.frozen = server.frozen


def post_fork(server, worker):
    """Tell the worker which metric slot is its own, and where its settings are."""
    # Each thread would keep the memory of its largest request for itself: two workers of eight threads, given
    # bodies of a megabyte, grew by 67 MB, and by 41 MB so.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    os.environ["MODERATOR_METRICS_SLOT"] = str(worker.metrics_slot)
    os.environ["MODERATOR_CONFIG_DIR"] = str(worker.frozen)
    # What they say is frozen already; again they would lead past the frozen files of keys and policies.
    for name in [name for name in os.environ if name.startswith(("MODERATOR__", "MODERATOR_ENVIRONMENT"))]:
        del os.environ[name]
    worker.load_wsgi = _patiently(worker.load_wsgi, server.log)


def _patiently(load, log):
    """
    Have a worker that cannot load the application tried again, once another could.

    Not all that it needs is frozen: a file with a secret, a model, the folder of the audit log may be away
    for the moment. gunicorn would stop as a whole, with the workers that still answer.
    """

    def load_or_end():
        try:
            load()
        except Exception as error:
            if not _run(_LOADED).exists():
                raise
            log.error("Worker cannot start and is tried again: %s", error)  # noqa: TRY400  (a line a second)
            time.sleep(_RETRY_SECONDS)
            sys.exit(1)

    return load_or_end


def post_worker_init(worker):
    """Take note that the application can be loaded."""
    _run(_LOADED).touch()


def child_exit(server, worker):
    """Forget the gauges of a worker that is gone; its counters stay."""
    for gauge in _run("metrics").glob(f"gauge_live*_{worker.metrics_slot}.db"):
        with contextlib.suppress(FileNotFoundError):
            gauge.unlink()


def on_exit(server):
    """Remove the folder."""
    shutil.rmtree(_run(""), ignore_errors=True)
