"""The real server: processes, signals, sockets."""

import json
import logging
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from content_moderator.server import configuration
from content_moderator.server.reload_status import ReloadStatus
from content_moderator.server.state import MasterState, attach
from tests.support.fault_server import FaultServer, Step, reply, scores, wait_until
from tests.support.live import Live, children, run_folder, run_to_its_end, serving
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("live") / "log") as service:
        yield service


def classify(live: Live, text: str) -> requests.Response:
    return requests.post(f"{live.url}/classify", json={"text": text}, timeout=20)


def test_newcomer_is_told_where_to_go_and_gets_an_answer(live: Live) -> None:
    wait_until(lambda: f"curl -s {live.url}/classify" in live.output)
    assert f"page     {live.url}/" in live.output
    assert f"docs     {live.url}/docs" in live.output
    assert classify(live, "what a lovely day").json()["decision"] == "allow"
    assert requests.get(f"{live.url}/readyz", timeout=20).json() == {"status": "ready"}


def test_counters_are_exact_over_workers_reloads_and_kills(live: Live) -> None:
    before = live.metric("classify_total")
    sent = 0
    for round_ in range(4):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: classify(live, "hello").status_code, range(40)))
        assert answers == [200] * 40
        sent += 40
        if round_ % 2:
            live.reload()
        else:
            victim = min(live.workers())
            os.kill(victim, signal.SIGKILL)
            wait_until(
                lambda gone=victim: gone not in live.workers() and len(live.workers()) == 2, seconds=20
            )
    wait_until(lambda: classify(live, "hello").status_code == 200)
    assert live.metric("classify_total") - before == sent + 1


def test_metric_files_do_not_grow_with_restarts(tmp_path: Path) -> None:
    """Each pid would otherwise leave files for ever; slots are given out again."""
    with serving(tmp_path / "log") as live:
        folder = live.run_folder() / "metrics"
        for _ in range(4):
            live.reload()
            classify(live, "hello")
        # Old and new workers live side by side during a reload: four slots.
        assert {path.stem.rpartition("_")[2] for path in folder.glob("*.db")} <= {"0", "1", "2", "3"}
        assert len(list(folder.glob("gauge_livesum_*.db"))) <= 2, "gauges of dead workers are forgotten"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as live:
        folder = live.run_folder()
        live.reload()
        assert live.run_folder() == folder
        live.process.send_signal(signal.SIGTERM)
        assert live.process.wait(20) == 0
    assert not folder.exists()


def test_binary_upgrade_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """After SIGUSR2 two masters run side by side; their workers must not share metric files."""
    with serving(tmp_path / "log") as live:
        folder, before = live.run_folder(), live.workers()
        live.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: len(live.workers() - before) == 1)
        [upgraded] = live.workers() - before
        try:
            wait_until(lambda: len(children(upgraded)) == 2 and all(map(run_folder, children(upgraded))))
            [other] = {run_folder(worker) for worker in children(upgraded)}
            assert other is not None
            assert other != folder
        finally:
            os.kill(upgraded, signal.SIGTERM)
            wait_until(lambda: upgraded not in live.workers())
        assert (folder.is_dir(), other.exists()) == (True, False)
        assert classify(live, "hello").status_code == 200


def test_requests_in_flight_are_answered_when_it_stops(tmp_path: Path, upstream: FaultServer) -> None:
    upstream.play(reply(scores(), delay_seconds=1.0))
    koala = {
        "MODERATOR__CLASSIFIER__NAME": "koala",
        "MODERATOR__CLASSIFIER__CONFIG__URL": upstream.url,
        "BEARER_TOKEN": "x",
    }
    with serving(tmp_path / "log", koala) as live, ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(classify, live, f"text {index}") for index in range(4)]
        sent = {f"text {index}" for index in range(4)}
        wait_until(lambda: sent <= set(upstream.texts()))
        live.process.send_signal(signal.SIGTERM)
        assert [each.result(20).status_code for each in waiting] == [200] * 4
        assert live.process.wait(20) == 0


