"""Replaces files in one step: readers see the old or the new content, never a part."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

USUAL_MODE: Final = 0o666
"""Less what the process's umask takes away."""


@contextmanager
def replacing(path: Path, *, mode: int = USUAL_MODE) -> Iterator[Path]:
    """
    Return the place to write the new content to; when the block ends well it is on the disk, as *path*.

    The place is a new file each time: neither the mode of one that was left over nor a link counts.

    Args:
        path: What is to be replaced; need not be there.
        mode: Of the file, from its first moment.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode))
    try:
        yield fresh
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
