"""
gunicorn's settings. Only the standard library and gunicorn are imported here: what the master process has
imported is not read again when it reloads the workers.
"""

import contextlib
import ctypes
import errno
import functools
import importlib.util
import json
import logging
import mmap
import os
import re
import resource
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
from gunicorn.workers.gthread import ThreadWorker

# The matrices of the sentence encoder are small: more threads than one to a request only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_host = os.environ.get("HOST", "127.0.0.1")
_port = os.environ.get("PORT", "8000")
_RETRY_SECONDS = 1.0
_CHECK_SECONDS = 25.0
_M_ARENA_MAX = -8  # of glibc's malloc.h; other libraries have no arenas
_shared_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
# In memory: metric files are written to with every request.
_run_parent = os.environ.get("MODERATOR_RUN_PARENT") or _shared_memory
_RESERVED_DESCRIPTORS = 128  # of a worker: files, libraries, connections to the classifier and to Redis
_MIN_CONNECTIONS = 8


def _load_log_writer():
    """
    Load the one module of the package that is used here, by its path and under another name.

    What is imported here as a part of the package would not be read again by reloaded workers.
    """
    here = Path(__file__).resolve().parent
    package = importlib.util.find_spec("content_moderator")
    packages = [
        here / "content_moderator",
        here.parent.parent,
        *map(Path, package.submodule_search_locations or ()),
    ]
    path = next(path for each in packages if (path := each / "observability" / "log_writer.py").is_file())
    spec = importlib.util.spec_from_file_location("_log_writer_of_the_master", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _whole_number(name, default):
    """Read a number, at least 1, from the environment; end with a sentence if it is none."""
    value = os.environ.get(name, default)
    if not (value.isascii() and value.isdigit() and int(value[:9]) >= 1):
        sys.exit(f"Error: {name}: must be a whole number from 1 on, not {value!r}")
    return int(value)


_log_writer = _load_log_writer()
_stdout, _stderr = (_log_writer.LogWriter(descriptor) for descriptor in (1, 2))

# Loopback unless told otherwise: a buffering reverse proxy belongs in front.
bind = f"[{_host}]:{_port}" if ":" in _host else f"{_host}:{_port}"
# Threads: the work is waiting for an upstream; gevent was no faster and starved connections.
worker_class = "gthread"
# Set it to the number of cores: the embedded model's arithmetic keeps one busy each.
workers = _whole_number("WEB_CONCURRENCY", "2")
# More than classifier.batching.max_waiting, so that a worker with all that it may take on still has threads
# to refuse the rest with, and for /livez and /metrics. Threads start when they are first needed.
threads = _whole_number("THREADS", "160")
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
            # A log that is full or not read must not hold the master.
            "()": _log_writer.LogHandler,
            "writer": _stderr,
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


def _survive(hook):
    """Have what the master does after its start raise nothing: gunicorn as a whole would stop."""

    @functools.wraps(hook)
    def surviving(server, *args):
        try:
            return hook(server, *args)
        except Exception as error:  # noqa: BLE001
            server.log.error("%s failed: %s", hook.__name__.strip("_"), error)  # noqa: TRY400
            return None

    return surviving


def _take_on(server):
    """
    Check the configuration and freeze it for the workers; give the line that says what is wrong.

    Each time in a folder of its own: a worker that starts meanwhile finds all of the old or all of the new.
    """
    _keep_folder(server)
    fresh = _run(f"config-{time.monotonic_ns()}")
    command = [sys.executable, "-m", "content_moderator", "config", "check", "--freeze", str(fresh)]
    without_metrics = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
    warnings = []
    try:
        # The master can do nothing else meanwhile: a file on a disk that hangs must not hold it for ever.
        finished = subprocess.run(  # noqa: S603
            command, env=without_metrics, capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False
        )
        lines = finished.stderr.strip().splitlines()
        warnings = [line.removeprefix(_WARNING) for line in lines if line.startswith(_WARNING)]
        # One that was killed, for want of memory say, has said nothing.
        said = "\n".join(line for line in lines if not line.startswith(_WARNING)).removeprefix("Error: ")
        problem = (said or "the check of the configuration was killed") if finished.returncode else ""
        frozen = {} if problem else {each.name: each.read_bytes() for each in fresh.iterdir()}
    except subprocess.TimeoutExpired:
        problem = f"the configuration could not be read in {_CHECK_SECONDS:g} seconds"
    except OSError as error:
        problem = f"the configuration could not be checked ({error.strerror})"
    if problem:
        shutil.rmtree(fresh, ignore_errors=True)
        return problem
    for warning in warnings:
        server.log.warning("%s", warning)
    # Kept here as well: the folder may be removed by somebody.
    server.frozen, server.frozen_files = fresh, frozen
    # Those of living workers stay: one may just be reading.
    used = {fresh, *(worker.frozen for worker in server.WORKERS.values())}
    for outdated in set(_run("").glob("config-*")) - used:
        shutil.rmtree(outdated, ignore_errors=True)
    return ""


_WARNING = "Warning: "


def _keep_folder(server):
    """Make the folder of the run again if it is gone, with what the workers need of it."""
    folder = _run("")
    if not folder.is_dir():
        # Nobody else's, should somebody have been faster.
        folder.mkdir(mode=0o700)
        server.log.warning("The folder %s was removed, and is made again", folder)
    _run("metrics").mkdir(mode=0o700, exist_ok=True)
    if getattr(server, "frozen", None) is not None and not server.frozen.is_dir():
        server.frozen.mkdir(mode=0o700)
        for name, content in server.frozen_files.items():
            (server.frozen / name).touch(mode=0o600)
            (server.frozen / name).write_bytes(content)
        _write_reload(server)


def _note_reload(server, problem, begun):
    """Leave word of how the settings were taken on, for /metrics and for content-moderator config reload."""
    if not problem:
        server.taken_on = time.time()
    server.read_reload_status = {
        "pid": os.getpid(),
        "begun": begun,
        "problem": problem,
        "taken_on": server.taken_on,
    }
    _write_reload(server)


@_survive
def _write_reload(server):
    path = _run("reload.json")
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(server.read_reload_status), encoding="utf-8")
    fresh.replace(path)


