"""Shows our own errors as one line instead of a traceback."""

from collections.abc import Callable
from functools import wraps

import click

from content_moderator.domain.errors import (
    AnswerableError,
    ConfigurationError,
    MissingExtraError,
    ModeratorError,
)


def os_error_message(error: OSError) -> str:
    """Return the reason of the system, with the name of the file if it is known."""
    what = f"{error.filename}: " if error.filename else ""
    return f"{what}{error.strerror or error}"


def plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command show our own errors as one line."""

    @wraps(command)
    def wrapper(*args: object, **kwargs: object) -> None:
        try:
            command(*args, **kwargs)
        except MissingExtraError as error:
            raise click.ClickException(str(error)) from error
        except ConfigurationError as error:
            raise click.ClickException(f"configuration: {error}") from error
        except AnswerableError as error:
            raise click.ClickException(f"{error.code}: {error.detail}") from error
        except ModeratorError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:
            # The reader has closed the output: click ends without a message.
            raise
        except OSError as error:
            raise click.ClickException(os_error_message(error)) from error

    return wrapper
