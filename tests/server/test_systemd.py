"""The units of deploy/systemd, as systemd reads them; that restarts lose nothing is in test_restarts.py."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from content_moderator.config.loader import load_settings
from tests.support.paths import ROOT

UNITS = ROOT / "deploy" / "systemd"
SERVICE = UNITS / "content-moderator.service"
INSTALLED = "/opt/content-moderator/bin/content-moderator"


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in UNITS.iterdir():
        # It looks whether the program is there.
        text = unit.read_text(encoding="utf-8").replace(INSTALLED, sys.executable)
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    finished = subprocess.run(
        ["systemd-analyze", "verify", *sorted(map(str, tmp_path.iterdir()))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = [line for line in finished.stderr.splitlines() if "content-moderator" in line]
    assert (finished.returncode, said) == (0, [])


def test_it_is_given_time_to_answer_what_it_has_begun() -> None:
    graceful: int = runpy.run_path(str(ROOT / "gunicorn.conf.py"))["graceful_timeout"]
    found = re.search(r"^TimeoutStopSec=(\d+)$", SERVICE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    assert int(found[1]) > graceful


def test_the_environment_of_the_unit_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable is one of ours, and together they are what production asks for."""
    for name, value in re.findall(
        r"^Environment=(\w+)=(.*)$", SERVICE.read_text(encoding="utf-8"), re.MULTILINE
    ):
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.auth.mode, settings.http.trusted_proxies) == ("api_key", 1)
