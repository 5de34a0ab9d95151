"""Replaces files atomically: readers see the old or the new content, never a part."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

USUAL_MODE: Final = 0o666
"""Restricted further by the umask of the process."""


@contextmanager
def replacing(path: Path, *, mode: int = USUAL_MODE) -> Iterator[Path]:
    """
    Yield the path of a new file to write to. If the block ends without an exception, the file is flushed to
    disk and renamed to *path*.

    It is a new file each time, so the mode of an old file and links have no effect.

    Args:
        path: The file to replace; it need not exist.
        mode: The mode of the file from the beginning.
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
