"""Authenticates callers by API keys or tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from content_moderator.access.api_key import PREFIX
from content_moderator.access.api_keys import ApiKeys
from content_moderator.config.extras import extra
from content_moderator.config.settings import AuthSettings
from content_moderator.domain.caller import Caller, Scope
from content_moderator.domain.errors import (
    ConfigurationError,
    CredentialsInvalidError,
    CredentialsMissingError,
    ScopeMissingError,
)

if TYPE_CHECKING:
    from content_moderator.access.jwt import TokenVerifier

_GOOGLE_PATHS: Final = "/v1alpha1/"


class Authenticator:
    """
    Identifies the caller of each request.

    Args:
        keyring: Identifies callers by API keys; None if keys are not accepted.
        verifier: Identifies callers by tokens; None if tokens are not accepted. If both are None, all callers
            are anonymous.
    """

    def __init__(self, keyring: ApiKeys | None = None, verifier: "TokenVerifier | None" = None) -> None:
        self._keyring = keyring
        self._verifier = verifier

    def authenticate(self, environ: Mapping[str, Any], scope: Scope) -> Caller | None:
        """
        Return the caller of a request; None for anonymous callers.

        Args:
            environ: The WSGI environment.
            scope: What the caller wants to do.
        Raises:
            CredentialsMissingError: The request has neither a key nor a token.
            CredentialsInvalidError: The key or token is invalid.
            ScopeMissingError: It lacks the scope.
            IdentityProviderUnavailableError: The keys to verify the token with cannot be fetched.
        """
        if self._keyring is None and self._verifier is None:
            return None
        caller = self._caller_of(environ)
        if scope not in caller.scopes:
            raise ScopeMissingError(scope)
        return caller

    def _caller_of(self, environ: Mapping[str, Any]) -> Caller:
        bearer = _bearer(environ)
        if bearer is not None and self._verifier is not None and not _is_key(bearer):
            return self._verifier.caller_of(bearer)
        key = bearer or _key(environ)
        if key is None:
            raise CredentialsMissingError
        caller = self._keyring.caller_of(key) if self._keyring else None
        if caller is None:
            raise CredentialsInvalidError
        return caller


def build_authenticator(settings: AuthSettings) -> Authenticator:
    """
    Build the authenticator that the settings describe.

    Raises:
        ConfigurationError: Authentication is required but switched off, or a file or setting cannot be used.
    """
    if settings.mode == "none":
        if settings.required:
            raise ConfigurationError(
                "auth.mode: none, but auth.required is true; set auth.mode to api_key, jwt or any, or, to"
                " serve everybody who reaches the port, MODERATOR__AUTH__REQUIRED=false"
            )
        return Authenticator()
    keyring = verifier = None
    if settings.mode in {"api_key", "any"}:
        if settings.keys_file is None:
            raise ConfigurationError(f"auth.keys_file: missing; auth.mode {settings.mode} needs it")
        keyring = ApiKeys.load(Path(settings.keys_file))
    if settings.mode in {"jwt", "any"}:
        verifier = _verifier(settings)
    return Authenticator(keyring, verifier)


def _verifier(settings: AuthSettings) -> "TokenVerifier":
    with extra("jwt", needed_by=f"auth.mode {settings.mode}"):
        from content_moderator.access.jwt import build_verifier  # noqa: PLC0415
    return build_verifier(settings.jwt)


def _is_key(bearer: str) -> bool:
    """Return whether a credential is an API key; tokens contain dots, keys do not."""
    return bearer.startswith(f"{PREFIX}_") and "." not in bearer


def _bearer(environ: Mapping[str, Any]) -> str | None:
    scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def _key(environ: Mapping[str, Any]) -> str | None:
    """Return the key from X-API-Key, or from the query, where Google's clients put it."""
    if key := environ.get("HTTP_X_API_KEY", "").strip():
        return str(key)
    if environ["PATH_INFO"].startswith(_GOOGLE_PATHS):
        found = parse_qs(environ.get("QUERY_STRING", "")).get("key", [])
        return found[0] if found else None
    return None
