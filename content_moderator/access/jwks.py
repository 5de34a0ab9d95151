"""The public keys of an identity provider: from a file, or from its published key set."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import orjson
import requests
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK

from content_moderator.config.settings import TokenSettings
from content_moderator.domain.errors import (
    ConfigurationError,
    CredentialsInvalidError,
    IdentityProviderUnavailableError,
)
from content_moderator.net.http import OutboundSession
from content_moderator.net.urls import checked_url
from content_moderator.observability import metrics

MAX_BYTES: Final = 262_144
"""The size limit of a key set, in bytes; those of large providers have a few thousand."""

MIN_RSA_BITS: Final = 2048

MAX_STALE_SECONDS: Final = 86_400.0
"""How long known keys are used while the provider does not answer; after that they may have been revoked."""
STUCK: Final = 10
"""The number of time-outs after which a running fetch is considered lost."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | PyJWK

_log = structlog.get_logger(__name__)


class KeySource(Protocol):
    """A source of public keys."""

    def key(self, kid: str | None, algorithm: str) -> PublicKey:
        """
        Return the key that a token names.

        Args:
            kid: The key id in the token.
            algorithm: The algorithm of the token, one of those that are allowed.
        Raises:
            CredentialsInvalidError: There is no key with this id and algorithm.
            IdentityProviderUnavailableError: The keys cannot be fetched.
        """
        ...


class FileKey:
    """
    One key from a file.

    Args:
        path: A public key in PEM.
    Raises:
        ConfigurationError: The file has no public key, or one of a type that is not allowed.
    """

    def __init__(self, path: Path) -> None:
        name = f"auth.jwt.public_key_file: {path}"
        try:
            key = load_pem_public_key(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{name} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise ConfigurationError(f"{name} is not a public key in PEM") from error
        algorithm = algorithm_of(key)
        if algorithm is None or not isinstance(key, PublicKey):
            raise ConfigurationError(f"{name} must be RSA of 2048 bits or more, EC P-256 or Ed25519")
        self._key = key
        self.algorithm = algorithm

    def key(self, kid: str | None, algorithm: str) -> PublicKey:
        """Return the key; see `KeySource.key`."""
        if algorithm != self.algorithm:
            raise CredentialsInvalidError
        return self._key


class PublishedKeys:
    """
    The published key set of an identity provider. A separate thread fetches it: when a token names an unknown
    key, but at most once every ``jwks_pause_seconds``, so that invented key ids cannot cause requests; and
    when the keys are older than ``jwks_max_age_seconds``, while the old ones are still used. Requests wait
    for a fetch no longer than the time-out.

    Args:
        settings: The URL and the intervals.
        fetch: Returns the key set as JSON.
        clock: Monotonic seconds.
    Raises:
        ConfigurationError: The URL cannot be used.
    """

    def __init__(
        self,
        settings: TokenSettings,
        *,
        fetch: Callable[[], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        url = checked_url(settings.jwks_url or "", "auth.jwt.jwks_url", require_https=True)
        self._settings = settings
        self._fetch = fetch or (lambda: _get(url, settings.timeout_seconds))
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Sequence[PyJWK] = ()
        self._fetched_at = self._tried_at = -float("inf")
        self._fetching: threading.Event | None = None

    def key(self, kid: str | None, algorithm: str) -> PublicKey:
        """Return the key that a token names; see `KeySource.key`."""
        found = self._known(kid, algorithm)
        if found is None:
            self._refresh(wait=True)
            found = self._known(kid, algorithm)
        elif self._age() > self._settings.jwks_max_age_seconds:
            self._refresh(wait=False)
        if found is not None:
            return found
        if self._age() > MAX_STALE_SECONDS:
            raise IdentityProviderUnavailableError
        raise CredentialsInvalidError

    def _known(self, kid: str | None, algorithm: str) -> PyJWK | None:
        if self._age() > MAX_STALE_SECONDS:
            return None
        fitting = [key for key in self._keys if key.algorithm_name == algorithm and kid in {None, key.key_id}]
        # A token without a key id is only unambiguous if there is one key.
        return fitting[0] if fitting and (kid is not None or len(fitting) == 1) else None

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _refresh(self, *, wait: bool) -> None:
        with self._lock:
            waited = self._clock() - self._tried_at
            # Name resolution has no time-out and can block a thread for long.
            if self._fetching is None or waited > STUCK * self._settings.timeout_seconds:
                if waited < self._settings.jwks_pause_seconds:
                    return
                self._tried_at = self._clock()
                self._fetching = threading.Event()
                threading.Thread(target=self._renew, args=(self._fetching,), daemon=True).start()
            done = self._fetching
            # Requests that arrive during a fetch only wait for the rest of its time-out.
            left = self._tried_at + self._settings.timeout_seconds - self._clock()
        if wait and left > 0:
            done.wait(left)

    def _renew(self, done: threading.Event) -> None:
        try:
            keys = read_keys(self._fetch())
        except Exception as error:  # noqa: BLE001  (a thread of its own: nobody else would hear of it)
            metrics.KEY_SET_FETCHES.labels("failed").inc()
            # The message is not logged, because it can quote URLs and replies.
            _log.warning("key_set_not_fetched", exception=type(error).__name__)
        else:
            metrics.KEY_SET_FETCHES.labels("ok").inc()
            self._keys, self._fetched_at = keys, self._clock()
        finally:
            with self._lock:
                if self._fetching is done:
                    self._fetching = None
            done.set()


def read_keys(body: bytes) -> list[PyJWK]:
    """
    Parse a key set. Keys that are not for signatures, are of a type that is not allowed, or are malformed are
    skipped. An empty set is valid: the provider has withdrawn all keys.

    Raises:
        ValueError: The document is not a key set.
    """
    values = orjson.loads(body)
    if not isinstance(values, dict) or not isinstance(values.get("keys"), list):
        raise ValueError("no key set")  # noqa: TRY004  (of the provider's making)
    return list(_usable_keys(values["keys"]))


def _usable_keys(published: Sequence[object]) -> Iterator[PyJWK]:
    left_out = 0
    for each in published:
        if isinstance(each, dict) and each.get("use", "sig") != "sig":
            continue
        key = _read_key(each)
        if key is None:
            left_out += 1
        else:
            yield key
    if left_out:
        _log.warning("keys_left_out", keys=left_out)


def _read_key(value: object) -> PyJWK | None:
    """Parse one key; return None if it cannot be used."""
    if not isinstance(value, dict) or not isinstance(value.get("kid"), str | None):
        return None
    try:
        key = PyJWK(value)
    except Exception:  # noqa: BLE001  (PyJWT raises whatever comes of what it does not check: TypeError, KeyError, ...)
        return None
    return key if key.algorithm_name == algorithm_of(key.key) else None


def algorithm_of(key: object) -> str | None:
    """Return the algorithm for which a public key can be used; None if no allowed one."""
    if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    return "EdDSA" if isinstance(key, Ed25519PublicKey) else None


def _get(url: str, timeout_seconds: float) -> bytes:
    """Fetch a key set."""
    request = requests.Request("GET", url, headers={"Accept": "application/json"}).prepare()
    with (
        OutboundSession() as session,
        session.exchange(
            request, connect_seconds=timeout_seconds, seconds=timeout_seconds, max_bytes=MAX_BYTES
        ) as reply,
    ):
        if reply.status != requests.codes.ok or reply.compressed or len(reply.body) > MAX_BYTES:
            raise ValueError("not 200, compressed or too large")
        return reply.body
