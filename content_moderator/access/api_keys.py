"""The file of API keys. It contains digests only."""

import hmac
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import orjson
from marshmallow import Schema, ValidationError, fields, post_load, validate

from content_moderator.access.api_key import ApiKey, digest_of, id_of
from content_moderator.config.atomic_file import replacing
from content_moderator.config.validation import flatten_messages
from content_moderator.domain.caller import SCOPES, Caller
from content_moderator.domain.errors import ConfigurationError

TENANT: Final = r"[!-~]{1,128}\Z"
"""The permitted names of tenants, for API keys, tokens and the file of tenants. Names are logged."""

_NO_DIGEST: Final = "0" * 64


class ApiKeys:
    """
    Identifies callers by their API keys.

    Args:
        keys: The records; no two have the same id.
    """

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self.keys = {key.id: key for key in keys}

    def caller_of(self, presented: str) -> Caller | None:
        """
        Return the caller with this key; None if it is unknown or revoked.

        Digests are compared in constant time.
        """
        key = self.keys.get(id_of(presented) or "")
        right = hmac.compare_digest(digest_of(presented), key.sha256 if key else _NO_DIGEST)
        if key is None or not right or key.revoked:
            return None
        return Caller(key.tenant, key.id, frozenset(key.scopes))

    def add(self, key: ApiKey) -> None:
        """Add a new key."""
        self.keys[key.id] = key

    def revoke(self, identity: str) -> None:
        """
        Revoke a key; its record is kept.

        Raises:
            KeyError: There is no key with this id.
        """
        self.keys[identity] = replace(self.keys[identity], revoked=True)

    def save(self, path: Path) -> None:
        """Replace the file atomically; only its owner can read it."""
        body = orjson.dumps(
            {"keys": [asdict(key) for key in self.keys.values()]},
            option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
        )
        with replacing(path, mode=0o600) as fresh:
            fresh.write_bytes(body)

    @classmethod
    def load(cls, path: Path) -> "ApiKeys":
        """
        Read the file.

        Raises:
            ConfigurationError: The file cannot be read or is invalid; the message names the problem.
        """
        try:
            keys = _KeysSchema().load(orjson.loads(path.read_bytes()))["keys"]
        except OSError as error:
            raise ConfigurationError(f"auth.keys_file: {path} cannot be read ({error.strerror})") from error
        except orjson.JSONDecodeError as error:
            raise ConfigurationError(f"auth.keys_file: {path} is not JSON") from error
        except ValidationError as error:
            where, message = next(flatten_messages(error.messages))
            raise ConfigurationError(f"auth.keys_file: {path}: {'.'.join(where)}: {message}") from error
        if len({key.id for key in keys}) < len(keys):
            raise ConfigurationError(f"auth.keys_file: {path} has two keys with the same id")
        return cls(keys)


class _KeySchema(Schema):
    id = fields.String(required=True, validate=validate.Regexp(r"[0-9a-f]{12}\Z"))
    tenant = fields.String(required=True, validate=validate.Regexp(TENANT))
    sha256 = fields.String(required=True, validate=validate.Regexp(r"[0-9a-f]{64}\Z"))
    scopes = fields.List(fields.String(validate=validate.OneOf(SCOPES)), required=True)
    created = fields.String(required=True)
    revoked = fields.Boolean(load_default=False)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> ApiKey:
        return ApiKey(**data | {"scopes": tuple(data["scopes"])})


class _KeysSchema(Schema):
    keys = fields.List(fields.Nested(_KeySchema), required=True)
