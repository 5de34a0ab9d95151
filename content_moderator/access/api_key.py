"""An API key: shown once when it is created, and stored only as a digest."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from content_moderator.domain.caller import Scope

PREFIX: Final = "cm"
"""The beginning of every key, by which scanners for leaked secrets can find it."""

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_FORM: Final = re.compile(rf"{PREFIX}_([0-9a-f]{{{2 * _ID_BYTES}}})_[0-9a-f]{{{2 * _SECRET_BYTES}}}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """
    The record of an API key.

    Args:
        id: Its public part.
        tenant: The tenant that owns it.
        sha256: Digest of the whole key, in hexadecimal digits. Nobody can guess 256 random bits, so a slow
            hash would cost time for each request and protect nothing.
        scopes: The scopes that it grants.
        created: The day, as YYYY-MM-DD.
        revoked: Whether it has been revoked.
    """

    id: str
    tenant: str
    sha256: str
    scopes: Sequence[Scope]
    created: str
    revoked: bool = False


def make_key(tenant: str, scopes: Sequence[Scope], *, created: str) -> tuple[str, ApiKey]:
    """Create a key. Return the key itself, which is not stored anywhere, and its record."""
    identity = secrets.token_hex(_ID_BYTES)
    key = f"{PREFIX}_{identity}_{secrets.token_hex(_SECRET_BYTES)}"
    return key, ApiKey(identity, tenant, digest_of(key), tuple(scopes), created)


def digest_of(key: str) -> str:
    """Return the digest by which a key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def id_of(key: str) -> str | None:
    """Return the public part of a key; None if the text does not have the form of a key."""
    match = _FORM.fullmatch(key)
    return match[1] if match else None
