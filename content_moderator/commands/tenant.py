"""The option of those commands that judge: by whose policy."""

import click

from content_moderator.core.policy import Policy
from content_moderator.settings import Settings
from content_moderator.tenants import load_tenants

tenant_option = click.option("--tenant", help="Judge by this tenant's policy, of the file tenants.file.")


def policy_of(settings: Settings, tenant: str | None) -> Policy:
    """
    Give the policy to judge by.

    Raises:
        UsageError: There is no such tenant.
        ConfigurationError: The file of tenants cannot be used.
    """
    tenants = load_tenants(settings)
    if tenant is not None and tenant not in tenants.named:
        options = ", ".join(sorted(tenants.named)) or "none"
        raise click.UsageError(f"--tenant: there is no {tenant!r} in tenants.file (there are: {options})")
    return tenants.of(tenant).policy
