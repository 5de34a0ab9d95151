"""Imports the packages of the extras in setup.cfg, or says what to install."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from content_moderator.domain.errors import MissingExtraError

_CHECKOUT: Final = Path(__file__).parent.parent.parent


@contextmanager
def extra(name: str, *, needed_by: str) -> Iterator[None]:
    """
    Import packages of an extra in this block, when a setting or a command needs them.

    Args:
        name: The name of the extra.
        needed_by: The setting or command, for the error message.
    Raises:
        MissingExtraError: The extra is not installed; the message has the command to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == __package__:
            raise
        raise MissingExtraError(
            f"{needed_by}: {missing} is not installed; {sys.executable} -m pip install {_requirement(name)}"
        ) from error


def _requirement(name: str) -> str:
    """Return the package as pip finds it: a checkout by its path, because no index has it."""
    if (_CHECKOUT / "setup.cfg").is_file():
        return f"-e '{_CHECKOUT}[{name}]'"
    return f"'content-moderator[{name}]'"
