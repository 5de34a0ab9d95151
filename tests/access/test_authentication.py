"""Authentication: keys, scopes and the short list of public endpoints."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient

from content_moderator.access.api_key import ApiKey, digest_of, make_key
from content_moderator.access.api_keys import ApiKeys
from content_moderator.app import create_app
from content_moderator.cli.main import main
from content_moderator.config.loader import load_settings
from content_moderator.config.settings import AuthSettings, Settings
from content_moderator.domain.caller import Scope
from content_moderator.domain.errors import ConfigurationError
from content_moderator.web.authentication import PUBLIC
from tests.support.fake import FakeClassifier
from tests.support.fault_server import wait_until
from tests.support.live import serving
from tests.support.paths import ROOT

TEXT = {"text": "one"}


class Keys:
    """A file of keys, and the keys themselves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ring = ApiKeys([])

    def add(self, tenant: str, *scopes: Scope) -> str:
        secret, key = make_key(tenant, scopes, created="2026-01-01")
        self.ring.add(key)
        self.ring.save(self.path)
        return secret


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


def locked(keys: Keys, fake: FakeClassifier | None = None) -> Flask:
    settings = Settings(auth=AuthSettings(mode="api_key", keys_file=str(keys.path)))
    return create_app(settings, classifier=fake or FakeClassifier())


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_every_route_but_a_short_list_needs_a_key(keys: Keys, fake: FakeClassifier) -> None:
    """A new route needs a key, unless it is added to the list of public endpoints."""
    keys.add("forum", "classify", "metrics")
    app = locked(keys, fake)
    client = app.test_client()
    seen = set()
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<path:name>", "page.js")
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            with client.open(path, method=method, json=TEXT if method == "POST" else None) as answer:
                assert (answer.status_code == 401) == (rule.endpoint not in PUBLIC), f"{method} {path}"
        seen.add(rule.endpoint)
    assert seen >= PUBLIC, "the list names nothing that is not there"
    assert TEXT["text"] not in fake.seen


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param("Authorization: Bearer {key}", id="bearer"),
        pytest.param("authorization: bearer   {key} ", id="bearer in small letters"),
        pytest.param("X-API-Key: {key}", id="x-api-key"),
    ],
)
def test_key_may_be_shown_in_either_header(headers: str, keys: Keys) -> None:
    name, _, value = headers.format(key=keys.add("forum", "classify")).partition(": ")
    client = locked(keys).test_client()
    for _ in range(2):
        # The second request is answered from the cache, in front of Flask.
        assert client.post("/classify", json=TEXT, headers={name: value}).status_code == 200


def test_google_clients_show_their_key_in_the_query(keys: Keys) -> None:
    key = keys.add("forum", "classify")
    client = locked(keys).test_client()
    body = {"comment": {"text": "one"}, "requestedAttributes": {"TOXICITY": {}}}
    path = "/v1alpha1/comments:analyze"
    assert client.post(f"{path}?key={key}", json=body).status_code == 200
    refused = client.post(f"{path}?key=AIza", json=body)
    assert (refused.status_code, refused.get_json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert client.post(f"/classify?key={key}", json=TEXT).status_code == 401, "nowhere else"


def altered(key: str) -> list[Any]:
    identity = key.split("_")[1]
    other = "0" if key[-1] != "0" else "1"
    return [
        pytest.param("", id="nothing"),
        pytest.param("cm", id="no form"),
        pytest.param(key[:-1] + other, id="last digit"),
        pytest.param(f"cm_{identity}_{'0' * 64}", id="right id, wrong secret"),
        pytest.param(f"cm_{'0' * 12}_{key.split('_')[2]}", id="wrong id, right secret"),
        pytest.param(key.upper(), id="capitals"),
        pytest.param(key + "0", id="longer"),
        pytest.param(f"{key}, {key}", id="twice"),
        pytest.param("é" * 80, id="not ascii"),
        pytest.param("a" * 8000, id="huge"),
    ]


FIXED = f"cm_{'ab' * 6}_{'cd' * 32}"


@pytest.mark.parametrize("shown", altered(FIXED))
def test_key_that_is_not_quite_right_is_refused(shown: str, tmp_path: Path) -> None:
    known = ApiKey("ab" * 6, "forum", digest_of(FIXED), ("classify",), "2026-01-01")
    keyring = ApiKeys([known])
    assert keyring.caller_of(FIXED) is not None
    assert keyring.caller_of(shown) is None


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({}, "credentials_missing", id="none"),
        pytest.param({"Authorization": "Basic YTpi"}, "credentials_missing", id="another scheme"),
        pytest.param({"Authorization": "Bearer "}, "credentials_missing", id="empty"),
        pytest.param(
            {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}, "credentials_invalid", id="a token"
        ),
        pytest.param({"X-API-Key": "cm_x"}, "credentials_invalid", id="no key of ours"),
    ],
)
def test_refusal_says_what_to_send_and_nothing_else(
    headers: dict[str, str], code: str, keys: Keys, fake: FakeClassifier
) -> None:
    keys.add("forum", "classify")
    answer = locked(keys, fake).test_client().post("/classify", json=TEXT, headers=headers)
    assert answer.status_code == 401
    challenge = 'Bearer realm="content_moderator"'
    error = ', error="invalid_token"' if code == "credentials_invalid" else ""
    assert answer.headers["WWW-Authenticate"] == challenge + error
    assert answer.get_json()["code"] == code
    assert answer.get_json()["request_id"] == answer.headers["X-Request-ID"]
    assert fake.seen == []


