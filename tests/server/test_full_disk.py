"""A log that cannot be written, a full or missing run folder, too few descriptors: the service continues."""

import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client import values

from content_moderator.observability import metric_files
from content_moderator.observability.metrics import LOG_FAILURES
from content_moderator.server.log_writer import MAX_LINES, LogWriter
from tests.support.fault_server import unused_port, wait_until
from tests.support.live import GUNICORN, Live, environment, serving
from tests.support.paths import ROOT

TEXT = {"text": "what a lovely day"}
PIPE_BYTES = 4096


def answers(url: str) -> set[int]:
    paths = ("/livez", "/readyz", "/healthcheck", "/metrics", "/")
    found = {requests.get(url + path, timeout=20).status_code for path in paths}
    return found | {requests.post(f"{url}/classify", json=TEXT, timeout=20).status_code for _ in range(4)}


@contextmanager
def service(stdout: Any, stderr: Any, **more: Any) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    port = unused_port()
    variables = environment(port, {"WEB_CONCURRENCY": "2"})
    process = subprocess.Popen(GUNICORN, cwd=ROOT, env=variables, stdout=stdout, stderr=stderr, **more)
    url = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        assert process.poll() is None, "it ended"
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{url}/livez", timeout=2).ok
        return False

    try:
        wait_until(is_up, seconds=30)
        yield process, url
    finally:
        process.terminate()
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()


def metric(url: str, name: str) -> float:
    lines = requests.get(f"{url}/metrics", timeout=20).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def test_log_on_a_full_disk() -> None:
    """/dev/full takes nothing, as a disk that is full."""
    with Path("/dev/full").open("wb") as full, service(full, full) as (process, url):
        wait_until(lambda: answers(url) == {200}, seconds=30)
        wait_until(lambda: metric(url, "content_moderator_log_failures_total") >= 5)
        process.send_signal(signal.SIGHUP)
        time.sleep(4)
        wait_until(lambda: answers(url) == {200}, seconds=30)


def test_log_that_nobody_reads() -> None:
    """A full pipe blocks neither requests nor the master."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        with service(writer, writer) as (process, url):
            for _ in range(12):
                wait_until(lambda: answers(url) == {200}, seconds=30)
            process.send_signal(signal.SIGHUP)
            time.sleep(4)
            wait_until(lambda: answers(url) == {200}, seconds=30)
    finally:
        os.close(reader)
        os.close(writer)


def test_lines_of_a_log_that_is_read_are_whole(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as live:
        threads = [threading.Thread(target=answers, args=(live.url,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: live.output.count('"endpoint":"classify.classify"') >= 32)
        for line in live.output.splitlines():
            if line.startswith("{"):
                json.loads(line)


class Descriptor:
    """A pipe whose reader may be slow."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def read(self, size: int = 1 << 20) -> bytes:
        return os.read(self.reader, size)


def test_writer_drops_beyond_its_limit_and_goes_on() -> None:
    pipe = Descriptor()
    dropped: list[int] = []
    writer = LogWriter(pipe.writer, on_drop=dropped.append)
    for number in range(MAX_LINES + 2000):
        writer.write(f"line {number}")
    assert 0 < sum(dropped) <= 2000
    read = b""
    while b"line 9000\n" not in read:
        read += pipe.read()
    os.set_blocking(pipe.writer, False)
    writer.write("the last")
    while b"the last\n" not in read:
        read += pipe.read()
    lines = read.split(b"\n")
    assert lines[:3] == [b"line 0", b"line 1", b"line 2"], "in their order"


def test_writer_after_a_fork() -> None:
    """The child has a thread of its own, and nothing of the parent's."""
    pipe = Descriptor()
    writer = LogWriter(pipe.writer)
    writer.write("parent")
    writer.flush()
    if not (pid := os.fork()):
        writer.write("child")
        writer.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    assert pipe.read() == b"parent\nchild\n"


def test_line_that_broke_off_does_not_run_into_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    steps: Iterator[int | OSError] = iter([4, OSError(28, "full")])

    def write(_: int, data: memoryview) -> int:
        step = next(steps, len(data))
        if isinstance(step, OSError):
            raise step
        written.append(bytes(data[:step]))
        return step

    monkeypatch.setattr("content_moderator.server.log_writer.os.write", write)
    dropped: list[int] = []
    writer = LogWriter(99, on_drop=dropped.append)
    for line in ("abcdefgh", "ijkl"):
        writer.write(line)
        writer.flush()
    assert b"".join(written) == b"abcd\nijkl\n"
    assert dropped == [1]


def test_thread_that_cannot_start_is_a_dropped_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    dropped: list[int] = []
    LogWriter(1, on_drop=dropped.append).write("a line")
    assert dropped == [1]
    assert LOG_FAILURES is not None


