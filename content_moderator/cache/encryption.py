"""How answers are written where others could read or change them."""

import hashlib
import os
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class DecryptionError(Exception):
    """What was stored has been changed, or sealed with another secret."""


class Encryption(Protocol):
    """Seals what is stored, and opens it again."""

    def seal(self, data: bytes, name: bytes) -> bytes:
        """Seal *data*, which will be stored under *name*."""
        ...

    def open(self, sealed: bytes, name: bytes) -> bytes:
        """
        Open what was stored under *name*.

        Raises:
            BrokenSealError: It is not what was sealed for this name.
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

    def seal(self, data: bytes, name: bytes) -> bytes:
        """See `Encryption.seal`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, name)

    def open(self, sealed: bytes, name: bytes) -> bytes:
        """See `Encryption.open`."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name)
        except (InvalidTag, ValueError) as error:
            raise DecryptionError from error


class NoEncryption:
    """Leaves what is stored as it is: fit for scores, not for texts."""

    def seal(self, data: bytes, name: bytes) -> bytes:
        """Give *data*."""
        return data

    def open(self, sealed: bytes, name: bytes) -> bytes:
        """Give what was stored."""
        return sealed