def test_koala_is_chosen_by_variables_alone(tmp_path: Path, upstream: FaultServer) -> None:
    upstream.play(reply(scores(V=0.9)))
    koala = {
        "MODERATOR__CLASSIFIER__NAME": "koala",
        "MODERATOR__CLASSIFIER__CONFIG__URL": upstream.url,
        "BEARER_TOKEN": "hf_secret",
    }
    command = [sys.executable, "-m", "content_moderator", "serve"]
    with serving(tmp_path / "log", koala, command) as live:
        body = classify(live, "a text").json()
        assert (body["classifier"]["name"], body["decision"]) == ("koala", "block")
        assert upstream.received[0].headers["authorization"] == "Bearer hf_secret"
        shown = live.output + requests.get(f"{live.url}/metrics", timeout=10).text
        assert "hf_secret" not in shown
        assert "a text" not in shown


def test_token_that_is_not_used_is_said_once(tmp_path: Path) -> None:
    """The variable was the whole set-up of the service that this one replaces."""
    with serving(tmp_path / "log", {"BEARER_TOKEN": "hf_secret"}) as live:
        wait_until(lambda: "MODERATOR__CLASSIFIER__NAME=koala" in live.output)
        assert live.output.count("MODERATOR__CLASSIFIER__NAME=koala") == 1
        assert "hf_secret" not in live.output


def test_words_of_the_upstream_stay_out_of_the_log(tmp_path: Path, upstream: FaultServer) -> None:
    """urllib3 quotes headers that it cannot read, and addresses."""
    broken = b"HTTP/1.1 200 OK\r\ncanary words\r\nX-Canary words: 1\r\nContent-Length: 2\r\n\r\n[]"
    upstream.play(Step(raw=broken), Step(raw=b"canary words\r\n\r\n"), Step(500, b"canary words"))
    koala = {
        "MODERATOR__CLASSIFIER__NAME": "koala",
        "MODERATOR__CLASSIFIER__CONFIG__URL": upstream.url,
        "MODERATOR__READINESS__PROBE_AT_START": "false",
        "BEARER_TOKEN": "x",
    }
    with serving(tmp_path / "log", koala) as live:
        for number in range(4):
            assert classify(live, f"text {number}").status_code in {502, 503}
        wait_until(lambda: live.output.count("classifier_failed") == 4)
        assert "anary" not in live.output
        assert str(upstream.port) not in live.output


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        pytest.param(
            {"MODERATOR__CLASSIFIER__NAM": "x"},
            "configuration: classifier.nam: Unknown field.",
            id="unknown key",
        ),
        pytest.param(
            {"MODERATOR__CLASSIFIER__NAME": "koala"}, "configuration: BEARER_TOKEN: missing", id="no token"
        ),
    ],
)
def test_bad_configuration_stops_start_up_with_one_line(
    variables: dict[str, str], line: str, tmp_path: Path
) -> None:
    status, output = run_to_its_end(tmp_path / "log", variables)
    assert status != 0
    assert line in output
    assert "Traceback" not in output


def test_bad_configuration_at_a_reload_keeps_the_old_one(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config", config)
    with serving(tmp_path / "log", {"MODERATOR_CONFIG_DIR": str(config)}) as live:
        workers = live.workers()
        (config / "app_conf.yml").write_text("classifier: {name: kangaroo}\n")
        live.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Reload refused" in live.output)
        assert "kangaroo" in live.output
        assert live.workers() == workers
        os.kill(min(workers), signal.SIGKILL)
        wait_until(lambda: len(live.workers() - workers) == 1)
        assert {classify(live, "hello").status_code for _ in range(20)} == {200}, "a replaced worker too"
        (config / "app_conf.yml").write_text("http: {max_text_chars: 3}\n")
        live.reload()
        assert classify(live, "hello").status_code == 422, "the next good one is taken"


def test_worker_that_cannot_start_ends_nobody_else(tmp_path: Path) -> None:
    """Not all that a worker needs is frozen; what is away for the moment is waited for."""
    secret = tmp_path / "secret"
    secret.write_text("a-secret-of-the-tests-own")
    (tmp_path / "audit").mkdir()
    variables = {
        "MODERATOR__AUDIT__FILE": str(tmp_path / "audit" / "lines"),
        "AUDIT_SECRET_FILE": str(secret),
    }
    with serving(tmp_path / "log", variables) as live:
        secret.rename(tmp_path / "elsewhere")
        (tmp_path / "audit").rename(tmp_path / "moved")
        victim, other = sorted(live.workers())
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: live.output.count("Worker cannot start and is tried again") >= 2, seconds=30)
        assert "AUDIT_SECRET_FILE" in live.output
        assert other in live.workers()
        assert {classify(live, "hello").status_code for _ in range(10)} == {200}
        (tmp_path / "elsewhere").rename(secret)
        (tmp_path / "moved").rename(tmp_path / "audit")
        wait_until(lambda: len(live.workers()) == 2 and all(map(run_folder, live.workers())), seconds=30)
        assert "a-secret-of-the-tests-own" not in live.output


