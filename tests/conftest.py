import functools
import os
import signal
from collections.abc import Callable, Iterator
from typing import Final

import coverage
import pytest
from flask.testing import FlaskClient

from content_moderator.app import create_app
from content_moderator.classifiers.embedded.sentence_encoder import SentenceEncoder
from content_moderator.config.settings import Settings
from tests.support import fault_server
from tests.support.fake import FakeClassifier
from tests.support.fault_server import FaultServer
from tests.support.paths import ROOT

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs with SIGINT ignored, and the commands that tests start would inherit
    # that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("MODERATOR_") or name in {"BEARER_TOKEN", "BEARER_TOKEN_FILE", "HOST", "PORT"}:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _one_sentence_encoder() -> Iterator[None]:
    """Load the sentence encoder once for all applications of the run: nothing changes it after that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SentenceEncoder, "load", functools.cache(SentenceEncoder.load))
        yield


@pytest.fixture
def fake() -> FakeClassifier:
    return FakeClassifier()


@pytest.fixture
def client(fake: FakeClassifier) -> FlaskClient:
    return create_app(Settings(), classifier=fake).test_client()


@pytest.fixture(scope="session")
def embedded_client() -> FlaskClient:
    return create_app(Settings()).test_client()


@pytest.fixture
def upstream() -> Iterator[FaultServer]:
    with fault_server.running() as server:
        yield server


@pytest.fixture
def untraced() -> Iterator[None]:
    """
    Leave coverage, if there is any, out of a test of many times the same steps, which shorter texts show too.

    Tracing each takes three times as long. pytest-cov has a marker for it, which fails with --no-cov.
    """
    tracing = coverage.Coverage.current()
    if tracing is None:
        yield
        return
    tracing.stop()
    try:
        yield
    finally:
        tracing.start()


_FIGURES: list[str] = []


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Have something that was measured told at the end of the run."""
    return lambda said: _FIGURES.append(f"{request.node.name}: {said}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was measured."""
    if _FIGURES:
        terminalreporter.section("measured")
        for line in _FIGURES:
            terminalreporter.write_line(line)


SYSTEM: Final = ("tests/server/",)
INTEGRATIONS: Final = (
    "tests/test_installed.py",
    "tests/web/compat/test_clients.py",
    "tests/web/pages/test_browser.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Mark what runs real processes, and what needs a browser, client libraries or installations of its own.
    """
    for item in items:
        path = item.path.relative_to(ROOT).as_posix()
        if path.startswith(INTEGRATIONS):
            item.add_marker("integration")
        elif path.startswith(SYSTEM):
            item.add_marker("system")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI everything is installed, so a skip hides something."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("skipped tests count as failures in CI", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
