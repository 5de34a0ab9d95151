"""The option --tenant of the commands that judge texts."""

import click

from content_moderator.access.tenants import load_tenants
from content_moderator.config.settings import Settings
from content_moderator.domain.policy import Policy

tenant_option = click.option("--tenant", help="Use the policy of this tenant in tenants.file.")


def policy_of(settings: Settings, tenant: str | None) -> Policy:
    """
    Return the policy of a tenant.

    Raises:
        UsageError: There is no such tenant.
        ConfigurationError: The file of tenants cannot be used.
    """
    tenants = load_tenants(settings)
    if tenant is not None and tenant not in tenants.named:
        options = ", ".join(sorted(tenants.named)) or "none"
        raise click.UsageError(f"--tenant: there is no {tenant!r} in tenants.file (there are: {options})")
    return tenants.of(tenant).policy
