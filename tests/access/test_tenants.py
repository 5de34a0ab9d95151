"""Policies of tenants: the file, and its effects."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from content_moderator.access.api_key import make_key
from content_moderator.access.api_keys import ApiKeys
from content_moderator.access.tenants import load_tenants
from content_moderator.app import create_app
from content_moderator.cli.main import main
from content_moderator.config.settings import AuthSettings, PolicySettings, Settings, TenantsSettings
from content_moderator.domain.caller import Scope
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.label import Label
from content_moderator.domain.policy import Rule
from tests.support.fake import FakeClassifier

FILE = """
policies:
  children:
    embedded:
      HR: {review: 0.2, block: 0.3}
      V: {block: 0.9}
    terms:
      block: [grumbit]
  gamers:
    embedded:
      V: {review: null, block: null}
    terms:
      allow: ["kill the boss"]
tenants:
  playground: {policy: children, separate_cache: true}
  arena: {policy: gamers}
  guild: {policy: gamers}
  elsewhere: {}
"""


def settings_of(tmp_path: Path, text: str = FILE) -> Settings:
    path = tmp_path / "tenants.yml"
    path.write_text(text, encoding="utf-8")
    return Settings(tenants=TenantsSettings(str(path)))


def test_policy_says_what_differs_from_the_default(tmp_path: Path) -> None:
    tenants = load_tenants(settings_of(tmp_path))
    children = tenants.of("playground").policy
    default = PolicySettings().build()
    assert children.name == "children"
    assert children.rules["embedded"]["HR"] == Rule(0.2, 0.3)
    assert children.rules["embedded"]["V"] == Rule(default.rules["embedded"]["V"].review, 0.9)
    assert children.rules["embedded"]["S"] == default.rules["embedded"]["S"]
    assert children.rules["koala"] == default.rules["koala"]
    assert len({policy.version for policy in tenants.policies().values()}) == 3
    assert tenants.of("nobody").policy.version == tenants.of("elsewhere").policy.version == default.version
    assert tenants.of("playground").separate_cache
    assert not tenants.of("arena").separate_cache


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("- a list", "must be a mapping of policies and tenants", id="a list"),
        pytest.param("a: [", "while parsing", id="no YAML"),
        pytest.param("tenants: {a: {}, a: {}}", "duplicate key 'a'", id="a key twice"),
        pytest.param("tenant: {}", "tenant: Unknown field.", id="unknown section"),
        pytest.param("tenants: {a: {polcy: x}}", "tenants.a.polcy: Unknown field.", id="unknown key"),
        pytest.param(
            "tenants: {a: {policy: x}}",
            "tenants.a.policy: There is no 'x' (there are: default).",
            id="unknown policy",
        ),
        pytest.param(
            "tenants: {'a b': {}}",
            "tenants.a b: Must have 1 to 128 printable ASCII characters, no space",
            id="name of a tenant",
        ),
        pytest.param("policies: {default: {}}", "Is the section policy of the settings.", id="default"),
        pytest.param(
            "policies: {p: {embedded: {XX: {review: 1}}}}",
            "policies.p.embedded.XX: Must be one of",
            id="label",
        ),
        pytest.param(
            "policies: {p: {embedded: {V: {review: 1.5}}}}",
            "policies.p.embedded.V.review: Must be greater than or equal to 0",
            id="range",
        ),
        pytest.param(
            "policies: {p: {embedded: {S: {review: 0.99}}}}",
            "policies.p.embedded.S.review: Must not be greater than block.",
            id="order, together with the default",
        ),
        pytest.param("policies: {p: {embeded: {}}}", "policies.p.embeded: Unknown field.", id="classifier"),
        pytest.param("policies: {p: 7}", "policies.p: Not a valid mapping type.", id="no mapping"),
        pytest.param(
            "policies: {p: {terms: {block: [yes]}}}",
            "policies.p.terms.block.0: Not a valid string.",
            id="yes",
        ),
        pytest.param(
            "policies: {p: {terms: {block: ['?']}}}",
            "policies.p.terms.block.0: Not a term: '?' has no letter, digit or emoji.",
            id="no term",
        ),
        pytest.param(
            "policies: {p: {terms: {block: [x], allow: [X]}}}",
            "policies.p: terms: 'x' is also in allow, as 'X'",
            id="a term in two lists",
        ),
    ],
)
def test_what_is_wrong_is_named_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_tenants(settings_of(tmp_path, text))
    said = str(raised.value)
    assert said.startswith(f"tenants.file: {tmp_path / 'tenants.yml'}: ")
    assert message in said
    assert "\n" not in said


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"tenants\.file: .*nothing\.yml: cannot be read"):
        load_tenants(Settings(tenants=TenantsSettings(str(tmp_path / "nothing.yml"))))


class Served:
    """The service, and a key for each tenant."""

    def __init__(self, tmp_path: Path, fake: FakeClassifier) -> None:
        ring, path = ApiKeys([]), tmp_path / "keys.json"
        self.keys: dict[str, str] = {}
        for tenant in ("playground", "arena", "guild", "elsewhere", "stranger", "chief"):
            scopes: tuple[Scope, ...] = ("classify", "admin") if tenant == "chief" else ("classify",)
            self.keys[tenant], key = make_key(tenant, scopes, created="2026-01-01")
            ring.add(key)
        ring.save(path)
        auth = AuthSettings(mode="api_key", keys_file=str(path))
        settings = Settings(auth=auth, tenants=settings_of(tmp_path).tenants)
        self.client: FlaskClient = create_app(settings, classifier=fake).test_client()

    def ask(self, tenant: str, text: str, path: str = "/classify", **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.keys[tenant]}"}
        answer = self.client.post(path, json=body or {"text": text}, headers=headers)
        assert answer.status_code == 200
        return answer.get_json() | {"headers": answer.headers}

    def get(self, tenant: str, path: str) -> Any:
        return self.client.get(path, headers={"Authorization": f"Bearer {self.keys[tenant]}"})


@pytest.fixture
def harassing() -> FakeClassifier:
    return FakeClassifier({Label.HR: 0.35, Label.V: 0.6, Label.OK: 0.4})


@pytest.fixture
def served(tmp_path: Path, harassing: FakeClassifier) -> Served:
    return Served(tmp_path, harassing)


def test_each_tenant_has_its_own_policy_from_one_memory(served: Served, harassing: FakeClassifier) -> None:
    """Each request is sent twice: Flask answers the first, and the fast path the second."""
    for round_ in range(3):
        decisions = {tenant: served.ask(tenant, "some text") for tenant in served.keys}
        assert decisions["playground"]["decision"] == "block"
        assert decisions["arena"]["decision"] == decisions["guild"]["decision"] == "allow"
        assert decisions["elsewhere"]["decision"] == decisions["stranger"]["decision"] == "review"
        names = {tenant: answer["policy"]["name"] for tenant, answer in decisions.items()}
        assert (names["playground"], names["arena"], names["stranger"]) == ("children", "gamers", "default")
        assert decisions["guild"]["cache"]["status"] == "exact"
        if round_:
            assert {answer["cache"]["status"] for answer in decisions.values()} == {"exact"}
    assert len(harassing.seen) == 2, "once for all, and once for the tenant whose cache is separate"


def test_separate_cache_tells_nothing(served: Served) -> None:
    assert served.ask("playground", "seen by one")["cache"]["status"] == "miss"
    assert served.ask("arena", "seen by one")["cache"]["status"] == "miss"
    assert served.ask("guild", "seen by one")["cache"]["status"] == "exact"
    assert served.ask("playground", "seen by one")["cache"]["status"] == "exact"


def test_terms_in_every_answer(served: Served) -> None:
    for _ in range(3):
        answer = served.ask("playground", "a grumbit")
        assert answer["reasons"][0] == {
            "rule": "term", "label": "TERM", "category": "term", "score": 1.0, "threshold": 1.0,
            "action": "block", "term": "grumbit",
        }  # fmt: skip
        assert answer["reasons"][1].keys() == {"rule", "label", "category", "score", "threshold", "action"}
        assert [each["label"] for each in served.ask("stranger", "a grumbit")["reasons"]] == ["V"]


def test_texts_that_differ_in_allowed_terms_alone(served: Served, harassing: FakeClassifier) -> None:
    """They share a cache entry, but not the rendered response."""
    harassing.scores = dict(harassing.scores) | {Label.HR: 0.9}
    for _ in range(3):
        assert served.ask("arena", "kill the boss and rest")["flagged"] is True
        assert served.ask("arena", "KILL THE BOSS and rest")["flagged"] is True
        assert served.ask("arena", "Kill the boss!")["decision"] == "allow"
    assert harassing.seen.count("and rest") == 1


def test_other_protocols_tell_the_policy_in_a_header(served: Served) -> None:
    version = served.ask("playground", "some text")["policy"]["version"]
    openai = served.ask("playground", "", "/v1/moderations", input="a grumbit")
    assert openai["results"][0]["flagged"] is True
    assert openai["headers"]["X-Moderation-Policy"] == f"children/{version}"
    comment = {"comment": {"text": "some text"}, "requestedAttributes": {"INSULT": {}}}
    google = served.ask("playground", "", "/v1alpha1/comments:analyze", **comment)
    assert google["headers"]["X-Moderation-Policy"] == f"children/{version}"
    batch = served.ask("playground", "", "/classify/batch", texts=["a grumbit", "b"])
    assert [each["policy"]["version"] for each in batch["results"]] == [version, version]


def test_callers_see_their_own_policy_and_admins_all(served: Served) -> None:
    own = served.get("playground", "/policy").get_json()
    assert (own["name"], own["terms"]["block"]) == ("children", ["grumbit"])
    assert own["rules"]["embedded"]["HR"] == {"review": 0.2, "block": 0.3}
    assert served.get("stranger", "/policy").get_json()["name"] == "default"
    assert served.get("playground", "/policies").status_code == 403
    everything = served.get("chief", "/policies").get_json()
    assert {each["name"] for each in everything["policies"]} == {"default", "children", "gamers"}
    assert everything["tenants"]["playground"] == {"policy": "children", "separate_cache": True}


def test_explanation_stands_where_the_words_are(tmp_path: Path) -> None:
    """A blanked term does not change positions."""
    settings = settings_of(tmp_path)
    path = tmp_path / "text.txt"
    path.write_text("  kill the boss, you pathetic idiot", encoding="utf-8")
    arguments = ["classify", "--json", "--explain", "--tenant", "arena", path.read_text(encoding="utf-8")]
    variables = {"MODERATOR__TENANTS__FILE": str(settings.tenants.file)}
    result = CliRunner().invoke(main, arguments, env=variables)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["policy"]["name"] == "gamers"
    words = answer["explanation"][0]["words"]
    text = path.read_text(encoding="utf-8")
    assert {text[word["begin"] : word["end"]] for word in words} == {"you", "pathetic", "idiot"}


def test_commands_judge_by_a_tenants_policy(tmp_path: Path) -> None:
    variables = {"MODERATOR__TENANTS__FILE": str(settings_of(tmp_path).tenants.file)}
    judged = CliRunner().invoke(main, ["classify", "--tenant", "playground", "a grumbit"], env=variables)
    assert judged.stdout.startswith("block\n  because the term 'grumbit' is listed (block)\n")
    assert "decided by policy children, version " in judged.stdout
    unknown = CliRunner().invoke(main, ["classify", "--tenant", "nobody", "x"], env=variables)
    assert unknown.exit_code == 2
    assert (
        "there is no 'nobody' in tenants.file (there are: arena, elsewhere, guild, playground)"
        in unknown.output
    )
