"""Our own errors, as one line instead of a traceback."""

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
    """Say what the system refused, and of which file if that is known."""
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
            # The reader of the output has closed it: click ends silently.
            raise
        except OSError as error:
            raise click.ClickException(os_error_message(error)) from error

    return wrapper
