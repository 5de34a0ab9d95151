"""An API key: shown once when it is created, and stored only as a digest."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from content_moderator.domain.caller import Scope

PREFIX: Final = "cm"
"""What every key begins with, so that scanners for leaked secrets can know it."""

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_FORM: Final = re.compile(rf"{PREFIX}_([0-9a-f]{{{2 * _ID_BYTES}}})_[0-9a-f]{{{2 * _SECRET_BYTES}}}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """
    What is known of a key.

    Args:
        id: Its public part.
        tenant: Whose it is.
        sha256: Digest of the whole key, in hexadecimal digits. Of 256 random bits nobody finds the key by
            trying, so a slow hash would cost each request and protect nothing.
        scopes: What it allows.
        created: The day, as YYYY-MM-DD.
        revoked: Whether it is no longer good.
    """

    id: str
    tenant: str
    sha256: str
    scopes: Sequence[Scope]
    created: str
    revoked: bool = False


def make_key(tenant: str, scopes: Sequence[Scope], *, created: str) -> tuple[str, ApiKey]:
    """Make a key: the key itself, which is kept nowhere, and what is kept of it."""
    identity = secrets.token_hex(_ID_BYTES)
    key = f"{PREFIX}_{identity}_{secrets.token_hex(_SECRET_BYTES)}"
    return key, ApiKey(identity, tenant, digest_of(key), tuple(scopes), created)


def digest_of(key: str) -> str:
    """Return the digest that stands for a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def id_of(key: str) -> str | None:
    """Read the public part of a key; None if it has not the form of one."""
    match = _FORM.fullmatch(key)
    return match[1] if match else None