def test_key_is_good_for_its_scopes_only(keys: Keys) -> None:
    classify, metrics = keys.add("forum", "classify"), keys.add("prometheus", "metrics")
    client = locked(keys).test_client()
    assert client.get("/metrics", headers=bearer(metrics)).status_code == 200
    for path, key in [("/classify", metrics), ("/v1/moderations", metrics)]:
        refused = client.post(path, json=TEXT, headers=bearer(key))
        assert (refused.status_code, refused.get_json()["code"]) == (403, "scope_missing")
    refused = client.get("/metrics", headers=bearer(classify))
    assert refused.status_code == 403
    assert refused.get_json()["detail"] == "The API key or token lacks the scope metrics."


def test_remembered_answer_needs_a_key_too(keys: Keys, fake: FakeClassifier) -> None:
    """The fast path does not bypass authentication."""
    key = keys.add("forum", "classify")
    client = locked(keys, fake).test_client()
    for _ in range(2):
        assert client.post("/classify", json=TEXT, headers=bearer(key)).status_code == 200
    for headers in ({}, bearer(FIXED)):
        assert client.post("/classify", json=TEXT, headers=headers).status_code == 401
    assert len(fake.seen) == 1


def test_openai_clients_get_the_error_that_they_know(keys: Keys) -> None:
    keys.add("forum", "classify")
    answer = locked(keys).test_client().post("/v1/moderations", json={"input": "one"})
    assert answer.get_json()["error"]["type"] == "authentication_error"
    assert answer.headers["X-Should-Retry"] == "false"


def test_log_names_the_tenant_and_never_the_key(keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    key = keys.add("forum", "classify")
    client = locked(keys).test_client()
    for _ in range(2):
        client.post("/classify", json=TEXT, headers=bearer(key))
    client.post("/classify", json=TEXT, headers=bearer(FIXED))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("tenant") for line in lines] == ["forum", "forum", None]
    assert lines[0]["key_id"] == key.split("_")[1]
    assert key not in str(lines)
    assert FIXED not in str(lines)


def test_methods_and_unknown_paths_are_for_everybody(keys: Keys) -> None:
    keys.add("forum", "classify")
    client = locked(keys).test_client()
    assert client.options("/classify").status_code == 200
    assert client.get("/nothing").status_code == 404
    assert client.get("/classify").status_code == 405


def test_description_tells_how_to_show_a_key(keys: Keys, client: FlaskClient) -> None:
    keys.add("forum", "classify")
    described = locked(keys).test_client().get("/openapi.json").get_json()
    assert described["security"] == [{"bearer": []}, {"header": []}]
    assert described["paths"]["/livez"]["get"]["security"] == []
    assert "security" not in client.get("/openapi.json").get_json()


def test_page_asks_for_a_key_only_where_one_is_needed(keys: Keys, client: FlaskClient) -> None:
    keys.add("forum", "classify")
    assert 'id="key"' in locked(keys).test_client().get("/").text
    assert 'id="key"' not in client.get("/").text


# The file and the commands.


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODERATOR_CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.setenv("MODERATOR__AUTH__KEYS_FILE", "keys.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments])


def test_key_is_made_shown_once_listed_and_revoked(here: Path) -> None:
    made = run("create", "--tenant", "forum", "--scope", "classify", "--scope", "metrics")
    key = made.stdout.strip()
    assert re.fullmatch(r"cm_[0-9a-f]{12}_[0-9a-f]{64}", key)
    path = here / "keys.json"
    assert key not in path.read_text()
    assert key.split("_")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    caller = ApiKeys.load(path).caller_of(key)
    assert caller is not None
    assert caller.tenant == "forum"
    assert caller.scopes == frozenset({"classify", "metrics"})
    other = run("create", "--tenant", "forum").stdout.strip()
    assert other != key, "a tenant may have several, so that one can follow the other"
    assert "forum" in run("list").output
    identity = key.split("_")[1]
    assert run("revoke", identity).exit_code == 0
    assert ApiKeys.load(path).caller_of(key) is None
    assert ApiKeys.load(path).caller_of(other) is not None
    assert "revoked" in run("list").output


def test_list_shows_tenants_as_they_are_called(here: Path) -> None:
    tenants = ["[bold]", ":smile:", "a" * 128]
    for tenant in tenants:
        run("create", "--tenant", tenant)
    cells = [line.split("│")[2].strip() for line in run("list").output.splitlines() if "│" in line]
    assert "".join(cells) == "".join(tenants)


@pytest.mark.parametrize("link", [False, True])
def test_file_that_was_left_over_gives_its_mode_to_nobody(link: bool, tmp_path: Path) -> None:
    """
    A temporary file of a killed command or of another user: neither its mode nor its target, if it is a link,
    is used.
    """
    left = tmp_path / "keys.json.new"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    if link:
        left.symlink_to(elsewhere)
    else:
        left.write_text("left over")
        left.chmod(0o666)
    ApiKeys([]).save(tmp_path / "keys.json")
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "keys.json").is_symlink()
    assert elsewhere.read_text() == "mine"


