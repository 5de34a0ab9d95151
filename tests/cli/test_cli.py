"""content-moderator on the command line."""

import dataclasses
import json
import os
import re
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from content_moderator import __version__
from content_moderator.cli.classify import _standard_input
from content_moderator.cli.errors import plain_errors
from content_moderator.cli.main import main
from content_moderator.config.loader import load_settings
from tests.support.fault_server import FaultServer, Step, reply, scores


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def test_classify_shows_decision_reasons_and_bars(runner: CliRunner) -> None:
    result = runner.invoke(main, ["classify", "you are a pathetic idiot"])
    assert result.exit_code == 0, result.output
    first, second, *_ = result.output.splitlines()
    assert first == "review"
    assert second.startswith("  because harassment scores")
    assert "█" in result.output
    assert "scored by embedded" in result.output


def test_classify_says_which_words_weighed(runner: CliRunner) -> None:
    result = runner.invoke(main, ["classify", "--explain", "you are a pathetic idiot"])
    [line] = [line for line in result.output.splitlines() if line.startswith("HR: log-odds")]
    assert "idiot +" in line
    assert "for all else" in line
    asked = ["classify", "--explain", "--json", "you are a pathetic idiot"]
    body = json.loads(runner.invoke(main, asked).output)
    assert {word["word"] for word in body["explanation"][0]["words"]} == {
        "you",
        "are",
        "a",
        "pathetic",
        "idiot",
    }


def test_only_the_second_opinion_explains_another_language(runner: CliRunner) -> None:
    result = runner.invoke(main, ["classify", "--explain", "Ich bringe dich heute Abend um, du Idiot"])
    lines = [line for line in result.output.splitlines() if ": log-odds" in line]
    assert lines
    for line in lines:
        assert re.fullmatch(r"\w+: log-odds \S+ = second opinion \S+, and \S+ for all else", line)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    @plain_errors
    def cut_short() -> None:
        raise BrokenPipeError

    # click ends the command without a word.
    with pytest.raises(BrokenPipeError):
        cut_short()


def test_classify_says_that_a_remote_model_cannot_be_explained(
    runner: CliRunner, upstream: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODERATOR__CLASSIFIER__NAME", "koala")
    monkeypatch.setenv("MODERATOR__CLASSIFIER__CONFIG__URL", upstream.url)
    monkeypatch.setenv("BEARER_TOKEN", "token")
    upstream.play(reply(scores()))
    result = runner.invoke(main, ["classify", "--explain", "a text"])
    assert "cannot say which words weighed" in result.output


def test_classify_reads_standard_input(runner: CliRunner) -> None:
    result = runner.invoke(main, ["classify", "--json"], input="what a lovely\nday\n")
    assert result.exit_code == 0, result.output
    body = json.loads(result.output)
    assert body["decision"] == "allow"
    assert len(body["labels"]) == 9


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        pytest.param(["classify", " "], None, "the text is empty", id="blank"),
        pytest.param(["classify"], b"", "the text is empty", id="nothing"),
        pytest.param(["classify"], b"caf\xe9", "not UTF-8 (byte 3)", id="Latin-1"),
        pytest.param(
            ["classify", "a" * 20_481], None, "has 20481 characters; http.max_text_chars is 20480", id="long"
        ),
        pytest.param(["serve", "--port", "0"], None, "Invalid value for '--port'", id="port"),
        pytest.param(["nothing"], None, "No such command", id="command"),
    ],
)
def test_misuse_is_explained(
    arguments: list[str], given: bytes | None, message: str, runner: CliRunner
) -> None:
    result = runner.invoke(main, arguments, input=given)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("command", [["classify"], ["scan", "-", "-o", "out"]], ids=["classify", "scan"])
def test_closed_standard_input_is_said(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(click.UsageError, match="standard input is closed"):
        main(command, standalone_mode=False)


def test_argument_of_other_bytes_is_said(runner: CliRunner) -> None:
    result = runner.invoke(main, ["classify", "a\udcff"])
    assert "TEXT is not UTF-8" in result.output


@pytest.mark.parametrize("name", ["WEB_CONCURRENCY", "THREADS"])
@pytest.mark.parametrize("value", ["abc", "0", "-1", "", "1.5"])
def test_number_that_is_none_is_said(
    name: str, value: str, runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    result = runner.invoke(main, ["serve"])
    assert f"{name}: must be a whole number from 1 on, not {value!r}" in result.output


def test_classify_on_a_terminal_asks_for_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(click.UsageError, match="give a TEXT"):
        _standard_input()


def test_classifier_error_is_one_line(
    runner: CliRunner, upstream: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.play(Step(401))
    monkeypatch.setenv("MODERATOR__CLASSIFIER__NAME", "koala")
    monkeypatch.setenv("MODERATOR__CLASSIFIER__CONFIG__URL", upstream.url)
    monkeypatch.setenv("BEARER_TOKEN", "hf_secret")
    result = runner.invoke(main, ["classify", "a"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: classifier_credentials_refused: ")
    assert "hf_secret" not in runner.invoke(main, ["config", "show"]).output


@pytest.mark.parametrize("arguments", [["config", "check"], ["classify", "a"], ["config", "show"]])
def test_bad_configuration_is_one_line(
    arguments: list[str], runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODERATOR__CLASSIFIER__DEADLINE_SECONDS", "-1")
    result = runner.invoke(main, arguments)
    assert result.exit_code == 1
    assert result.output.startswith("Error: configuration: classifier.deadline_seconds: ")
    assert result.output.count("\n") == 1


def test_config_check_builds_the_classifier(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "classifier embedded" in runner.invoke(main, ["config", "check"]).output
    monkeypatch.setenv("MODERATOR__CLASSIFIER__NAME", "koala")
    result = runner.invoke(main, ["config", "check"])
    assert (result.exit_code, "BEARER_TOKEN: missing" in result.output) == (1, True)


def test_frozen_settings_are_the_settings(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODERATOR_ENVIRONMENT", "production")
    monkeypatch.setenv("MODERATOR__AUTH__REQUIRED", "false")
    monkeypatch.setenv("MODERATOR__CLASSIFIER__DEADLINE_SECONDS", "3.5")
    monkeypatch.setenv("BEARER_TOKEN", "hf_secret")
    before = load_settings()
    assert runner.invoke(main, ["config", "check", "--freeze", str(tmp_path / "new")]).exit_code == 0
    assert "hf_secret" not in (tmp_path / "new" / "app_conf.yml").read_text()
    frozen = load_settings({"MODERATOR_CONFIG_DIR": str(tmp_path / "new")})
    assert dataclasses.replace(before, bearer_token=None) == frozen


def test_config_show_can_be_read_back(runner: CliRunner) -> None:
    shown = yaml.safe_load(runner.invoke(main, ["config", "show"]).output)
    assert shown == yaml.safe_load(Path("config/app_conf.yml").read_text(encoding="utf-8"))


def test_serve_becomes_gunicorn(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(os, "execve", lambda *arguments: calls.append(arguments))
    result = runner.invoke(main, ["serve", "--host", "::1", "--port", "8765"])
    assert result.exit_code == 0, result.output
    [(program, command, environ)] = calls
    assert program == sys.executable
    assert Path(command[1]).name == "gunicorn"
    assert Path(command[1]).is_file()
    assert Path(command[3]).is_file()
    assert (environ["HOST"], environ["PORT"]) == ("::1", "8765")


def test_version(runner: CliRunner) -> None:
    assert __version__ in runner.invoke(main, ["--version"]).output
