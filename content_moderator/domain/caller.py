"""The caller of a request, with tenant and scopes."""

from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal["classify", "metrics", "admin"]

SCOPES: Final[tuple[Scope, ...]] = ("classify", "metrics", "admin")
"""The scopes: classify texts, read /metrics, read the policies of all tenants."""


@dataclass(frozen=True, slots=True)
class Caller:
    """
    An authenticated caller.

    Args:
        tenant: Name of the tenant.
        key_id: Public part of the API key, or a digest of the token's subject.
        scopes: The scopes of the key or token.
    """

    tenant: str
    key_id: str
    scopes: frozenset[Scope]
