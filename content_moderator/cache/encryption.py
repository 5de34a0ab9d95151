"""Encrypts what is stored on a server that others can reach."""

import hashlib
import os
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class DecryptionError(Exception):
    """What was stored has been changed, or was encrypted with another secret."""


class Encryption(Protocol):
    """Encrypts what is stored, and decrypts it again."""

    def encrypt(self, data: bytes, name: bytes) -> bytes:
        """Encrypt *data*, which will be stored under *name*."""
        ...

    def decrypt(self, stored: bytes, name: bytes) -> bytes:
        """
        Decrypt what was stored under *name*.

        Raises:
            BrokenSealError: It is not what was encrypted for this name.
        """
        ...


class AesGcmEncryption:
    """
    Encrypts and signs: nobody without the secret reads a text, or slips an answer in or under another name.

    Args:
        secret: What all who share the server have in common.
    Source:
        AES-256-GCM, NIST SP 800-38D; a random nonce of 96 bits is good for 2**32 values under one secret.
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
    """Leaves what is stored as it is: fit for scores, not for texts."""

    def encrypt(self, data: bytes, name: bytes) -> bytes:
        """Return *data*."""
        return data

    def decrypt(self, stored: bytes, name: bytes) -> bytes:
        """Return what was stored."""
        return stored
