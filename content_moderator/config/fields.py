"""Declares settings with type, range and default, and derives the strict schema."""

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final, get_type_hints

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validate, validates_schema

from content_moderator.domain.action import CONSEQUENCES
from content_moderator.domain.policy import Rule
from content_moderator.domain.verdict import RULE_NAMES
from content_moderator.text.terms import pattern_of

OTHER_KEYS: Final = "(other keys)"
"""The key of the field that collects the keys of a section which no other field has."""


class _StrictFloat(fields.Float):
    """A number; the text "8" is refused, because a quoted number in YAML is a mistake."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class _StrictInteger(fields.Integer):
    """A whole number; text and 8.0 are refused."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class StrictBoolean(fields.Boolean):
    """True or false; text and 1, which Python treats as True, are refused."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class _Term(fields.String):
    """A term with at least one word."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        term: str = super()._deserialize(value, attr, data, **kwargs)
        try:
            pattern_of(term)
        except ValueError as error:
            raise ValidationError(f"Not a term: {error}.") from error
        return term


class _RuleChecks(Schema):
    """Checks one rule of a policy; `_RuleSchema` adds the thresholds, one for each action."""

    @validates_schema
    def _ordered(self, data: Mapping[str, float | None], **_: Any) -> None:
        given = [action for action in CONSEQUENCES if data.get(action) is not None]
        for milder, severer in itertools.pairwise(given):
            if data[milder] > data[severer]:  # type: ignore[operator]
                raise ValidationError(f"Must not be greater than {severer}.", milder)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Rule:
        return Rule(**data)


_RuleSchema: Final = _RuleChecks.from_dict(
    {action: _StrictFloat(validate=validate.Range(0, 1), allow_none=True) for action in CONSEQUENCES}
)


def text(default: str | None, *options: str) -> Any:
    """Declare a text, one of *options* if there are any; None is accepted only if it is the default."""
    checks: Any = validate.OneOf(options) if options else validate.Length(min=1)
    return _setting(fields.String(validate=checks, allow_none=default is None), default)


def number(default: float, *, low: float, high: float) -> Any:
    """Declare a number and its range, both ends included."""
    return _setting(_StrictFloat(validate=validate.Range(low, high)), default)


def integer(default: int, *, low: int, high: int) -> Any:
    """Declare a whole number and its range, both ends included."""
    return _setting(_StrictInteger(validate=validate.Range(low, high)), default)


def flag(default: bool) -> Any:
    """Declare a switch."""
    return _setting(StrictBoolean(), default)


def origins() -> Any:
    """Declare a list of web origins, empty by default."""
    each = fields.String(validate=validate.Regexp(_ORIGIN, error="Must be like https://example.org, or *."))
    return field(default_factory=list, metadata={"kind": fields.List(each)})


def choices(*options: str) -> Any:
    """Declare a list of some of *options*; all of them by default."""
    kind = fields.List(fields.String(validate=validate.OneOf(options)))
    return field(default_factory=lambda: list(options), metadata={"kind": kind})


def terms() -> Any:
    """Declare a list of terms, empty by default."""
    return field(default_factory=list, metadata={"kind": fields.List(_Term())})


def rules(**thresholds: tuple[float | None, float | None]) -> dict[str, Rule]:
    """Return the rules with these thresholds: label=(review, block)."""
    return {label: Rule(review, block) for label, (review, block) in thresholds.items()}


def thresholds() -> Any:
    """Declare the rules of all classifiers, which take the keys of the section that no other setting has."""
    labels = fields.String(validate=validate.OneOf(RULE_NAMES))
    by_label = fields.Dict(keys=labels, values=fields.Nested(_RuleSchema))
    kind = fields.Dict(keys=fields.String(), values=by_label, data_key=OTHER_KEYS)
    return field(default_factory=dict, metadata={"kind": kind})


_ORIGIN: Final = r"(\*|https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?)\Z"


def _setting(kind: fields.Field[Any], default: Any) -> Any:
    return field(default=default, metadata={"kind": kind})


class _SettingsSchema(Schema):
    """Base of the schemas that `schema_of` derives."""

    target: type

    @pre_load
    def _collect(self, data: Any, **_: Any) -> Any:
        """Move unknown keys into the field that collects them, if there is one."""
        names = {each.data_key or name for name, each in self.fields.items()}
        if OTHER_KEYS not in names or not isinstance(data, Mapping):
            return data
        own = {key: value for key, value in data.items() if key in names}
        return own | {OTHER_KEYS: {key: value for key, value in data.items() if key not in own}}

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Any:
        return self.target(**data)


def schema_of(target: type) -> Schema:
    """Derive the strict schema of a settings class: unknown keys are errors, absent ones have defaults."""
    hints = get_type_hints(target)
    members: dict[str, Any] = {"target": target}
    for each in dataclasses.fields(target):
        if each.metadata.get("secret") or not each.metadata.get("read", True):
            continue
        kind = each.metadata.get("kind")
        members[each.name] = kind or fields.Nested(schema_of(hints[each.name]))
    schema = type(f"{target.__name__}Schema", (_SettingsSchema,), members)
    return schema()  # type: ignore[no-any-return]
