"""Errors of the classifier: 5xx."""

from typing import ClassVar

from content_moderator.domain.errors.base import AnswerableError


class ClassifierError(AnswerableError):
    """
    The classifier gave no complete and valid answer.

    The exception's own message is for the log.

    Attributes:
        retryable: Whether the same call can succeed if it is repeated.
        about_the_text: Whether the error depends on the text, so that other texts can succeed.
        told_seconds: The wait that the server asked for; None if it asked for none.
    """

    retryable: ClassVar[bool] = False
    about_the_text: ClassVar[bool] = False
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
    """The classifier failed so often that no calls are made for a while."""

    code = "classifier_circuit_open"
    detail = "The classifier failed too often and is not asked for a while."
    retryable = False


class QuotaExhaustedError(ClassifierUnavailableError):
    """The quota at the host of the classifier is exhausted: the operator must act."""

    code = "classifier_quota_exhausted"
    detail = "The service has used up its quota with the classifier."
    retryable = False
    retry_after_seconds = 3600.0


class OverloadedError(ClassifierError):
    """The queue of this process is full."""

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
    """The reply of the classifier is incomplete or invalid; it never counts as harmless."""

    status = 502
    code = "classifier_bad_reply"
    detail = "The classifier gave a reply that cannot be trusted."
    about_the_text = True


class LanguageNotJudgedError(ClassifierError):
    """The classifier does not judge the language of the text, and the policy refuses such texts."""

    status = 422
    code = "language_not_judged"
    detail = "The text is in a language that is not judged here."
    about_the_text = True


class CredentialsRefusedError(ClassifierError):
    """The classifier refused our token: the operator must act."""

    status = 502
    code = "classifier_credentials_refused"
    detail = "The classifier refused the service's credentials."


class ModelNotFoundError(ClassifierError):
    """The URL of the classifier does not serve the model: the operator must act."""

    status = 502
    code = "classifier_model_not_found"
    detail = "The classifier's address does not serve the model."


class RequestRefusedError(ClassifierError):
    """The classifier refused our request as invalid."""

    status = 502
    code = "classifier_refused_request"
    detail = "The classifier refused the service's request."
    about_the_text = True
