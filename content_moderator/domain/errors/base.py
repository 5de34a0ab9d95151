"""The base classes of all errors, and the errors that stop a command."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar


class ModeratorError(Exception):
    """Base class of all errors of this package."""


class ConfigurationError(ModeratorError):
    """The settings cannot be used; the message is one line that names the key."""


class MissingExtraError(ConfigurationError):
    """A setting or a command needs packages that are not installed; the message says what to type."""


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


def answerable_errors(root: type[AnswerableError] = AnswerableError) -> Iterator[type[AnswerableError]]:
    """Yield every error class below *root* that has a code of its own, in the order of the tree."""
    for subclass in root.__subclasses__():
        if "code" in vars(subclass):
            yield subclass
        yield from answerable_errors(subclass)
