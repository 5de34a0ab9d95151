"""Encrypts the records of the shared cache."""

import hashlib
import os
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class DecryptionError(Exception):
    """A record was changed, or was encrypted with another secret."""


class Encryption(Protocol):
    """Encrypts and decrypts records."""

    def encrypt(self, data: bytes, name: bytes) -> bytes:
        """Encrypt *data*, which will be stored under *name*."""
        ...

    def decrypt(self, stored: bytes, name: bytes) -> bytes:
        """
        Decrypt the record stored under *name*.

        Raises:
            DecryptionError: The data was not encrypted for this name.
        """
        ...


class AesGcmEncryption:
    """
    Encrypts and authenticates records: without the secret nobody can read a text, insert an answer, or move
    it to another name.

    Args:
        secret: The secret that all processes with the same server share.
    Source:
        AES-256-GCM, NIST SP 800-38D; with random nonces of 96 bits, one secret can encrypt 2**32 values.
    """

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hashlib.blake2b(secret, digest_size=32, person=b"seal").digest())

    def encrypt(self, data: bytes, name: bytes) -> bytes:
        """See `Encryption.encrypt`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, name)

    def decrypt(self, stored: bytes, name: bytes) -> bytes:
        """See `Encryption.decrypt`."""
        try:
            return self._cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], name)
        except (InvalidTag, ValueError) as error:
            raise DecryptionError from error


class NoEncryption:
    """Stores records unencrypted; for scores only, not for texts."""

    def encrypt(self, data: bytes, name: bytes) -> bytes:
        """Return *data*."""
        return data

    def decrypt(self, stored: bytes, name: bytes) -> bytes:
        """Return *data*."""
        return stored
