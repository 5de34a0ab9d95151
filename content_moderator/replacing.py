"""Files that are replaced in one step: whoever reads sees the old or the new, never a part."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    Give the place to write the new content to; when the block ends well it is on the disk, as *path*.

    Args:
        path: What is to be replaced; need not be there.
    """
    fresh = path.with_name(f"{path.name}.new")
    yield fresh
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(path)
