"""The real client libraries of OpenAI and Perspective with the service under gunicorn."""

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fault_server import FaultServer, Step, reply, scores
from tests.support.live import Live, serving
from tests.support.paths import ROOT

CLIENTS = ROOT / "build" / "clients"
SCRIPTS = ROOT / "tests" / "clients"
NODE = CLIENTS / "node"
IMAGE = "Images are not judged by this service, only text."


def python(environment: str, script: str, *arguments: str) -> Any:
    interpreter = CLIENTS / environment / "bin" / "python"
    if not interpreter.exists():
        pytest.skip(f"{interpreter.relative_to(ROOT)} is absent: make clients")
    return run(str(interpreter), "-W", "ignore", str(SCRIPTS / script), *arguments)


def node(script: str, *arguments: str) -> Any:
    interpreter = shutil.which("node")
    if interpreter is None or not (NODE / "node_modules").exists():
        pytest.skip("node or build/clients/node is absent: make clients")
    return run(interpreter, str(SCRIPTS / script), *arguments)


def run(*command: str) -> Any:
    """Run a client in a process of its own, without this one's settings and proxies; read what it prints."""
    environ = {"PATH": os.environ["PATH"], "NODE_PATH": str(NODE / "node_modules"), "NO_PROXY": "*"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@functools.cache
def judged(library: str, url: str) -> Any:
    """Ask in every form, once."""
    return openai(library, "judge", url)


@functools.cache
def analyzed(url: str) -> Any:
    """Ask as Perspective's users do, once."""
    return python("current", "perspective_google.py", url)


def openai(library: str, command: str, url: str) -> Any:
    if library == "javascript":
        return node("openai_sdk.js", command, f"{url}/v1")
    return python(library, "openai_sdk.py", command, f"{url}/v1")


LIBRARIES = ["current", "openai1", "javascript"]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("log") / "log") as running:
        yield running


@pytest.mark.parametrize("library", LIBRARIES)
def test_openai_library_reads_every_answer(library: str, live: Live) -> None:
    seen = judged(library, live.url)
    assert seen["one"]["model"] == "omni-moderation-latest"
    [result] = seen["one"]["results"]
    assert result["flagged"] is True
    assert result["categories"]["harassment"] is True
    assert len(result["category_scores"]) == 13
    assert seen["list"] == [True, False]
    assert seen["parts"] == 1


@pytest.mark.parametrize("library", LIBRARIES[:2])
def test_openai_library_reads_answers_asynchronously(library: str, live: Live) -> None:
    seen = judged(library, live.url)
    assert seen["async"] == [True, False]
    assert seen["version"].startswith("1.") == (library == "openai1")


@pytest.mark.parametrize("library", LIBRARIES)
def test_openai_library_raises_what_it_always_did(library: str, live: Live) -> None:
    seen = judged(library, live.url)
    for error, param in [(seen["empty"], "input"), (seen["image"], "input[0].type")]:
        assert (error["class"], error["status"]) == ("BadRequestError", 400)
        assert (error["code"], error["type"]) == ("invalid_fields", "invalid_request_error")
        assert error["param"] == param
        assert error["request_id"]
    assert IMAGE in seen["image"]["message"]


@pytest.fixture
def impatient(upstream: FaultServer, tmp_path: Path) -> Iterator[Live]:
    """A service that asks its classifier once and leaves trying again to its callers."""
    variables = {
        "MODERATOR__CLASSIFIER__NAME": "koala",
        "MODERATOR__CLASSIFIER__CONFIG__URL": upstream.url,
        "MODERATOR__CLASSIFIER__RETRIES__MAX_ATTEMPTS": "1",
        "MODERATOR__READINESS__PROBE_AT_START": "false",
        "BEARER_TOKEN": "hf_x",
    }
    with serving(tmp_path / "log", variables) as running:
        yield running


@pytest.mark.parametrize("library", LIBRARIES)
def test_openai_library_asks_again_when_told_to(library: str, upstream: FaultServer, impatient: Live) -> None:
    upstream.play(Step(429, headers=[("Retry-After", "1")]), reply(scores(HR=0.9)))
    assert openai(library, "retry", impatient.url) == {"retries": 1, "flagged": True}
    assert len(upstream.received) == 2


@pytest.mark.parametrize("library", LIBRARIES)
def test_openai_library_does_not_ask_again_when_told_not_to(
    library: str, upstream: FaultServer, impatient: Live
) -> None:
    upstream.play(Step(401, b'{"error": "Invalid credentials"}'))
    seen = openai(library, "retry", impatient.url)
    assert (seen["class"], seen["status"]) == ("InternalServerError", 502)
    assert (seen["code"], seen["type"]) == ("classifier_credentials_refused", "server_error")
    assert len(upstream.received) == 1


def test_google_client_builds_itself_and_reads_the_answer(live: Live) -> None:
    seen = analyzed(live.url)
    answer = seen["answer"]
    assert answer["clientToken"] == "mine"
    assert answer["languages"] == ["en"]
    assert answer["attributeScores"]["TOXICITY"]["summaryScore"]["value"] > 0.5
    assert len(answer["attributeScores"]["TOXICITY"]["spanScores"]) == 2
    [insult] = answer["attributeScores"]["INSULT"]["spanScores"]
    assert (insult["begin"], insult["end"]) == (17, 47)


def test_google_client_reads_the_error(live: Live) -> None:
    refused = analyzed(live.url)["refused"]
    assert refused["status"] == 400
    assert refused["reason"].startswith("requestedAttributes.FLIRTATION: Not scored by this service")
    assert refused["details"][0]["reason"] == "INVALID_FIELDS"


def test_npm_client_reads_answer_and_error(live: Live) -> None:
    seen = node("perspective_npm.js", live.url)
    attributes = seen["answer"]["attributeScores"]
    assert attributes.keys() == {"TOXICITY", "INSULT"}
    assert attributes["INSULT"]["summaryScore"]["value"] > 0.5
    assert (seen["refused"]["name"], seen["refused"]["status"]) == ("ResponseError", 400)
    assert seen["refused"]["message"].startswith("requestedAttributes.FLIRTATION: Not scored")
