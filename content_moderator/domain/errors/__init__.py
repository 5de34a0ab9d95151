"""
All errors of the service as one tree, independent of HTTP frameworks. Status and code are class attributes. A
new error is one class; nothing else has to be changed. Messages to callers are fixed for each class. Messages
of remote servers only go to the log, and texts do not even go there.

::

    ModeratorError
    ├── ConfigurationError                      stops start-up, names the key
    │   └── MissingExtraError                   names the packages to install
    ├── TrainingError                           the rows cannot be fitted
    ├── ScanError                               the rows cannot be scanned
    ├── RequestError                            the caller can correct it: 4xx
    │   ├── BodyUnreadableError                 400  body_unreadable
    │   ├── BodyNotJsonError                    400  body_not_json
    │   ├── BodyTooLargeError                   413  body_too_large
    │   ├── UnsupportedMediaTypeError           415  unsupported_media_type
    │   ├── UnsupportedEncodingError            415  unsupported_content_encoding
    │   ├── InvalidFieldsError                  422  invalid_fields
    │   ├── CredentialsMissingError             401  credentials_missing
    │   ├── CredentialsInvalidError             401  credentials_invalid
    │   ├── ScopeMissingError                   403  scope_missing
    │   └── RateLimitedError                    429  rate_limited
    ├── IdentityProviderUnavailableError        503  identity_provider_unavailable
    └── ClassifierError                         no complete, sane answer: 5xx
        ├── ClassifierUnavailableError          503  classifier_unavailable        retryable
        │   ├── WarmingUpError                  503  classifier_warming_up         retryable
        │   ├── ThrottledError                  503  classifier_throttled          retryable
        │   ├── CircuitOpenError                503  classifier_circuit_open
        │   └── QuotaExhaustedError             503  classifier_quota_exhausted
        ├── OverloadedError                     503  overloaded
        ├── DeadlineExceededError               504  classifier_deadline_exceeded
        ├── LanguageNotJudgedError              422  language_not_judged           the policy wants no answer
        ├── BadReplyError                       502  classifier_bad_reply
        ├── CredentialsRefusedError             502  classifier_credentials_refused
        ├── ModelNotFoundError                  502  classifier_model_not_found
        └── RequestRefusedError                 502  classifier_refused_request
"""

from content_moderator.domain.errors.base import (
    AnswerableError,
    ConfigurationError,
    FieldError,
    MissingExtraError,
    ModeratorError,
    ScanError,
    TrainingError,
    answerable_errors,
)
from content_moderator.domain.errors.classifier import (
    BadReplyError,
    CircuitOpenError,
    ClassifierError,
    ClassifierUnavailableError,
    CredentialsRefusedError,
    DeadlineExceededError,
    LanguageNotJudgedError,
    ModelNotFoundError,
    OverloadedError,
    QuotaExhaustedError,
    RequestRefusedError,
    ThrottledError,
    WarmingUpError,
)
from content_moderator.domain.errors.request import (
    BodyNotJsonError,
    BodyTooLargeError,
    BodyUnreadableError,
    CredentialsInvalidError,
    CredentialsMissingError,
    IdentityProviderUnavailableError,
    InvalidFieldsError,
    RateLimitedError,
    RequestError,
    ScopeMissingError,
    UnsupportedEncodingError,
    UnsupportedMediaTypeError,
)

__all__ = [
    "AnswerableError",
    "BadReplyError",
    "BodyNotJsonError",
    "BodyTooLargeError",
    "BodyUnreadableError",
    "CircuitOpenError",
    "ClassifierError",
    "ClassifierUnavailableError",
    "ConfigurationError",
    "CredentialsInvalidError",
    "CredentialsMissingError",
    "CredentialsRefusedError",
    "DeadlineExceededError",
    "FieldError",
    "IdentityProviderUnavailableError",
    "InvalidFieldsError",
    "LanguageNotJudgedError",
    "MissingExtraError",
    "ModelNotFoundError",
    "ModeratorError",
    "OverloadedError",
    "QuotaExhaustedError",
    "RateLimitedError",
    "RequestError",
    "RequestRefusedError",
    "ScanError",
    "ScopeMissingError",
    "ThrottledError",
    "TrainingError",
    "UnsupportedEncodingError",
    "UnsupportedMediaTypeError",
    "WarmingUpError",
    "answerable_errors",
]