def test_path_begins_where_the_proxy_has_read_it(live: Live) -> None:
    """gunicorn would take from any process of this machine a header that says otherwise."""
    for name in ("SCRIPT_NAME", "Script-Name"):
        answer = live.talk(f"GET /x/metrics HTTP/1.1\r\nHost: x\r\n{name}: /x\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 404 ")


def test_reloads_that_wait_are_one(tmp_path: Path) -> None:
    """A script that asks for very many keeps it neither from reading the last change nor from stopping."""
    with serving(tmp_path / "log") as live:
        for _ in range(50):
            live.process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
        live.process.send_signal(signal.SIGTERM)
        assert live.process.wait(20) == 0
        assert 1 <= live.output.count("Handling signal: hup") <= 3


def test_what_is_taken_over_is_whole_or_not_there(tmp_path: Path) -> None:
    """Each reload freezes into a folder of its own; those of living workers stay."""
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config", config)
    with serving(tmp_path / "log", {"MODERATOR_CONFIG_DIR": str(config)}) as live:

        def frozen() -> list[Path]:
            return sorted(live.run_folder().glob("config-*"))

        [first] = frozen()
        live.reload()
        before = frozen()
        assert before[0] == first, "its workers were alive"
        live.reload()
        after = frozen()
        assert first not in after, "they have ended since"
        assert len(after) == 2
        (config / "app_conf.yml").write_text("classifier: {name: kangaroo}\n")
        live.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Reload refused" in live.output)
        assert frozen() == after


def test_file_that_hangs_does_not_hold_the_master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "tenants.yml")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MODERATOR__TENANTS__FILE", str(tmp_path / "tenants.yml"))
    monkeypatch.setattr(configuration, "CHECK_SECONDS", 3.0)
    server: Any = SimpleNamespace(WORKERS={}, log=logging.getLogger("gunicorn.error"))
    status: ReloadStatus = {"pid": 1, "begun": 0.0, "problem": "", "taken_over": 0.0}
    attach(server, MasterState(tmp_path, status, frozen=tmp_path))
    problem = configuration.take_over(server)
    assert problem == "the configuration could not be read in 3 seconds"
    assert not list(tmp_path.glob("config-*"))


def reload_by_command(live: Live, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "content_moderator", "config", "reload", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_policies_are_reloaded_by_command_and_a_bad_file_keeps_the_old(tmp_path: Path) -> None:
    path = tmp_path / "tenants.yml"
    path.write_text("policies: {}")
    config = {"MODERATOR__TENANTS__FILE": str(path), "MODERATOR__POLICY__TERMS__BLOCK": "[grumbit]"}
    with serving(tmp_path / "log", config) as live:
        pid = str(live.process.pid)
        first = classify(live, "a grumbit").json()["policy"]["version"]
        taken_over = live.metric("content_moderator_config_last_reload_success_timestamp_seconds")
        workers = live.workers()
        path.write_text("policies: {children: {embedded: {V: {review: 7}}}}")
        refused = reload_by_command(live, "--pid", pid)
        assert refused.returncode == 1
        assert "refused, the old settings stay: " in refused.stderr
        assert "policies.children.embedded.V.review: Must be greater than or equal to 0" in refused.stderr
        assert live.workers() == workers
        assert live.metric("content_moderator_config_last_reload_successful") == 0
        assert live.metric("content_moderator_config_last_reload_success_timestamp_seconds") == taken_over
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not live.workers() & workers and len(live.workers()) == 2)
        answers = {classify(live, "a grumbit").json()["policy"]["version"] for _ in range(20)}
        assert answers == {first}, "a replaced worker gets what was sound"

        path.write_text("policies: {children: {embedded: {V: {review: 0.7}}}}\ntenants: {}")
        assert reload_by_command(live, "--pid", pid).stdout == f"ok: process {pid} has new workers\n"
        wait_until(lambda: live.metric("content_moderator_config_last_reload_successful") == 1)
        assert live.metric("content_moderator_config_last_reload_success_timestamp_seconds") > taken_over
    gone = reload_by_command(live, "--pid", pid)
    assert (gone.returncode, gone.stderr) == (1, f"Error: no service of this user runs here as {pid}\n")


