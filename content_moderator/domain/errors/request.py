"""Errors of the request: 4xx."""

from collections.abc import Sequence
from typing import Any

from content_moderator.domain.errors.base import AnswerableError, FieldError


class RequestError(AnswerableError):
    """The request cannot be answered as it is; the caller can correct it."""


class BodyUnreadableError(RequestError):
    """The body ended early, or is not encoded as its headers say."""

    status = 400
    code = "body_unreadable"
    detail = "The body could not be read: it ended early or is not encoded as its headers say."


class BodyNotJsonError(RequestError):
    """The body is not one JSON value in UTF-8."""

    status = 400
    code = "body_not_json"
    detail = "The body is not valid JSON in UTF-8."


class BodyTooLargeError(RequestError):
    """The body is larger than the limit, as sent or after decompression."""

    status = 413
    code = "body_too_large"
    detail = "The body is too large."

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.detail = f"The body is larger than {limit_bytes} bytes, counted after decompression."


class UnsupportedMediaTypeError(RequestError):
    """The Content-Type is not JSON."""

    status = 415
    code = "unsupported_media_type"
    detail = "Send the body with Content-Type: application/json, in UTF-8."


class UnsupportedEncodingError(RequestError):
    """The Content-Encoding is neither identity nor gzip."""

    status = 415
    code = "unsupported_content_encoding"
    detail = "Send the body with no Content-Encoding, or with gzip."


class InvalidFieldsError(RequestError):
    """The JSON is well-formed, but fields are invalid."""

    status = 422
    code = "invalid_fields"
    detail = "Some fields are not valid; see errors."

    def __init__(self, fields: Sequence[FieldError]) -> None:
        super().__init__(fields)
        self.fields = tuple(fields)


class CredentialsMissingError(RequestError):
    """The request has neither a key nor a token."""

    status = 401
    code = "credentials_missing"
    detail = "Send an API key or a token: Authorization: Bearer ..., or X-API-Key."


class CredentialsInvalidError(RequestError):
    """The key is unknown or revoked, or the token is invalid; callers are not told which."""

    status = 401
    code = "credentials_invalid"
    detail = "The API key or token is not valid."


class IdentityProviderUnavailableError(AnswerableError):
    """The keys of the identity provider cannot be fetched, so the token cannot be checked."""

    status = 503
    code = "identity_provider_unavailable"
    detail = "Your token cannot be checked at the moment."
    retry_after_seconds = 30.0


class ScopeMissingError(RequestError):
    """
    The key or token is valid, but lacks a scope.

    Args:
        scope: The missing scope.
    """

    status = 403
    code = "scope_missing"
    detail = "The API key or token lacks the scope that this needs."

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.detail = f"The API key or token lacks the scope {scope}."


class RateLimitedError(RequestError):
    """
    The caller has exceeded a rate limit.

    Args:
        limit_statuses: The remaining quota of each limit.
        retry_after_seconds: Time until the quota suffices; None if it never does.
    """

    status = 429
    code = "rate_limited"
    detail = "You have reached your rate limit."

    def __init__(
        self, limit_statuses: Sequence[Any] = (), *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__()
        self.limit_statuses = limit_statuses
        self.retry_after_seconds = retry_after_seconds
        if limit_statuses and retry_after_seconds is None:
            self.detail = "The request has more texts than your rate limit allows at once."
