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
    Import in this block what an extra installs, at the moment when a setting or a command asks for it.

    Args:
        name: Of the extra.
        needed_by: The setting or the command, for the error.
    Raises:
        MissingExtraError: It is not installed; the message says what to type.
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
    """Name the package as pip finds it: a checkout by its path, for no index has it."""
    if (_CHECKOUT / "setup.cfg").is_file():
        return f"-e '{_CHECKOUT}[{name}]'"
    return f"'content-moderator[{name}]'"