@pytest.fixture
def full_folder(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with next to no room."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path) -> None:
    """Take all the room that is left."""
    filling = os.open(folder / "filling", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with contextlib.suppress(OSError):
        while True:
            os.write(filling, b"x" * 4096)
    os.close(filling)


def in_folder(folder: Path) -> dict[str, str]:
    """Have the folder of the run made there."""
    return {"MODERATOR_RUN_PARENT": str(folder)}


def test_full_folder_of_the_run(full_folder: Path, tmp_path: Path) -> None:
    """Neither a reload nor a dead worker ends the service, and no worker dies of SIGBUS."""
    with serving(tmp_path / "log", in_folder(full_folder)) as live:
        assert live.run_folder().parent == full_folder
        fill(full_folder)
        wait_until(lambda: answers(live.url) == {200}, seconds=30)
        live.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Reload refused" in live.output, seconds=30)
        assert "No space left" in live.output
        wait_until(lambda: answers(live.url) == {200}, seconds=30)
        before = live.workers()
        for worker in before:
            os.kill(worker, signal.SIGKILL)
            wait_until(
                lambda gone=worker: gone not in live.workers() and len(live.workers()) == 2, seconds=30
            )
        wait_until(lambda: _is_up(live), seconds=30)
        wait_until(lambda: answers(live.url) == {200}, seconds=30)
        (full_folder / "filling").unlink()
        live.process.send_signal(signal.SIGHUP)
        wait_until(lambda: live.metric("content_moderator_config_last_reload_successful") == 1, seconds=30)
        wait_until(lambda: answers(live.url) == {200}, seconds=30)
        assert "SIGBUS" not in live.output
        assert "Unhandled" not in live.output


def test_folder_that_has_no_room_for_a_new_worker(full_folder: Path, tmp_path: Path) -> None:
    """Its metric files cannot be made: it answers without, and says so."""
    with serving(tmp_path / "log", in_folder(full_folder)) as live, contextlib.ExitStack() as held:
        for path in (live.run_folder() / "metrics").glob("*.db"):
            # Their room is not to come free with the worker that dies.
            held.enter_context(path.open("rb"))
            path.unlink()
        fill(full_folder)
        os.kill(min(live.workers()), signal.SIGKILL)
        wait_until(lambda: len(live.workers()) == 2 and "metrics_not_written" in live.output, seconds=30)
        wait_until(lambda: _is_up(live))
        wait_until(lambda: answers(live.url) == {200}, seconds=30)
        assert "SIGBUS" not in live.output


def _is_up(live: Live) -> bool:
    with contextlib.suppress(requests.RequestException):
        return all(requests.get(f"{live.url}/livez", timeout=5).ok for _ in range(4))
    return False


def test_folder_of_the_run_that_is_removed(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as live:
        folder = live.run_folder()
        shutil.rmtree(folder)
        wait_until(lambda: answers(live.url) == {200}, seconds=30)
        victim = min(live.workers())
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in live.workers() and len(live.workers()) == 2, seconds=30)
        wait_until(lambda: _is_up(live), seconds=30)
        wait_until(lambda: "was removed, and is made again" in live.output)
        wait_until(lambda: answers(live.url) == {200}, seconds=30)
        live.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not live.workers() & {victim} and len(live.workers()) == 2, seconds=30)
        assert live.process.poll() is None
        shutil.rmtree(folder)
        live.process.send_signal(signal.SIGHUP)
        wait_until(lambda: live.output.count("was removed") >= 2, seconds=30)
        wait_until(lambda: len(live.workers()) == 2 and _is_up(live), seconds=30)
        wait_until(lambda: answers(live.url) == {200}, seconds=30)
        assert folder.is_dir()


def test_too_few_file_descriptors() -> None:
    """A message at start; connections beyond the limit wait or are refused, and no worker ends."""

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))

    log = os.memfd_create("log")
    with service(log, log, preexec_fn=few) as (process, url):
        output = os.pread(log, 100_000, 0).decode()
        assert "Only 96 file descriptors are allowed" in output
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = children.read_text()
        port = int(url.rpartition(":")[2])
        sockets = []
        for _ in range(300):
            with contextlib.suppress(OSError):
                sockets.append(socket.create_connection(("127.0.0.1", port), timeout=0.2))
        time.sleep(1)
        for each in sockets:
            each.close()
        wait_until(lambda: _answers_livez(url))
        wait_until(lambda: answers(url) == {200}, seconds=30)
        assert children.read_text() == workers


def _answers_livez(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{url}/livez", timeout=2).ok
    return False


def test_what_each_worker_takes_is_told(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as live:
        text = requests.get(f"{live.url}/metrics", timeout=20).text
        for name in ("resident_memory_bytes", "open_fds", "max_fds", "threads"):
            for worker in ("0", "1"):
                [line] = [
                    line
                    for line in text.splitlines()
                    if line.startswith(f'content_moderator_worker_{name}{{worker="{worker}"}}')
                ]
                assert float(line.split()[1]) > 0


def test_values_without_a_file_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that cannot be made, or cannot grow; what has its place goes on."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "away"))
    losses: list[OSError] = []
    monkeypatch.setattr(metric_files.AllocatedDict, "on_loss", staticmethod(losses.append))
    monkeypatch.setattr(values, "MmapedDict", metric_files.AllocatedDict)
    away = metric_files.AllocatedDict(str(tmp_path / "away" / "counter_0.db"))
    assert away.read_value("a") == (0.0, 0.0)
    away.write_value("a", 3.0, 0.0)
    assert away.read_value("a") == (3.0, 0.0)
    there = metric_files.AllocatedDict(str(tmp_path / "counter_0.db"))
    there.write_value("first", 1.0, 0.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    for number in range(3000):
        there.write_value(f"a long name of a value {number}", float(number), 0.0)
    there.write_value("first", 2.0, 0.0)
    assert there.read_value("a long name of a value 2999") == (2999.0, 0.0)
    assert len(losses) == 2, "each file tells it once"
    again = metric_files.AllocatedDict(str(tmp_path / "counter_0.db"))
    assert again.read_value("first") == (2.0, 0.0)
    for each in (there, again):
        each.close()  # type: ignore[no-untyped-call]
