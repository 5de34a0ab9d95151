"""The keys under which answers are stored."""

import hashlib
import unicodedata
from typing import Final

from content_moderator.domain.classification import ClassifierIdentity
from content_moderator.text.cleaning import CLEANING_VERSION

KEY_BYTES: Final = 20


class KeyMaker:
    """
    Makes keys that differ if anything differs that can change an answer.

    These are the text, the classifier, its model and revision, and the version of text cleaning. Each part is
    hashed together with its length, so that different parts never give the same bytes.

    Args:
        identity: The classifier whose answers are stored.
        owner: The tenant with a separate cache; empty for the common cache.
        secret: Key of the hash: without it nobody can find the text of a key by guessing.
    """

    def __init__(self, identity: ClassifierIdentity, *, owner: str = "", secret: bytes = b"") -> None:
        key = hashlib.blake2b(secret).digest() if secret else b""
        self._hasher = hashlib.blake2b(key=key, digest_size=KEY_BYTES)
        for part in (
            identity.name,
            identity.model,
            identity.revision,
            CLEANING_VERSION,
            unicodedata.unidata_version,
            owner,
        ):
            self._hasher.update(_prefixed(part))

    def key(self, *parts: str) -> bytes:
        """Return the key of a cleaned text, or of other *parts*."""
        hasher = self._hasher.copy()
        for part in parts:
            hasher.update(_prefixed(part))
        return hasher.digest()


def _prefixed(part: str) -> bytes:
    data = part.encode()
    return len(data).to_bytes(8, "big") + data
