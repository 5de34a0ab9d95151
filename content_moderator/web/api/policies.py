"""GET /policy and /policies: the policies in force."""

from collections.abc import Mapping
from typing import Any, Final

from marshmallow import Schema, fields

from content_moderator.domain.action import CONSEQUENCES, Action
from content_moderator.domain.policy import Policy
from content_moderator.web.api.verdict_schema import PolicySchema
from content_moderator.web.blueprint import StrictBlueprint
from content_moderator.web.state import current_state

blueprint = StrictBlueprint("policies", __name__, description="See the policies")


RuleSchema: Final = Schema.from_dict(
    {action.value: fields.Float(required=True, allow_none=True) for action in CONSEQUENCES},
    name="RuleSchema",
)
"""For each action the threshold of one label; null if no score leads to the action."""

ListedTermsSchema: Final = Schema.from_dict(
    {action.value: fields.List(fields.String(), required=True) for action in reversed(Action)},
    name="ListedTermsSchema",
)
"""Listed terms by action."""


class WholePolicySchema(PolicySchema):
    """A policy in full."""

    rules = fields.Dict(
        keys=fields.String(),
        values=fields.Dict(keys=fields.String(), values=fields.Nested(RuleSchema)),
        required=True,
        metadata={"description": "By classifier and label."},
    )
    terms = fields.Nested(ListedTermsSchema, required=True)
    other_languages = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "By classifier, what happens to texts in languages that it does not judge."},
    )


class TenantSchema(Schema):
    """The policy and the cache of a tenant."""

    policy = fields.String(required=True)
    separate_cache = fields.Boolean(required=True)


class PoliciesSchema(Schema):
    """All policies, and the policy of each tenant."""

    policies = fields.List(fields.Nested(WholePolicySchema), required=True)
    tenants = fields.Dict(keys=fields.String(), values=fields.Nested(TenantSchema), required=True)


@blueprint.route("/policy")
@blueprint.doc(operationId="policy")
@blueprint.response(200, WholePolicySchema)
@blueprint.failures(401, 403, 500)
def own_policy() -> Mapping[str, Any]:
    """Show the policy that decides about the caller's texts."""
    return _whole(current_state().moderator.policy)


@blueprint.route("/policies")
@blueprint.doc(operationId="policies")
@blueprint.response(200, PoliciesSchema)
@blueprint.failures(401, 403, 500)
def all_policies() -> Mapping[str, Any]:
    """Show all policies in force, and which tenant has which."""
    tenants = current_state().tenants
    return {
        "policies": [_whole(policy) for policy in tenants.policies().values()],
        "tenants": {
            name: {"policy": tenant.policy.name, "separate_cache": tenant.separate_cache}
            for name, tenant in tenants.named.items()
        },
    }


def _whole(policy: Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "version": policy.version,
        "rules": policy.thresholds(),
        "terms": policy.terms.listed,
        "other_languages": dict(policy.other_languages),
    }