def on_starting(server):
    """
    Stop before anything starts if the configuration is bad, and keep the old one at a bad reload.

    gunicorn as a whole stops when a worker cannot load the application, at a reload and when a worker
    is replaced too: so no worker reads files that may have become bad since they were checked. What was
    found sound is frozen in a folder in memory, where the metric files are as well. A reload keeps the
    folder, for the environment stays; the new master of a binary upgrade comes by here and makes its own.
    """
    _allow_descriptors(server)
    os.environ["MODERATOR_RUN_DIR"] = tempfile.mkdtemp(prefix="content-moderator-", dir=_run_parent)
    # Shared with the workers, and not in the folder: whether the application could ever be loaded.
    server.loaded = mmap.mmap(-1, 1)
    begun = time.monotonic()
    if problem := _take_on(server):
        shutil.rmtree(_run(""), ignore_errors=True)
        _stderr.flush()
        sys.exit(f"Error: {problem}")
    _note_reload(server, "", begun)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_run("metrics"))
    server.reload = _only_if_sound(server, server.reload)
    server.signal = _once(server, server.signal)
    server.spawn_worker = _whenever_possible(server, server.spawn_worker)


def _allow_descriptors(server):
    """Have as many file descriptors as a worker may need, or let it take fewer connections."""
    wanted = server.cfg.worker_connections + _RESERVED_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard == resource.RLIM_INFINITY or hard > soft:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        connections = max(_MIN_CONNECTIONS, soft - min(_RESERVED_DESCRIPTORS, soft * 3 // 4))
        server.cfg.set("worker_connections", connections)
        server.log.warning(
            "Only %d file descriptors are allowed: each worker takes %d connections at once instead of %d."
            " Allow %d: ulimit -n, or LimitNOFILE of systemd",
            soft,
            connections,
            wanted - _RESERVED_DESCRIPTORS,
            wanted,
        )


def _accept(worker, listener):
    """
    Accept a connection, or refuse it where there is no file descriptor for it.

    gunicorn ends the worker, and with it all that it is answering. One descriptor is kept to refuse with.
    """
    try:
        _accept_of_gunicorn(worker, listener)
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
            raise
        worker.log.error("Connection refused: %s", error.strerror)  # noqa: TRY400
        with contextlib.suppress(OSError):
            os.close(worker.spare_descriptor)
        with contextlib.suppress(OSError):
            listener.accept()[0].close()
        with contextlib.suppress(OSError):
            worker.spare_descriptor = os.open(os.devnull, os.O_RDONLY)


_accept_of_gunicorn = ThreadWorker.accept
ThreadWorker.accept = _accept


def _whenever_possible(server, spawn_worker):
    """Have the master try again a second later if it cannot start a worker: without memory, say."""
    master = os.getpid()

    def spawn_or_wait():
        try:
            return spawn_worker()
        except Exception as error:
            if os.getpid() != master:
                raise
            server.log.error("Worker cannot be started and is tried again: %s", error)  # noqa: TRY400
            time.sleep(_RETRY_SECONDS)
            return None

    return spawn_or_wait


def _only_if_sound(server, reload):
    """Have a reload change nothing if the new configuration is bad."""

    @_survive
    def reload_if_sound(server):
        server.reload_waits = False
        begun = time.monotonic()
        try:
            problem = _take_on(server)
        except OSError as error:
            problem = f"{error.filename or 'the folder of the run'}: {error.strerror}"
        if problem:
            server.log.error("Reload refused, the old configuration stays: %s", problem)
        else:
            reload()
        _note_reload(server, problem, begun)

    return functools.partial(reload_if_sound, server)


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


@_survive
def when_ready(server):
    """Tell a newcomer where to go; under systemd that is not what *bind* says."""
    url = server.LISTENERS[0]
    _stdout.write(
        f"content_moderator is ready\n"
        f"  page     {url}/\n"
        f"  docs     {url}/docs\n"
        f"  metrics  {url}/metrics\n"
        f"  try      curl -s {url}/classify -H 'Content-Type: application/json' "
        f"""-d '{{"text": "I had a lovely day"}}'"""
    )


def pre_fork(server, worker):
    """Give the worker the lowest metric slot that no living worker has, and the newest settings."""
    taken = {other.metrics_slot for other in server.WORKERS.values()}
    worker.metrics_slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
    worker.frozen = server.frozen
    _survive(_keep_folder)(server)


def post_fork(server, worker):
    """Tell the worker which metric slot is its own, and where its settings are."""
    # Each thread would keep the memory of its largest request for itself: two workers of eight threads, given
    # bodies of a megabyte, grew by 67 MB, and by 41 MB so.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    with contextlib.suppress(OSError):
        worker.spare_descriptor = os.open(os.devnull, os.O_RDONLY)
    os.environ["MODERATOR_METRICS_SLOT"] = str(worker.metrics_slot)
    os.environ["MODERATOR_CONFIG_DIR"] = str(worker.frozen)
    # What they say is frozen already; again they would lead past the frozen files of keys and policies.
    for name in [name for name in os.environ if name.startswith(("MODERATOR__", "MODERATOR_ENVIRONMENT"))]:
        del os.environ[name]
    worker.load_wsgi = _patiently(worker.load_wsgi, server)


def _patiently(load, server):
    """
    Have a worker that cannot load the application tried again, once another could.

    Not all that it needs is frozen: a file with a secret, a model, the folder of the audit log may be away
    for the moment. gunicorn would stop as a whole, with the workers that still answer.
    """

    def load_or_end():
        try:
            load()
        except Exception as error:
            if not server.loaded[0]:
                raise
            server.log.error("Worker cannot start and is tried again: %s", error)  # noqa: TRY400  (a line a second)
            time.sleep(_RETRY_SECONDS)
            sys.exit(1)
        server.loaded[0] = 1

    return load_or_end


def post_worker_init(worker):
    """Leave word of who the worker is, for /metrics."""
    with contextlib.suppress(OSError):
        _run(f"worker-{worker.metrics_slot}").write_text(str(worker.pid), encoding="ascii")


@_survive
def child_exit(server, worker):
    """Forget the gauges of a worker that is gone; its counters stay."""
    for path in (
        *_run("metrics").glob(f"gauge_live*_{worker.metrics_slot}.db"),
        _run(f"worker-{worker.metrics_slot}"),
    ):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def on_exit(server):
    """Remove the folder."""
    shutil.rmtree(_run(""), ignore_errors=True)
