"""Authenticates callers by tokens of an identity provider (JWT)."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt

from content_moderator.access.api_keys import TENANT
from content_moderator.access.jwks import FileKey, KeySource, PublishedKeys
from content_moderator.config.settings import TokenSettings
from content_moderator.domain.caller import SCOPES, Caller
from content_moderator.domain.errors import ConfigurationError, CredentialsInvalidError

MAX_CHARS: Final = 8192

_ID_DIGITS: Final = 12


class TokenVerifier:
    """
    Identifies callers by tokens. It checks the algorithm, the signature (never with a key from the token),
    the expiry, the issuer, the audience, and not-before if the token has it.

    Args:
        settings: The requirements for tokens.
        keys: The keys to verify signatures with.

    Source:
        RFC 8725, "JSON Web Token Best Current Practices" (2020).
    """

    def __init__(self, settings: TokenSettings, keys: KeySource) -> None:
        self._settings = settings
        self._keys = keys
        self._jwt = jwt.PyJWT({"enforce_minimum_key_length": True})

    def caller_of(self, token: str) -> Caller:
        """
        Return the caller with this token.

        Raises:
            CredentialsInvalidError: The token is invalid, for any reason.
            IdentityProviderUnavailableError: The keys cannot be fetched.
        """
        if len(token) > MAX_CHARS:
            raise CredentialsInvalidError
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self._settings.algorithms or "crit" in header:
                raise CredentialsInvalidError
            claims = self._jwt.decode(
                token,
                self._keys.key(header.get("kid"), header["alg"]),
                algorithms=self._settings.algorithms,
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                leeway=self._settings.leeway_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise CredentialsInvalidError from error
        return self._caller(claims)

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        tenant = claims.get(self._settings.tenant_claim)
        if not isinstance(tenant, str) or not re.match(TENANT, tenant):
            raise CredentialsInvalidError
        subject = str(claims.get("sub", "")).encode("utf-8", "replace")
        identity = hashlib.sha256(subject).hexdigest()[:_ID_DIGITS]
        named = _names(claims.get("scope")) | _names(claims.get("scp"))
        prefix = self._settings.scope_prefix or ""
        return Caller(tenant, f"jwt-{identity}", frozenset(each for each in SCOPES if prefix + each in named))


def build_verifier(settings: TokenSettings) -> TokenVerifier:
    """
    Build the token verifier that the settings describe.

    Raises:
        ConfigurationError: A required setting is missing or cannot be used.
    """
    for name in ("issuer", "audience"):
        if getattr(settings, name) is None:
            raise ConfigurationError(f"auth.jwt.{name}: missing; auth.mode jwt needs it")
    if (settings.public_key_file is None) == (settings.jwks_url is None):
        raise ConfigurationError("auth.jwt: needs either public_key_file or jwks_url")
    if not settings.algorithms:
        raise ConfigurationError("auth.jwt.algorithms: at least one is needed")
    if settings.public_key_file is None:
        return TokenVerifier(settings, PublishedKeys(settings))
    key = FileKey(Path(settings.public_key_file))
    if key.algorithm not in settings.algorithms:
        raise ConfigurationError(
            f"auth.jwt.public_key_file: a key for {key.algorithm}, which auth.jwt.algorithms does not allow"
        )
    return TokenVerifier(settings, key)


def _names(claim: object) -> set[str]:
    """Return the scopes: a string of words (RFC 8693), or a list."""
    if isinstance(claim, str):
        return set(claim.split())
    return {each for each in claim if isinstance(each, str)} if isinstance(claim, list) else set()
