"""Completes the OpenAPI description with limits, and with rules between fields."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final

from content_moderator.config.settings import HttpSettings
from content_moderator.web.request_body import MAX_ITEMS

ALTERNATIVES: Final = "x-alternatives"
"""In a rule: of these members an object has exactly one. Each becomes a typed schema of its own."""

LIMIT: Final = "x-limit"
"""Marks a part of a schema that a setting limits; its value is the setting's name."""

# What str.strip() takes for white space, in full: each kind of regular expression has a \s of its own.
_NOT_BLANK: Final = (
    r"[^\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
)

TEXT: Final = {"minLength": 1, "pattern": _NOT_BLANK, LIMIT: "max_text_chars"}
"""A text: not blank, and no longer than is set."""

TEXTS: Final = {"minItems": 1, LIMIT: "max_batch_texts"}
"""A list of texts: not empty, and no longer than is set."""

FOREIGN_TEXT: Final = {"minLength": 1, LIMIT: "max_foreign_chars"}
"""A text in a protocol of others, where white space is one too."""

FOREIGN_TEXTS: Final = {"minItems": 1, "maxItems": MAX_ITEMS}
"""A list of such texts."""

_LIMITING: Final = {"max_text_chars": "maxLength", "max_batch_texts": "maxItems"}


def refine(
    schemas: MutableMapping[str, Any], rules: Mapping[str, Mapping[str, Any]], settings: HttpSettings
) -> None:
    """
    Complete the described schemas.

    Args:
        schemas: By name, as JSON Schema; changed in place.
        rules: What is to be added, by the name of the schema.
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
    """Describe an object with exactly one of some members by one schema for each of them."""
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
