"""Reads YAML strictly, and writes YAML."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from content_moderator.domain.errors import ConfigurationError


def read_text(path: Path) -> str:
    """
    Read a file of settings.

    Raises:
        ConfigurationError: The file cannot be read; the message names it.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8") from error


def parse(text: str, origin: object) -> Any:
    """
    Parse one YAML value.

    Raises:
        ConfigurationError: The YAML is invalid or has a duplicate key; the message names *origin* and the
            line.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506  (it is a SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{origin}: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{origin}: has too many levels") from error


def parse_mapping(text: str, origin: object, of: str) -> dict[str, Any]:
    """
    Parse a mapping; an empty document is an empty mapping.

    Raises:
        ConfigurationError: The document is no mapping; the message names *origin*, and *of* for the expected
            content.
    """
    values = parse(text, origin)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigurationError(f"{origin}: must be a mapping of {of}")
    return values


def dump(values: Mapping[str, Any]) -> str:
    """Return *values* as YAML."""
    return yaml.safe_dump(values, sort_keys=False)


class _StrictLoader(yaml.SafeLoader):
    """Refuses duplicate keys; PyYAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT002
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key!r}", key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else repr(key))
        return super().construct_mapping(node, deep)
