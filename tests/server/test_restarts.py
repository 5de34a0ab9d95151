"""
Behind nginx no request is lost: reloads, and workers that are replaced, killed or stopped, all under load.
"""

import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support.fault_server import FaultServer, reply, scores, wait_until
from tests.support.live import Live, serving
from tests.support.load import Load, asking
from tests.support.nginx import Nginx, proxying

SECONDS = 30
REQUESTS = 20_000
RESTARTS = 4
VARIABLES = {
    "MODERATOR__LOGGING__REQUESTS": "false",
    "MODERATOR__HTTP__TRUSTED_PROXIES": "1",
    "THREADS": "32",
}
RECYCLED = VARIABLES | {"GUNICORN_CMD_ARGS": "--max-requests 1500 --max-requests-jitter 500"}

pytestmark = pytest.mark.timeout(300)


@contextlib.contextmanager
def repeating(seconds: float, action: object) -> Iterator[list[float]]:
    """Do something every so many seconds until the block ends; give when it was done."""
    assert callable(action)
    stop = threading.Event()
    done: list[float] = []

    def repeat() -> None:
        while not stop.wait(seconds):
            action()
            done.append(time.monotonic())

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join(30)


def last(load: Load) -> None:
    """Go on for ``SECONDS``, and on slow machines until there were enough requests."""
    time.sleep(SECONDS)
    wait_until(lambda: load.asked >= REQUESTS, seconds=120)


def hang_up(live: Live) -> None:
    live.process.send_signal(signal.SIGHUP)


def kill_a_worker(live: Live) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(min(live.workers()), signal.SIGKILL)


def tries(nginx: Nginx) -> int:
    """How often nginx has asked again."""
    return sum(found.count(",") for found in re.findall(r'"upstream_tries":"([^"]+)"', nginx.output))


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Live, Nginx]]:
    with serving(tmp_path / "log", RECYCLED) as live, proxying(tmp_path / "nginx", live.port) as nginx:
        yield live, nginx


def test_reloads_and_replaced_workers_lose_nothing(
    both: tuple[Live, Nginx], figure: Callable[[str], None]
) -> None:
    live, nginx = both
    with asking(nginx.port) as load, repeating(2, lambda: hang_up(live)) as reloads:
        last(load)
    figure(f"{load.asked} requests, {len(reloads)} reloads, {tries(nginx)} tried again, {load.failed} failed")
    assert load.failed == {}
    assert len(reloads) >= 10
    assert "Autorestarting worker" in live.output, "workers were replaced for their number of requests too"
    wait_until(lambda: len(live.workers()) == 2, seconds=30)
    assert live.metric("classify_total") == load.asked + tries(nginx)


def test_killed_workers_lose_nothing(both: tuple[Live, Nginx], figure: Callable[[str], None]) -> None:
    live, nginx = both
    with (
        asking(nginx.port) as load,
        repeating(2, lambda: hang_up(live)) as reloads,
        repeating(3, lambda: kill_a_worker(live)) as kills,
    ):
        last(load)
    figure(
        f"{load.asked} requests, {len(reloads)} reloads, {len(kills)} kills, {tries(nginx)} tried again,"
        f" {load.failed} failed"
    )
    assert load.failed == {}
    assert len(kills) >= 8
    wait_until(lambda: len(live.workers()) == 2, seconds=30)
    assert load.asked <= live.metric("classify_total") <= load.asked + tries(nginx)


def test_restarts_under_systemd_lose_nothing(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Stopped and started as by systemctl: the address is systemd's, and who comes meanwhile waits."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as listener,
        proxying(tmp_path / "nginx", listener.getsockname()[1]) as nginx,
        contextlib.ExitStack() as running,
    ):
        running.enter_context(serving(tmp_path / "log", VARIABLES, listener=listener))
        with asking(nginx.port) as load:
            for restart in range(RESTARTS):
                time.sleep(2)
                running.close()
                running.enter_context(serving(tmp_path / f"log{restart}", VARIABLES, listener=listener))
            time.sleep(2)
        figure(
            f"{load.asked} requests, {RESTARTS} restarts, {tries(nginx)} tried again,"
            f" {max(load.seconds):.1f} s waited at most, {load.failed} failed"
        )
        assert load.failed == {}
        assert max(load.seconds) > 0.5, "some came while it was down"


def test_what_was_begun_is_answered_before_the_end(tmp_path: Path, upstream: FaultServer) -> None:
    """SIGTERM with requests in flight; what the service has not yet taken from nginx is not begun."""
    told = threading.Event()
    upstream.play(reply(scores(), after=told))
    variables = VARIABLES | {
        "MODERATOR__CLASSIFIER__NAME": "koala",
        "MODERATOR__CLASSIFIER__CONFIG__URL": upstream.url,
        # A call for each text: what the upstream answers is about one.
        "MODERATOR__CLASSIFIER__BATCHING__MAX_BATCH": "1",
        "MODERATOR__READINESS__PROBE_AT_START": "false",
        "BEARER_TOKEN": "hf_x",
    }
    with serving(tmp_path / "log", variables) as live, proxying(tmp_path / "nginx", live.port) as nginx:

        def ask(number: int) -> int:
            body = {"text": f"text number {number}"}
            return requests.post(f"{nginx.url}/classify", json=body, timeout=30).status_code

        with ThreadPoolExecutor(16) as pool:
            answers = pool.map(ask, range(16))
            # One more: reading the gauge is a request as well.
            wait_until(lambda: live.metric("content_moderator_http_requests_in_progress") == 17)
            live.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)  # Until the workers know.
            told.set()
            assert list(answers) == [200] * 16
        assert live.process.wait(20) == 0
