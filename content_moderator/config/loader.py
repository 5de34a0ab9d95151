"""
Loads the settings from four layers: defaults, app_conf.yml, the differences of an environment, variables.

``MODERATOR_CONFIG_DIR`` names the folder (otherwise ``./config`` or the copy in the package),
``MODERATOR_ENVIRONMENT`` names the file in ``environments/``, and ``MODERATOR__SECTION__KEY`` overrides one
key. Secrets come only from variables, or from files that ``<NAME>_FILE`` names.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from marshmallow import Schema, ValidationError, fields

from content_moderator.config.fields import OTHER_KEYS, schema_of
from content_moderator.config.settings import DEFAULT_THRESHOLDS, SECRETS, Secret, Settings
from content_moderator.config.validation import flatten_messages
from content_moderator.config.yaml_file import dump, parse, parse_mapping, read_text
from content_moderator.domain.errors import ConfigurationError

PREFIX: Final = "MODERATOR__"
MAIN_FILE: Final = "app_conf.yml"

RENAMED: Final = {("classifier", "coalescing"): ("classifier", "batching")}
"""Keys that were renamed in this release. The old name is still read, with a warning."""

TRANSPARENT: Final = ("_schema", "key", "value", OTHER_KEYS)
"""Keys in validation messages that are not in the YAML file."""

DEFAULTS: Final = Path(__file__).parent / "defaults"
"""The copies of config/ and gunicorn.conf.py that the package carries."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """Some keys and their origin, for error messages."""

    origin: str
    values: Mapping[str, Any]


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """
    Load and check all settings.

    Args:
        environ: The environment's variables; those of the process if None.
    Raises:
        ConfigurationError: A key is unknown, missing or out of range; one line names it.
    """
    environ = os.environ if environ is None else environ
    schema = schema_of(Settings)
    warnings: list[str] = []
    layers = [*_file_layers(environ, warnings), *_variable_layers(environ, schema, warnings)]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = merge(merged, layer.values)
    try:
        settings: Settings = schema.load(merged)
        _check_classifiers(settings)
    except ValidationError as error:
        raise ConfigurationError(_describe(error, layers)) from error
    secrets: dict[str, Any] = {
        name: _secret(name.upper(), environ, min_chars=min_chars) for name, min_chars in SECRETS.items()
    }
    return dataclasses.replace(settings, warnings=tuple(warnings), **secrets)


def warnings_of(settings: Settings) -> list[str]:
    """Return a sentence for each setting that is valid but probably not intended."""
    if settings.bearer_token is not None and settings.classifier.name == "embedded":
        needless = "BEARER_TOKEN is set, but the embedded classifier answers and needs none"
        return [*settings.warnings, f"{needless}; MODERATOR__CLASSIFIER__NAME=koala asks the remote model"]
    return list(settings.warnings)


def dump_settings(settings: Settings) -> str:
    """Return *settings* as YAML that `load_settings` can read, without secrets."""
    values = dataclasses.asdict(settings)
    for name in (*SECRETS, "warnings"):
        del values[name]
    values["policy"] = settings.policy.as_dict()
    return dump(values)


def config_directory(environ: Mapping[str, str]) -> Path:
    """Return the folder of the configuration files."""
    if named := environ.get("MODERATOR_CONFIG_DIR"):
        return Path(named)
    local = Path("config")
    return local if (local / MAIN_FILE).is_file() else DEFAULTS / "config"


def _file_layers(environ: Mapping[str, str], warnings: list[str]) -> Iterator[_Layer]:
    directory = config_directory(environ)
    yield _read(directory / MAIN_FILE, warnings)
    if environment := environ.get("MODERATOR_ENVIRONMENT"):
        known = sorted(path.stem for path in (directory / "environments").glob("*.yml"))
        if environment not in known:
            options = ", ".join(known) or "none"
            raise ConfigurationError(
                f"MODERATOR_ENVIRONMENT: no file for {environment!r} in {directory}/environments"
                f" (there are: {options})"
            )
        yield _read(directory / "environments" / f"{environment}.yml", warnings)


def _read(path: Path, warnings: list[str]) -> _Layer:
    values = parse_mapping(read_text(path), path, "sections")
    for old, new in RENAMED.items():
        values = _with_new_name(values, old, new, str(path), warnings)
    return _Layer(str(path), values)


def _with_new_name(
    values: dict[str, Any], old: Sequence[str], new: Sequence[str], origin: str, warnings: list[str]
) -> dict[str, Any]:
    """Move the value at the path *old*, if it is set, to the path *new* in the same section."""
    section: Any = values
    for part in old[:-1]:
        section = section.get(part) if isinstance(section, dict) else None
    if not isinstance(section, dict) or old[-1] not in section:
        return values
    warnings.append(_renamed(old, new, origin))
    if new[-1] in section:
        raise ConfigurationError(
            f"{'.'.join(old)}: also set as {'.'.join(new)}, its new name (from {origin})"
        )
    section[new[-1]] = section.pop(old[-1])
    return values


def _renamed(old: Sequence[str], new: Sequence[str], origin: str) -> str:
    known, renamed = ".".join(old), ".".join(new)
    return f"{known} is now {renamed}; the next release no longer reads the old name (from {origin})"


def _variable_layers(environ: Mapping[str, str], schema: Schema, warnings: list[str]) -> Iterator[_Layer]:
    for name in sorted(environ):
        if name.startswith(PREFIX):
            path = [part.lower() for part in name.removeprefix(PREFIX).split("__")]
            for old, new in RENAMED.items():
                if tuple(path[: len(old)]) == old:
                    path[: len(old)] = new
                    warnings.append(_renamed(old, new, name))
            if path[0] == "policy" and path[1:2] != ["terms"]:
                path[2:3] = [label.upper() for label in path[2:3]]
            value: Any = _variable_value(environ[name], path, schema, name)
            for part in reversed(path):
                value = {part: value}
            yield _Layer(name, value)


def _variable_value(text: str, path: list[str], schema: Schema, name: str) -> Any:
    """
    Return the value of a variable: unchanged for a text setting, parsed as YAML for others, so that 8 is a
    number.
    """
    kind: Any = None
    for part in path:
        kind = (schema.fields if kind is None else getattr(kind, "nested", schema).fields).get(part)
        if not isinstance(kind, fields.Nested):
            break
    if isinstance(kind, fields.String):
        return text
    return parse(text, name)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return *below* with the keys of *above*, merged level by level."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(under, value) if both else value  # type: ignore[arg-type]
    return merged


def _check_classifiers(settings: Settings) -> None:
    try:
        settings.policy.require_classifiers({*DEFAULT_THRESHOLDS, settings.classifier.name})
    except ValidationError as error:
        raise ValidationError({"policy": error.messages}) from error


def _describe(error: ValidationError, layers: list[_Layer]) -> str:
    problems = []
    messages: dict[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
    for path, message in flatten_messages(messages, transparent=TRANSPARENT):
        origin = next((layer.origin for layer in reversed(layers) if _sets(layer, path)), None)
        where = f" (from {origin})" if origin else ""
        problems.append(f"{'.'.join(path)}: {message}{where}")
    return "; ".join(problems)


def _sets(layer: _Layer, path: tuple[str, ...]) -> bool:
    values: Any = layer.values
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _secret(name: str, environ: Mapping[str, str], *, min_chars: int) -> Secret | None:
    value, path = environ.get(name), environ.get(f"{name}_FILE")
    if value and path:
        raise ConfigurationError(f"{name}: set either {name} or {name}_FILE, not both")
    if path:
        try:
            value = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{name}_FILE: the file cannot be read") from error
    value = (value or "").strip()
    if not value:
        return None
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise ConfigurationError(f"{name}: must be printable ASCII without spaces")
    if len(value) < min_chars:
        raise ConfigurationError(f"{name}: must have at least {min_chars} characters")
    return Secret(value)
