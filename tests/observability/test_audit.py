"""The audit log: complete, and without texts."""

import hashlib
import hmac
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from content_moderator.access.api_key import make_key
from content_moderator.access.api_keys import ApiKeys
from content_moderator.app import create_app
from content_moderator.config.settings import (
    AuditSettings,
    AuthSettings,
    PolicySettings,
    Secret,
    Settings,
    TermSettings,
)
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.label import Label
from content_moderator.observability import metrics
from content_moderator.observability.audit import build_audit
from tests.support.fake import FakeClassifier
from tests.support.fault_server import wait_until
from tests.support.live import serving

SECRET = Secret("a-secret-of-the-tests")
CANARY = "canary-words of a person"


class Audited:
    """A service with an audit log."""

    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        self.file = tmp_path / "audit.jsonl"
        self.fake = FakeClassifier({Label.HR: 0.9, Label.OK: 0.1})
        made = Settings(audit=AuditSettings(str(self.file)), audit_secret=SECRET, **settings)
        self.client: FlaskClient = create_app(made, classifier=self.fake).test_client()

    def close(self) -> None:
        self.client.application.extensions["content_moderator"].audit.close()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[Audited]:
    made = Audited(tmp_path)
    yield made
    made.close()


def hash_of(text: str) -> str:
    return hmac.new(SECRET.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()


def test_record_says_who_what_and_why_and_not_the_text(tmp_path: Path) -> None:
    secret, key = make_key("forum", ["classify"], created="2026-01-01")
    ApiKeys([key]).save(tmp_path / "keys.json")
    audited = Audited(
        tmp_path,
        auth=AuthSettings(mode="api_key", keys_file=str(tmp_path / "keys.json")),
        policy=PolicySettings(terms=TermSettings(block=["canary words"])),
    )
    headers = {"Authorization": f"Bearer {secret}", "X-Request-ID": "r-1"}
    answer = audited.client.post("/classify", json={"text": CANARY}, headers=headers).get_json()
    audited.close()
    [line] = audited.lines()
    assert line.pop("time").startswith("20")
    assert answer.pop("request_id") == "r-1"
    assert answer["reasons"][0].pop("term") == "canary words", "the one thing that is left out"
    assert (
        line
        == {
            "event": "audit",
            "request_id": "r-1",
            "endpoint": "classify.classify",
            "tenant": "forum",
            "key_id": key.id,
            "text_hash": hash_of(CANARY),
        }
        | answer
    ), "laid out as the answer is"
    assert "canary" not in audited.file.read_text()
    assert secret not in audited.file.read_text()
    assert stat.S_IMODE(audited.file.stat().st_mode) == 0o600


def test_every_text_of_every_protocol_is_recorded(audited: Audited) -> None:
    client = audited.client
    for _ in range(3):
        client.post("/classify", json={"text": "one"})
    client.post("/classify", json={"text": "one", "spans": True})
    client.post("/classify/batch", json={"texts": ["two", "", "three"]})
    client.post("/v1/moderations", json={"input": ["four", "five"]})
    comment = {"comment": {"text": "six"}, "requestedAttributes": {"TOXICITY": {}}}
    client.post("/v1alpha1/comments:analyze", json=comment)
    expected = ["one"] * 4 + ["two", "three", "four", "five", "six"]
    assert [line["text_hash"] for line in audited.lines()] == list(map(hash_of, expected))
    assert [line["cache"]["status"] for line in audited.lines()][:3] == ["miss", "exact", "exact"]


def test_what_was_not_judged_is_not_recorded(audited: Audited) -> None:
    audited.client.post("/classify", json={})
    audited.client.get("/")
    audited.fake.error = RuntimeError()
    audited.client.post("/classify", json={"text": "one"})
    assert audited.lines() == []


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(
            lambda client: client.post(
                "/classify", json={"text": "a"}, headers={"Cache-Control": "no-store"}
            ),
            id="no-store",
        ),
        pytest.param(
            lambda client: client.post(
                "/v1alpha1/comments:analyze",
                json={"comment": {"text": "a"}, "requestedAttributes": {"TOXICITY": {}}, "doNotStore": True},
            ),
            id="doNotStore",
        ),
    ],
)
def test_who_wants_no_trace_leaves_no_hash(ask: Callable[[FlaskClient], Any], audited: Audited) -> None:
    assert ask(audited.client).status_code == 200
    [line] = audited.lines()
    assert line["text_hash"] is None
    assert line["decision"] == "review"


def test_file_that_was_moved_away_is_begun_anew(audited: Audited) -> None:
    audited.client.post("/classify", json={"text": "one"})
    audited.file.rename(audited.file.with_suffix(".1"))
    audited.client.post("/classify", json={"text": "two"})
    assert [line["text_hash"] for line in audited.lines()] == [hash_of("two")]


def test_line_that_cannot_be_written_stops_no_answer(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    audited.client.post("/classify", json={"text": "one"})
    state = audited.client.application.extensions["content_moderator"]
    before = metrics.AUDIT_FAILURES._value.get()
    with monkeypatch.context() as disk:
        disk.setattr(state.audit._handler, "flush", full)
        assert audited.client.post("/classify", json={"text": CANARY}).status_code == 200
    assert metrics.AUDIT_FAILURES._value.get() == before + 1
    said = capsys.readouterr()
    assert "audit_not_written" in said.out
    assert "canary" not in said.out + said.err


def test_folder_that_is_gone_stops_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    audited = Audited(folder)
    folder.rename(tmp_path / "elsewhere")
    before = metrics.AUDIT_FAILURES._value.get()
    for _ in range(2):
        assert audited.client.post("/classify", json={"text": CANARY}).status_code == 200
    assert metrics.AUDIT_FAILURES._value.get() == before + 2
    said = capsys.readouterr()
    assert "audit_not_written" in said.out
    assert "canary" not in said.out + said.err
    folder.mkdir()
    audited.client.post("/classify", json={"text": "one"})
    assert [line["text_hash"] for line in audited.lines()] == [hash_of("one")], "it goes on by itself"
    audited.close()


def test_settings_are_checked(tmp_path: Path) -> None:
    assert build_audit(AuditSettings(), None) is None
    with pytest.raises(ConfigurationError, match="AUDIT_SECRET: missing"):
        build_audit(AuditSettings(str(tmp_path / "a")), None)
    with pytest.raises(ConfigurationError, match=r"audit\.file: .*nowhere/a cannot be written"):
        build_audit(AuditSettings(str(tmp_path / "nowhere" / "a")), SECRET)


def test_several_workers_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    variables = {"MODERATOR__AUDIT__FILE": str(path), "AUDIT_SECRET": SECRET.reveal()}
    with serving(tmp_path / "log", variables) as live:
        for number in range(40):
            body = {"text": f"text {number}"}
            assert requests.post(f"{live.url}/classify", json=body, timeout=20).status_code == 200
        assert SECRET.reveal() not in live.output
    hashes = [json.loads(line)["text_hash"] for line in path.read_text().splitlines()]
    assert sorted(hashes) == sorted(hash_of(f"text {number}") for number in range(40))


def test_standard_output_will_do(tmp_path: Path) -> None:
    variables = {"MODERATOR__AUDIT__FILE": "-", "AUDIT_SECRET": SECRET.reveal()}
    with serving(tmp_path / "log", variables, workers=1) as live:
        requests.post(f"{live.url}/classify", json={"text": "one"}, timeout=20)
        wait_until(lambda: hash_of("one") in live.output)
