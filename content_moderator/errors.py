"""
Everything that can go wrong, as one tree that knows no HTTP framework; status and code are class attributes.
A new error is one class here and no wiring. Messages to callers are fixed per class: what an upstream said
or a caller sent goes nowhere but the log, and there only without the text.

::

    ModeratorError
    ├── ConfigurationError                      stops start-up, names the key
    ├── TrainingError                           the rows cannot be fitted
    ├── ScanError                               the rows cannot be scanned
    ├── RequestError                            the caller can mend it: 4xx
    │   ├── BodyUnreadableError                 400  body_unreadable
    │   ├── BodyNotJsonError                    400  body_not_json
    │   ├── BodyTooLargeError                   413  body_too_large
    │   ├── UnsupportedMediaTypeError           415  unsupported_media_type
    │   ├── UnsupportedEncodingError            415  unsupported_content_encoding
    │   ├── InvalidFieldsError                  422  invalid_fields
    │   ├── CredentialsMissingError             401  credentials_missing
    │   ├── CredentialsInvalidError             401  credentials_invalid
    │   └── ScopeMissingError                   403  scope_missing
    └── ClassifierError                         no complete, sane answer: 5xx
        ├── ClassifierUnavailableError          503  classifier_unavailable        retryable
        │   ├── WarmingUpError                  503  classifier_warming_up         retryable
        │   ├── ThrottledError                  503  classifier_throttled          retryable
        │   ├── CircuitOpenError                503  classifier_circuit_open
        │   └── QuotaExhaustedError             503  classifier_quota_exhausted
        ├── OverloadedError                     503  overloaded
        ├── DeadlineExceededError               504  classifier_deadline_exceeded
        ├── BadReplyError                       502  classifier_bad_reply
        ├── CredentialsRefusedError             502  classifier_credentials_refused
        ├── ModelNotFoundError                  502  classifier_model_not_found
        └── RequestRefusedError                 502  classifier_refused_request
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar


class ModeratorError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(ModeratorError):
    """The settings cannot be used; the message is one line that names the key."""


class TrainingError(ModeratorError):
    """The rows cannot be fitted; the message says why."""


class ScanError(ModeratorError):
    """The rows cannot be scanned; the message says why."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """
    One thing that is wrong in a request.

    Args:
        detail: What is wrong, with the limit where there is one; never the value itself.
        pointer: JSON pointer (RFC 6901) into the body, as a URI fragment; None for a query parameter.
        parameter: Name of the query parameter; None for a body field.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class AnswerableError(ModeratorError):
    """
    Base of the errors that a caller is told about.

    Attributes:
        status: HTTP status code.
        code: Stable word that clients may switch on.
        detail: The sentence that callers read.
        fields: What is wrong where, for errors about a request's fields.
        retry_after_seconds: When it is worth asking again: what the upstream said, else a guess
            where the class has one; None if asking again would not help.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    detail: str
    fields: Sequence[FieldError] = ()
    retry_after_seconds: float | None = None


class RequestError(AnswerableError):
    """The request cannot be answered as it is; the caller can mend it."""


class BodyUnreadableError(RequestError):
    """The body ended early, broke off, or is not what its headers say."""

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
    """The JSON is well-formed but its fields are not what they should be."""

    status = 422
    code = "invalid_fields"
    detail = "Some fields are not valid; see errors."

    def __init__(self, fields: Sequence[FieldError]) -> None:
        super().__init__(fields)
        self.fields = tuple(fields)


class CredentialsMissingError(RequestError):
    """The request shows no key."""

    status = 401
    code = "credentials_missing"
    detail = "Send an API key: Authorization: Bearer cm_..., or X-API-Key."


class CredentialsInvalidError(RequestError):
    """The key is nobody's, or revoked; which of the two is not told."""

    status = 401
    code = "credentials_invalid"
    detail = "The API key is not valid."


class ScopeMissingError(RequestError):
    """The key is good, but not for this."""

    status = 403
    code = "scope_missing"
    detail = "The API key does not allow this."


class ClassifierError(AnswerableError):
    """
    No complete, sane answer could be had from the classifier.

    The exception's own message is for the log. ``retryable`` tells whether the same call may
    succeed if simply made again; ``told_seconds`` what the upstream said of when, None if nothing.
    """

    retryable: ClassVar[bool] = False
    told_seconds: float | None = None

    def __init__(self, reason: str = "", *, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        if retry_after_seconds is not None:
            self.retry_after_seconds = self.told_seconds = retry_after_seconds


class ClassifierUnavailableError(ClassifierError):
    """The classifier cannot be reached, or says that it failed."""

    status = 503
    code = "classifier_unavailable"
    detail = "The classifier cannot be reached at the moment."
    retryable = True
    retry_after_seconds = 5.0


class WarmingUpError(ClassifierUnavailableError):
    """The classifier is loading its model."""

    code = "classifier_warming_up"
    detail = "The classifier is loading its model."
    retry_after_seconds = 20.0


class ThrottledError(ClassifierUnavailableError):
    """The classifier limits our calls."""

    code = "classifier_throttled"
    detail = "The classifier accepts no more calls at the moment."


class CircuitOpenError(ClassifierUnavailableError):
    """The classifier failed so often that it is left alone for a while."""

    code = "classifier_circuit_open"
    detail = "The classifier failed too often and is not asked for a while."
    retryable = False


class QuotaExhaustedError(ClassifierUnavailableError):
    """Our account with the classifier's host is used up: the operator must act."""

    code = "classifier_quota_exhausted"
    detail = "The service has used up its quota with the classifier."
    retryable = False
    retry_after_seconds = 3600.0


class OverloadedError(ClassifierError):
    """More texts wait than this process takes on."""

    status = 503
    code = "overloaded"
    detail = "The service has more work than it can do in time."
    retry_after_seconds = 1.0


class DeadlineExceededError(ClassifierError):
    """The classifier did not answer in time."""

    status = 504
    code = "classifier_deadline_exceeded"
    detail = "The classifier did not answer in time."


class BadReplyError(ClassifierError):
    """The classifier's reply is incomplete or nonsense; never taken as harmless."""

    status = 502
    code = "classifier_bad_reply"
    detail = "The classifier gave a reply that cannot be trusted."


class CredentialsRefusedError(ClassifierError):
    """The classifier refused our token: the operator must act."""

    status = 502
    code = "classifier_credentials_refused"
    detail = "The classifier refused the service's credentials."


class ModelNotFoundError(ClassifierError):
    """The classifier's address does not serve the model: the operator must act."""

    status = 502
    code = "classifier_model_not_found"
    detail = "The classifier's address does not serve the model."


class RequestRefusedError(ClassifierError):
    """The classifier called our request wrong."""

    status = 502
    code = "classifier_refused_request"
    detail = "The classifier refused the service's request."


def answerable_errors(root: type[AnswerableError] = AnswerableError) -> Iterator[type[AnswerableError]]:
    """Yield every error class below *root* that has a code of its own, in the order of the tree."""
    for subclass in root.__subclasses__():
        if "code" in vars(subclass):
            yield subclass
        yield from answerable_errors(subclass)
