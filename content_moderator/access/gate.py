"""Lets callers in by the keys that their requests show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from content_moderator.access.key import Scope
from content_moderator.access.keyring import Caller, Keyring
from content_moderator.errors import (
    ConfigurationError,
    CredentialsInvalidError,
    CredentialsMissingError,
    ScopeMissingError,
)
from content_moderator.settings import AuthSettings

_GOOGLE_PATHS: Final = "/v1alpha1/"


class Gate:
    """
    Lets callers in.

    Args:
        keyring: Knows them; None lets everybody in.
    """

    def __init__(self, keyring: Keyring | None) -> None:
        self._keyring = keyring

    def admit(self, environ: Mapping[str, Any], scope: Scope) -> Caller | None:
        """
        Tell who asks; None where nobody needs a key.

        Args:
            environ: The WSGI environment.
            scope: What the caller wants to do.
        Raises:
            CredentialsMissingError: There is no key.
            CredentialsInvalidError: It is nobody's, or revoked.
            ScopeMissingError: It does not allow this.
        """
        if self._keyring is None:
            return None
        presented = _presented(environ)
        if presented is None:
            raise CredentialsMissingError
        caller = self._keyring.caller_of(presented)
        if caller is None:
            raise CredentialsInvalidError
        if scope not in caller.scopes:
            raise ScopeMissingError
        return caller


def build_gate(settings: AuthSettings) -> Gate:
    """
    Make the gate that is set.

    Raises:
        ConfigurationError: Keys are required and not asked for, or their file cannot be used.
    """
    if settings.mode == "none":
        if settings.required:
            raise ConfigurationError(
                "auth.mode: none, but auth.required is true; set auth.mode to api_key, or, to serve everybody"
                " who reaches the port, MODERATOR__AUTH__REQUIRED=false"
            )
        return Gate(None)
    if settings.keys_file is None:
        raise ConfigurationError("auth.keys_file: missing; auth.mode api_key needs it")
    return Gate(Keyring.load(Path(settings.keys_file)))


def _presented(environ: Mapping[str, Any]) -> str | None:
    """Find the key: as a bearer token, in X-API-Key, or where Google's clients put theirs."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return str(token.strip())
    if key := environ.get("HTTP_X_API_KEY", "").strip():
        return str(key)
    if environ["PATH_INFO"].startswith(_GOOGLE_PATHS):
        found = parse_qs(environ.get("QUERY_STRING", "")).get("key", [])
        return found[0] if found else None
    return None
