"""The installed package without extras: the wheel in its own environment."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fault_server import unused_port, wait_until
from tests.support.live import without_coverage
from tests.support.paths import ROOT
from tests.test_packaging import build_wheel

REDIS = {
    "MODERATOR__CACHE__SHARED__URL": "redis://127.0.0.1:1",
    "MODERATOR__LIMITS__URL": "redis://127.0.0.1:1",
}
JWT = {
    "MODERATOR__AUTH__MODE": "jwt",
    "MODERATOR__AUTH__JWT__ISSUER": "x",
    "MODERATOR__AUTH__JWT__AUDIENCE": "x",
    "MODERATOR__AUTH__JWT__JWKS_URL": "https://id.invalid/keys",
}
ROWS = [
    {"text": f"{word} number {n}", "labels": {"HR": word == "idiot"}}
    for n in range(20)
    for word in ("idiot", "tea")
]


class Installed:
    """An environment, outside of the checkout and of the tests' own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder)

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    def pip(self, *arguments: str) -> None:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.program("python")]
        command = [*pip, "install", "-q", *arguments]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if finished.returncode and "No matching distribution" in finished.stderr and not os.environ.get("CI"):
            pytest.skip("there is no package index")
        assert finished.returncode == 0, finished.stderr

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **variables}
        return subprocess.run(
            [self.program("content-moderator"), *arguments],
            cwd=self.folder, env=environ, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    installed = Installed(tmp_path_factory.mktemp("plain") / "venv")
    installed.pip(str(wheel))
    return installed


@pytest.fixture(scope="module")
def with_extra(
    plain: Installed, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Installed]:
    def make(extra: str) -> Installed:
        installed = Installed(tmp_path_factory.mktemp(extra) / "venv")
        [site] = (installed.folder / "lib").glob("python*/site-packages")
        [below] = (plain.folder / "lib").glob("python*/site-packages")
        # What a plain installation has is taken from there, as from the site's packages.
        (site / "plain.pth").write_text(str(below))
        installed.pip("--ignore-installed", "--no-deps", str(wheel))
        installed.pip(f"content-moderator[{extra}] @ file://{wheel}")
        return installed

    return make


def test_plain_installation_runs(plain: Installed) -> None:
    for package in ("redis", "cryptography", "jwt", "sklearn", "matplotlib"):
        gone = subprocess.run(
            [plain.program("python"), "-c", f"import {package}"], capture_output=True, check=False
        )
        assert gone.returncode, f"{package} is there: this test shows nothing"
    answer = plain.run("classify", "--json", "you are such a pathetic idiot")
    assert json.loads(answer.stdout)["decision"] == "review", answer.stderr
    (plain.folder / "rows.txt").write_text("good morning\nyou are such a pathetic idiot\n")
    scan = plain.run("scan", "rows.txt", "-o", "judged.csv")
    assert (scan.returncode, len((plain.folder / "judged.csv").read_text().splitlines())) == (0, 3), (
        scan.stderr
    )
    assert plain.run("config", "check").stdout.startswith("ok: ")
    assert plain.run("config", "show").returncode == 0
    keys = {"MODERATOR__AUTH__KEYS_FILE": "keys.json"}
    assert plain.run("keys", "create", "--tenant", "forum", **keys).returncode == 0
    assert "forum" in plain.run("keys", "list", **keys).stdout


def test_plain_installation_serves(plain: Installed, tmp_path: Path) -> None:
    port = unused_port()
    with (tmp_path / "log").open("wb") as log:
        service = subprocess.Popen(
            [plain.program("content-moderator"), "serve", "--port", str(port)],
            cwd=plain.folder, env={"PATH": "/usr/bin:/bin", "WEB_CONCURRENCY": "1"}, stdout=log, stderr=log,
        )  # fmt: skip

    def ready() -> bool:
        assert service.poll() is None, (tmp_path / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False

    try:
        wait_until(ready, seconds=30)
        for path in ("/", "/docs", "/metrics", "/openapi.json"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                assert answer.status == 200
    finally:
        service.terminate()
        service.wait(20)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        pytest.param(REDIS, "cache.shared.url: ", id="shared cache"),
        pytest.param({"MODERATOR__LIMITS__URL": "redis://127.0.0.1:1"}, "limits.url: redis ", id="limits"),
        pytest.param(JWT, "auth.mode jwt: ", id="tokens"),
    ],
)
def test_what_is_missing_is_named(variables: dict[str, str], said: str, plain: Installed) -> None:
    finished = plain.run("config", "check", **variables)
    assert finished.returncode == 1
    assert finished.stderr.startswith(f"Error: {said}")
    assert f"{plain.program('python')} -m pip install 'content-moderator[" in finished.stderr


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_what_a_command_lacks_is_named(command: str, plain: Installed) -> None:
    (plain.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    finished = plain.run(command, "rows.jsonl")
    assert finished.returncode == 1
    assert re.search(rf"content-moderator {command}: (sklearn|scipy) is not installed", finished.stderr)


@pytest.mark.parametrize(
    ("extra", "variables", "command"),
    [
        pytest.param("redis", REDIS, ["classify", "good morning"], id="redis"),
        pytest.param("jwt", JWT, ["config", "check"], id="jwt"),
        pytest.param("train", {}, ["train", "rows.jsonl", "--force"], id="train"),
        pytest.param("evaluate", {}, ["evaluate", "rows.jsonl", "--plot", "plot.png"], id="evaluate"),
    ],
)
def test_each_extra_alone_is_enough(
    extra: str, variables: dict[str, str], command: list[str], with_extra: Callable[[str], Installed]
) -> None:
    installed = with_extra(extra)
    (installed.folder / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    finished = installed.run(*command, **variables)
    assert finished.returncode == 0, finished.stderr


def test_make_gives_the_command_too() -> None:
    """After make run or make test the environment has a content-moderator, which is the checkout's."""
    command = Path(sys.executable).parent / "content-moderator"
    if not command.exists():
        pytest.skip("the tests do not run in the environment that make sets up")
    finished = subprocess.run(
        [command, "--version"], cwd="/", env=without_coverage(), capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stdout.startswith("content-moderator")) == (0, True), (
        finished.stderr
    )
    assert ROOT.is_dir()
