"""Who sends a request, and what the caller may do."""

from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal["classify", "metrics", "admin"]

SCOPES: Final[tuple[Scope, ...]] = ("classify", "metrics", "admin")
"""What a key or token may allow: judge texts, read /metrics, see the policies of all tenants."""


@dataclass(frozen=True, slots=True)
class Caller:
    """
    An authenticated caller.

    Args:
        tenant: Name of the tenant.
        key_id: Public part of the API key, or a digest of the token's subject.
        scopes: What the caller may do.
    """

    tenant: str
    key_id: str
    scopes: frozenset[Scope]
