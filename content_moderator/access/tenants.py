"""Tenants with policies, limits or caches of their own, from a YAML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from limits import RateLimitItem
from marshmallow import Schema, ValidationError, fields, validate

from content_moderator.access.api_keys import TENANT
from content_moderator.access.rate_limits import parse_limits
from content_moderator.config.fields import StrictBoolean, schema_of
from content_moderator.config.loader import TRANSPARENT, merge
from content_moderator.config.settings import PolicySettings, Settings
from content_moderator.config.validation import flatten_messages
from content_moderator.config.yaml_file import parse_mapping, read_text
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.policy import DEFAULT_POLICY, Policy

_KEY: Final = "tenants.file"
_NAME: Final = r"[A-Za-z0-9_.-]{1,64}\Z"


@dataclass(frozen=True, slots=True)
class Tenant:
    """
    A customer of the service.

    Args:
        policy: The policy for its texts.
        limits: Its rate limits.
        separate_cache: Whether it has a cache of its own.
    """

    policy: Policy
    limits: Sequence[RateLimitItem] = ()
    separate_cache: bool = False


@dataclass(frozen=True, slots=True)
class Tenants:
    """
    The tenants by name.

    Args:
        default: For tenants without an entry, and for anonymous callers.
        named: Tenants with an entry in the file.
        source: The content of the file.
    """

    default: Tenant
    named: Mapping[str, Tenant] = field(default_factory=dict)
    source: str = ""

    def of(self, name: str | None) -> Tenant:
        """Return the tenant called *name*."""
        return self.named.get(name or "", self.default)

    @property
    def with_separate_cache(self) -> frozenset[str]:
        """Return the names of the tenants with a cache of their own."""
        return frozenset(name for name, tenant in self.named.items() if tenant.separate_cache)

    def policies(self) -> dict[str, Policy]:
        """Return the policies in force, by name."""
        return {tenant.policy.name: tenant.policy for tenant in (self.default, *self.named.values())}


def load_tenants(settings: Settings) -> Tenants:
    """
    Read the file of tenants, if the settings name one.

    Raises:
        ConfigurationError: The file is invalid; one line names the key.
    """
    if settings.tenants.file is None:
        return Tenants(_default(settings))
    path = Path(settings.tenants.file)
    try:
        text = read_text(path)
    except ConfigurationError as error:
        raise ConfigurationError(f"{_KEY}: {error}") from error
    values = parse_mapping(text, f"{_KEY}: {path}", "policies and tenants")
    default = _default(settings)
    try:
        declared: Mapping[str, Any] = _FileSchema().load(values)
        policies = {DEFAULT_POLICY: default.policy} | {
            name: _policy(name, differences, settings.policy)
            for name, differences in declared["policies"].items()
        }
        named = {name: _tenant(name, entry, policies, default) for name, entry in declared["tenants"].items()}
    except ValidationError as error:
        where, message = next(flatten_messages(error.messages, transparent=TRANSPARENT))
        raise ConfigurationError(f"{_KEY}: {path}: {'.'.join(where)}: {message}") from error
    return Tenants(default, named, text)


def _default(settings: Settings) -> Tenant:
    return Tenant(settings.policy.build(), parse_limits(settings.limits.rate, "limits.rate"))


def _policy(name: str, differences: Mapping[str, Any], default: PolicySettings) -> Policy:
    try:
        settings: PolicySettings = schema_of(PolicySettings).load(merge(default.as_dict(), differences))
        settings.require_classifiers(default.thresholds)
        return settings.build(name)
    except ValidationError as error:
        raise ValidationError({"policies": {name: error.messages}}) from error
    except ConfigurationError as error:
        raise ValidationError({"policies": {name: [str(error).removeprefix("policy.")]}}) from error


def _tenant(name: str, entry: Mapping[str, Any], policies: Mapping[str, Policy], default: Tenant) -> Tenant:
    chosen = entry["policy"]
    if chosen not in policies:
        options = ", ".join(sorted(policies))
        raise ValidationError(
            {"tenants": {name: {"policy": [f"There is no {chosen!r} (there are: {options})."]}}}
        )
    limits = default.limits
    if "rate_limit" in entry:
        try:
            limits = parse_limits(entry["rate_limit"], "rate_limit")
        except ConfigurationError as error:
            raise ValidationError({"tenants": {name: [str(error)]}}) from error
    return Tenant(policies[chosen], limits, separate_cache=entry["separate_cache"])


class _TenantSchema(Schema):
    policy = fields.String(load_default=DEFAULT_POLICY)
    rate_limit = fields.String(allow_none=True)
    separate_cache = StrictBoolean(load_default=False)


class _FileSchema(Schema):
    policies = fields.Dict(
        keys=fields.String(
            validate=[
                validate.Regexp(_NAME, error="Must have 1 to 64 letters, digits, and _ . -"),
                validate.NoneOf([DEFAULT_POLICY], error="Is the section policy of the settings."),
            ]
        ),
        values=fields.Dict(),
        load_default=dict,
    )
    tenants = fields.Dict(
        keys=fields.String(
            validate=validate.Regexp(TENANT, error="Must have 1 to 128 printable ASCII characters, no space")
        ),
        values=fields.Nested(_TenantSchema),
        load_default=dict,
    )
