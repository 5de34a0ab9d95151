"""Adds limits and rules between fields to the OpenAPI description."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final

from content_moderator.config.settings import HttpSettings
from content_moderator.web.request_body import MAX_ITEMS

ALTERNATIVES: Final = "x-alternatives"
"""In a rule: an object has exactly one of these members. Each becomes a separate schema."""

LIMIT: Final = "x-limit"
"""Marks a part of a schema with the name of the setting that limits it."""

# All characters that str.strip() removes; \s differs between kinds of regular expressions.
_NOT_BLANK: Final = (
    r"[^\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
)

TEXT: Final = {"minLength": 1, "pattern": _NOT_BLANK, LIMIT: "max_text_chars"}
"""A text that is not blank and not too long."""

TEXTS: Final = {"minItems": 1, LIMIT: "max_batch_texts"}
"""A list of texts that is not empty and not too long."""

FOREIGN_TEXT: Final = {"minLength": 1, LIMIT: "max_foreign_chars"}
"""A text in a compatible API, where white space is valid."""

FOREIGN_TEXTS: Final = {"minItems": 1, "maxItems": MAX_ITEMS}
"""A list of such texts."""

_LIMITING: Final = {"max_text_chars": "maxLength", "max_batch_texts": "maxItems"}


def refine(
    schemas: MutableMapping[str, Any], rules: Mapping[str, Mapping[str, Any]], settings: HttpSettings
) -> None:
    """
    Complete the described schemas.

    Args:
        schemas: JSON Schemas by name; changed in place.
        rules: Additions by schema name.
        settings: The limits.
    """
    for name, rule in rules.items():
        if ALTERNATIVES in rule:
            _divide(schemas, name, rule[ALTERNATIVES])
        else:
            schemas[name].update(rule)
    for part in _parts(schemas):
        if LIMIT in part:
            limit = part.pop(LIMIT)
            if limit != "max_foreign_chars":
                part[_LIMITING[limit]] = getattr(settings, limit)
            elif settings.long_texts == "refuse":
                part["maxLength"] = settings.max_text_chars


def _divide(schemas: MutableMapping[str, Any], name: str, members: Sequence[str]) -> None:
    """Replace a schema with alternative members by one schema for each of them."""
    whole = schemas[name]
    for member in members:
        others = set(members) - {member}
        properties = {key: dict(value) for key, value in whole["properties"].items() if key not in others}
        schemas[_divided_name(name, member)] = whole | {"properties": properties, "required": [member]}
    references = [{"$ref": f"#/components/schemas/{_divided_name(name, member)}"} for member in members]
    schemas[name] = {"oneOf": references}


def _divided_name(name: str, member: str) -> str:
    return f"{name}As{member.capitalize()}"


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in below:
        yield from _parts(each)
