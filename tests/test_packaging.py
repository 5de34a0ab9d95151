"""What users install: the wheel, the image, the lock."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of the checkout."""
    source = folder / "source"
    ignored = shutil.ignore_patterns(".venv", ".git", "build", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(source)], check=True, capture_output=True, timeout=100)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    return zipfile.Path(build_wheel(tmp_path_factory.mktemp("wheel")))


@pytest.mark.parametrize(
    "name",
    [
        "classifiers/embedded/weights/embedded.bin",
        "text/data/confusables.tsv",
        "config/defaults/gunicorn.conf.py",
        "config/defaults/config/app_conf.yml",
        "config/defaults/config/environments/production.yml",
        "web/pages/templates/index.html",
        "web/pages/static/page.js",
        "py.typed",
    ],
)
def test_wheel_has_everything_that_runs(name: str, wheel: zipfile.Path) -> None:
    packaged = wheel / "content_moderator" / name
    assert packaged.read_bytes() == (ROOT / "content_moderator" / name).read_bytes()


def test_wheel_has_nothing_else(wheel: zipfile.Path) -> None:
    top = {path.name for path in wheel.iterdir()}
    assert {name.partition("-")[0] for name in top} == {"content_moderator"}


def test_dockerfile_is_sound() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    finished = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout


def test_image_gets_all_that_it_copies_and_no_more() -> None:
    """What the Dockerfile copies exists and passes .dockerignore; tests, data and git do not."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    admitted = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    assert names == admitted
    assert all((ROOT / name).exists() for name in names)


def test_dockerfile_runs_as_nobody_in_particular() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-", text, re.MULTILINE), "the base is pinned"
    assert "HEALTHCHECK" in text


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_lock_pins_everything_by_hash(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    pins = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).strip())
    assert len(pins) > 20
    for pin in pins:
        assert re.match(r"[\w.-]+==\S+", pin), pin
        assert "--hash=sha256:" in pin, pin


def test_lock_satisfies_the_floors() -> None:
    """Earlier gunicorn loses requests, earlier Werkzeug and urllib3 have known holes."""
    pins = dict(
        re.findall(r"^([\w-]+)==([\d.]+)", (ROOT / "requirements/runtime.txt").read_text(), re.MULTILINE)
    )
    wanted = re.findall(r"^    ([\w-]+) >= ([\d.]+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    floors = {name: floor for name, floor in wanted if name in pins}
    assert {"flask", "gunicorn", "urllib3", "werkzeug", "marshmallow"} <= set(floors)
    for name, floor in floors.items():
        assert numbers(pins[name]) >= numbers(floor), name


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_no_secret_and_no_path_of_a_machine_is_in_the_repository() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if files.returncode:
        pytest.skip("git is not installed, or this is no checkout")
    for name in files.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".bin", ".model", ".png"} or path == Path(__file__) or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"hf_[A-Za-z0-9]{30,}|BEGIN (?:RSA )?PRIVATE KEY|/home/\w|/root/", text), name
