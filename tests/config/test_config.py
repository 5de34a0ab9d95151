"""Settings: layers, strictness, secrets. Each mistake is one line that names the key."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from content_moderator.config.loader import dump_settings, load_settings, warnings_of
from content_moderator.config.settings import SECRETS, Settings
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.policy import Rule
from tests.support.paths import ROOT

ENVIRONMENTS = ["development", "staging", "canary", "production"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "environments").mkdir()
    (tmp_path / "app_conf.yml").write_text("classifier: {name: embedded, deadline_seconds: 4}\n")
    (tmp_path / "environments" / "test.yml").write_text("classifier: {deadline_seconds: 3}\n")
    return tmp_path


def load(directory: Path, **variables: str) -> Settings:
    return load_settings({"MODERATOR_CONFIG_DIR": str(directory), **variables})


def test_each_layer_overrides_the_one_below(directory: Path) -> None:
    assert load(directory).classifier.deadline_seconds == 4
    assert load(directory, MODERATOR_ENVIRONMENT="test").classifier.deadline_seconds == 3
    overridden = load(directory, MODERATOR_ENVIRONMENT="test", MODERATOR__CLASSIFIER__DEADLINE_SECONDS="2.5")
    assert overridden.classifier.deadline_seconds == 2.5
    assert overridden.classifier.name == "embedded"


def test_documented_override_works(directory: Path) -> None:
    settings = load(
        directory,
        MODERATOR__CLASSIFIER__NAME="koala",
        MODERATOR__CLASSIFIER__CONFIG__URL="http://127.0.0.1:9000/",
        MODERATOR__LOGGING__REQUESTS="false",
        MODERATOR__POLICY__KOALA__S="{review: 0.1}",
        MODERATOR__POLICY__KOALA__V__BLOCK="0.9",
        BEARER_TOKEN="x",
    )
    assert settings.classifier.name == "koala"
    assert settings.classifier.config.url == "http://127.0.0.1:9000/"
    assert settings.logging.requests is False
    assert settings.policy.thresholds["koala"]["S"] == Rule(review=0.1)
    assert settings.policy.thresholds["koala"]["V"].block == 0.9


def test_shipped_file_documents_every_key_with_its_default() -> None:
    """The defaults stand in the code and in app_conf.yml; they are the same, and none is left out."""
    written = yaml.safe_load((ROOT / "config" / "app_conf.yml").read_text())
    defaults = dataclasses.asdict(Settings())
    for name in (*SECRETS, "warnings"):
        del defaults[name]
    defaults["policy"] = Settings().policy.as_dict()
    assert written == defaults


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_shipped_environment_is_sound_and_holds_differences_only(environment: str) -> None:
    base = yaml.safe_load((ROOT / "config" / "app_conf.yml").read_text())
    differences = yaml.safe_load((ROOT / "config" / "environments" / f"{environment}.yml").read_text())
    for path, value in leaves(differences):
        below: Any = base
        for part in path:
            below = below[part]
        assert below != value, f"{path} is the same as in app_conf.yml"
    load_settings({"MODERATOR_CONFIG_DIR": str(ROOT / "config"), "MODERATOR_ENVIRONMENT": environment})


def leaves(values: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(values, dict):
        return [(path, values)]
    return [leaf for key, below in values.items() for leaf in leaves(below, (*path, key))]


@pytest.mark.parametrize("environment", ["staging", "canary", "production"])
def test_production_sends_no_text_over_plain_http(environment: str) -> None:
    settings = load_settings(
        {"MODERATOR_CONFIG_DIR": str(ROOT / "config"), "MODERATOR_ENVIRONMENT": environment}
    )
    assert settings.classifier.config.require_https


def test_without_files_of_ones_own_the_packaged_ones_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings({}) == Settings()
    assert load_settings({"MODERATOR_ENVIRONMENT": "production"}).classifier.config.require_https


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("clasifier: {}", "clasifier: Unknown field. (from {file})", id="unknown section"),
        pytest.param(
            "classifier: {nam: x}", "classifier.nam: Unknown field. (from {file})", id="unknown key"
        ),
        pytest.param(
            "classifier: {deadline_seconds: '8'}",
            "classifier.deadline_seconds: Not a valid number. (from {file})",
            id="quoted number",
        ),
        pytest.param(
            "classifier: {deadline_seconds: true}",
            "classifier.deadline_seconds: Not a valid number. (from {file})",
            id="boolean for number",
        ),
        pytest.param(
            "classifier: {deadline_seconds: 0}",
            "classifier.deadline_seconds: Must be greater than or equal to 0.1 and less than or equal to 300."
            " (from {file})",
            id="out of range",
        ),
        pytest.param(
            "classifier: {deadline_seconds: .nan}", "classifier.deadline_seconds: ", id="not a number at all"
        ),
        pytest.param(
            "http: {max_text_chars: 2.0}", "http.max_text_chars: Not a valid integer. (from {file})", id="2.0"
        ),
        pytest.param(
            "logging: {requests: 'yes'}",
            "logging.requests: Not a valid boolean. (from {file})",
            id="text for flag",
        ),
        pytest.param("logging: {level: loud}", "logging.level: Must be one of: debug, ", id="no such level"),
        pytest.param("classifier: {name: 3}", "classifier.name: Not a valid string.", id="number for text"),
        pytest.param("classifier: {name: ''}", "classifier.name: ", id="empty text"),
        pytest.param("classifier: {name: null}", "classifier.name: Field may not be null.", id="null"),
        pytest.param(
            "classifier: koala", "classifier: Invalid input type. (from {file})", id="text for section"
        ),
        pytest.param("classifier:", "classifier: Field may not be null. (from {file})", id="empty section"),
        pytest.param(
            "policy: {kaola: {S: {review: 1}}}",
            "policy.kaola: Unknown field. It is neither a setting nor a classifier"
            " (there are: embedded, koala). (from {file})",
            id="thresholds of no classifier",
        ),
        pytest.param(
            "policy: {other_language: review}",
            "policy.other_language: Not a valid mapping type. (from {file})",
            id="misspelt key of the policy",
        ),
        pytest.param(
            "policy: {thresholds: {koala: {S: {review: 1}}}}",
            "policy.thresholds.koala: Must be one of",
            id="name of the field in the code",
        ),
        pytest.param(
            "policy: {koala: {X: {review: 1}}}", "policy.koala.X: Must be one of", id="no such label"
        ),
        pytest.param(
            "policy: {koala: {S: {review: 2}}}", "policy.koala.S.review: Must be greater", id="threshold of 2"
        ),
        pytest.param(
            "policy: {koala: {S: {review: 0.8, block: 0.5}}}",
            "policy.koala.S.review: Must not be greater than block. (from {file})",
            id="review above block",
        ),
        pytest.param(
            "policy: {koala: {S: {reviw: 0.5}}}", "policy.koala.S.reviw: Unknown", id="key of a rule"
        ),
        pytest.param("a: 1\na: 2", "{file}: duplicate key 'a'", id="duplicate key"),
        pytest.param("- a", "{file}: must be a mapping of sections", id="a list"),
        pytest.param("a: [", "{file}: ", id="not YAML"),
        pytest.param("bearer_token: x", "bearer_token: Unknown field. (from {file})", id="secret in a file"),
    ],
)
def test_each_mistake_is_one_line_that_names_the_key(text: str, message: str, directory: Path) -> None:
    file = directory / "app_conf.yml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load(directory)
    line = str(raised.value)
    assert line.startswith(message.format(file=file))
    assert "\n" not in line


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"MODERATOR__CLASIFIER__NAME": "x"}, "clasifier: Unknown field. (from MODERATOR__CLASIFIER__NAME)"),
        (
            {"MODERATOR__CLASSIFIER__DEADLINE_SECONDS": "soon"},
            "classifier.deadline_seconds: Not a valid number. (from MODERATOR__CLASSIFIER__DEADLINE_SECONDS)",
        ),
        ({"MODERATOR__HTTP__MAX_TEXT_CHARS": "{"}, "MODERATOR__HTTP__MAX_TEXT_CHARS: "),
        ({"MODERATOR_ENVIRONMENT": "prod"}, "MODERATOR_ENVIRONMENT: no file for 'prod'"),
        ({"MODERATOR_ENVIRONMENT": "../app_conf"}, "MODERATOR_ENVIRONMENT: no file for '../app_conf'"),
        ({"BEARER_TOKEN": "a b"}, "BEARER_TOKEN: must be printable ASCII without spaces"),
        ({"BEARER_TOKEN": "a\r\nX: y"}, "BEARER_TOKEN: must be printable"),
        ({"BEARER_TOKEN": "a", "BEARER_TOKEN_FILE": "b"}, "BEARER_TOKEN: set either"),
        ({"CACHE_SECRET": "too-short"}, "CACHE_SECRET: must have at least 16 characters"),
        ({"BEARER_TOKEN_FILE": "/nowhere"}, "BEARER_TOKEN_FILE: the file cannot be read"),
    ],
)
def test_mistakes_in_variables(variables: dict[str, str], message: str, directory: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(directory, **variables)
    assert str(raised.value).startswith(message)
    assert "X: y" not in str(raised.value)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere/app_conf\.yml: cannot be read"):
        load(tmp_path / "nowhere")


def test_empty_file_is_all_defaults(directory: Path) -> None:
    (directory / "app_conf.yml").write_text("# nothing\n")
    assert load(directory) == Settings()


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        pytest.param("[]", [], id="none"),
        pytest.param('["https://example.org", "http://127.0.0.1:3000"]', None, id="two"),
        pytest.param('["*"]', ["*"], id="all"),
    ],
)
def test_origins_are_a_list(directory: Path, value: str, origins: list[str] | None) -> None:
    wanted = ["https://example.org", "http://127.0.0.1:3000"] if origins is None else origins
    assert load(directory, MODERATOR__HTTP__CORS_ORIGINS=value).http.cors_origins == wanted


@pytest.mark.parametrize("value", ['["example.org"]', '["https://example.org/page"]', "https://example.org"])
def test_what_is_no_origin_is_refused(directory: Path, value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"http\.cors_origins"):
        load(directory, MODERATOR__HTTP__CORS_ORIGINS=value)


def test_all_mistakes_are_told_at_once(directory: Path) -> None:
    (directory / "app_conf.yml").write_text("a: 1\nhttp: {max_text_chars: 0}\n")
    with pytest.raises(ConfigurationError, match=r"http\.max_text_chars: .*; a: Unknown"):
        load(directory)


@pytest.mark.parametrize("name", SECRETS)
def test_secret_comes_from_variable_or_file_and_shows_nowhere(directory: Path, name: str) -> None:
    file = directory / "token"
    file.write_text("hf_secret_of_someone\n")
    by_file, by_variable = (
        load(directory, **{f"{name.upper()}_FILE": str(file)}),
        load(directory, **{name.upper(): "hf_secret_of_someone"}),
    )
    for settings in (by_file, by_variable):
        assert getattr(settings, name).reveal() == "hf_secret_of_someone"
        assert "hf_secret_of_someone" not in f"{settings!r} {settings} {dataclasses.asdict(settings)}"
        assert "hf_secret_of_someone" not in dump_settings(settings)
    assert getattr(load(directory, **{name.upper(): ""}), name) is None


def test_renamed_key_is_still_read_with_a_warning(tmp_path: Path) -> None:
    """For one release, in files and in variables alike."""
    (tmp_path / "app_conf.yml").write_text("classifier:\n  coalescing:\n    max_batch: 7\n")
    variable = "MODERATOR__CLASSIFIER__COALESCING__MAX_IN_FLIGHT"
    settings = load_settings({"MODERATOR_CONFIG_DIR": str(tmp_path), variable: "3"})
    assert (settings.classifier.batching.max_batch, settings.classifier.batching.max_in_flight) == (7, 3)
    by_file, by_variable = warnings_of(settings)
    assert by_file.startswith("classifier.coalescing is now classifier.batching; ")
    assert "app_conf.yml" in by_file
    assert variable in by_variable


def test_renamed_key_under_both_names_is_refused(tmp_path: Path) -> None:
    both = "classifier:\n  coalescing: {max_batch: 7}\n  batching: {max_batch: 8}\n"
    (tmp_path / "app_conf.yml").write_text(both)
    with pytest.raises(ConfigurationError, match=r"classifier.coalescing: also set as classifier.batching"):
        load_settings({"MODERATOR_CONFIG_DIR": str(tmp_path)})