BODY = b'{"text": "hello"}'
HEAD = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(chunked(BODY[:5], BODY[5:]), 200, id="chunked"),
        pytest.param(chunked(*[b" " * 65_536] * 17), 413, id="chunked over the limit"),
        pytest.param(chunked(b"zz", end=b"zz\r\n\r\n"), 400, id="broken chunk"),
        pytest.param(chunked(BODY, end=b""), 400, id="no last chunk"),
        pytest.param(HEAD + b"Content-Length: 17\r\n\r\n" + BODY, 200, id="whole"),
        pytest.param(HEAD + b"Content-Length: 40\r\n\r\n" + BODY, 400, id="shorter than declared"),
        pytest.param(HEAD + b"Content-Length: 99999999\r\n\r\n", 413, id="larger than the limit"),
        pytest.param(HEAD + b"Content-Length: nine\r\n\r\n", 400, id="length not a number"),
        pytest.param(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400, id="two lengths"),
        pytest.param(HEAD + b"\r\n", 422, id="no body"),
    ],
)
def test_body_on_a_real_socket(request_: bytes, status: int, live: Live) -> None:
    """Nothing is cut in silence, and a broken body is the caller's error, not ours."""
    answer = live.talk(request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1


def test_connection_is_kept_after_an_error(live: Live) -> None:
    with requests.Session() as session:
        for _ in range(3):
            bad = session.post(
                f"{live.url}/classify", data=b"[", headers={"Content-Type": "application/json"}
            )
            assert bad.status_code == 400
            large = session.post(
                f"{live.url}/classify", data=b" " * 2_000_000, headers={"Content-Type": "application/json"}
            )
            assert large.status_code == 413
        assert session.post(f"{live.url}/classify", json={"text": "hello"}).status_code == 200


def test_gunicorn_itself_logs_no_text(live: Live) -> None:
    """What gunicorn cannot parse it would quote, and a query may hold the text."""
    live.talk(b"POST /classify?message=canary-words HTTP/9.9\r\n\r\n")
    live.talk(b"POST /classify?message=canary-words\r\n\r\n")
    live.talk(b"GET /livez HTTP/1.1\r\nHost: x\r\nAuthori zation: canary-words\r\n\r\n")
    wait_until(lambda: live.output.count("Invalid request from ip=") >= 3)
    assert "canary" not in live.output


def test_every_line_of_the_log_is_json(live: Live) -> None:
    lines = [line for line in live.output.splitlines() if line.startswith("{")]
    assert lines
    assert all({"event", "level", "timestamp"} <= set(json.loads(line)) for line in lines)
    assert any(json.loads(line)["event"] == "gunicorn" for line in lines)


def test_settings_that_were_measured_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these was chosen after a failure was seen; gunicorn.conf.py says which."""
    monkeypatch.setenv("HOST", "::1")
    settings = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    assert settings["bind"] == "[::1]:8000"
    assert settings["worker_class"] == "gthread"
    assert settings["control_socket_disable"] is True
    assert settings["accesslog"] is None
    assert settings["graceful_timeout"] >= 30
    assert settings["keepalive"] > 60
    assert "preload_app" not in settings