def test_keys_made_at_once_are_all_kept(here: Path) -> None:
    command = [sys.executable, "-m", "content_moderator", "keys", "create", "--tenant", "forum"]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]
    made = [process.communicate(timeout=60)[0].decode().strip() for process in running]
    keyring = ApiKeys.load(here / "keys.json")
    assert all(keyring.caller_of(key) for key in made)
    assert len(keyring.keys) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["create", "--tenant", "a b"], "printable ASCII", id="tenant"),
        pytest.param(["create", "--tenant", "a", "--scope", "all"], "is not one of", id="scope"),
        pytest.param(["revoke", "0" * 12], "no key of this id", id="unknown id"),
    ],
)
def test_misuse_is_explained(arguments: list[str], message: str, here: Path) -> None:
    run("create", "--tenant", "forum")
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_folder_that_is_not_there_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATOR__AUTH__KEYS_FILE", "nowhere/keys.json")
    result = run("create", "--tenant", "forum")
    assert result.exit_code == 1
    assert "nowhere/keys.json cannot be written (No such file or directory)" in result.output


def test_commands_need_to_know_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODERATOR__AUTH__KEYS_FILE")
    assert "auth.keys_file is not set" in run("list").output


KEY = {"id": "0" * 12, "tenant": "a", "sha256": "0" * 64, "scopes": ["classify"], "created": "2026-01-01"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read", id="no file"),
        pytest.param("{", "is not JSON", id="not json"),
        pytest.param("[]", "Invalid input type", id="no object"),
        pytest.param('{"keys": [{}]}', r"keys\.0\.", id="no fields"),
        pytest.param(json.dumps({"keys": [KEY | {"scopes": ["all"]}]}), "scopes", id="unknown scope"),
        pytest.param(json.dumps({"keys": [KEY, KEY]}), "same id", id="twice the same id"),
    ],
)
def test_file_that_cannot_be_used_stops_the_start(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    settings = Settings(auth=AuthSettings(mode="api_key", keys_file=str(path)))
    with pytest.raises(ConfigurationError, match=rf"auth\.keys_file: .*{message}"):
        create_app(settings, classifier=FakeClassifier())


def test_keys_without_a_file_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"auth\.keys_file: missing"):
        create_app(Settings(auth=AuthSettings(mode="api_key")), classifier=FakeClassifier())


@pytest.mark.parametrize("environment", ["production", "canary", "staging"])
def test_nobody_serves_everybody_by_mistake(environment: str) -> None:
    """In environments that face users, serving without keys must be allowed explicitly."""
    variables = {"MODERATOR_CONFIG_DIR": str(ROOT / "config"), "MODERATOR_ENVIRONMENT": environment}
    with pytest.raises(ConfigurationError, match=r"auth\.mode: none, but auth\.required is true"):
        create_app(load_settings(variables), classifier=FakeClassifier())
    told = load_settings(variables | {"MODERATOR__AUTH__REQUIRED": "false"})
    assert create_app(told, classifier=FakeClassifier())


def test_keys_are_read_anew_at_a_reload_and_a_bad_file_keeps_the_old(keys: Keys, tmp_path: Path) -> None:
    first = keys.add("forum", "classify")
    variables = {"MODERATOR__AUTH__MODE": "api_key", "MODERATOR__AUTH__KEYS_FILE": str(keys.path)}
    with serving(tmp_path / "log", variables) as live:

        def status(key: str) -> int:
            return requests.post(
                f"{live.url}/classify", json=TEXT, headers=bearer(key), timeout=10
            ).status_code

        second = keys.add("chat", "classify")
        assert (status(first), status(second)) == (200, 401)
        keys.ring.revoke(first.split("_")[1])
        keys.ring.save(keys.path)
        live.reload()
        assert (status(first), status(second)) == (401, 200)
        keys.path.write_text("{")
        live.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "is not JSON" in live.output)
        assert (status(first), status(second)) == (401, 200)
