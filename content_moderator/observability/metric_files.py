"""
Metric files that allocate disk space before they are written to.

prometheus_client maps sparse files into memory. If the disk (or /dev/shm) is full, writing to one ends the
process with SIGBUS. Here the space is allocated first. If there is none, the values are kept in this process
only and are not in /metrics, and the log says so.
"""

import contextlib
import errno
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from prometheus_client import mmap_dict

INITIAL_BYTES: Final = mmap_dict._INITIAL_MMAP_SIZE  # noqa: SLF001
_VALUE_AND_TIME: Final = struct.Struct("dd")
_FIXED_BYTES: Final = 4 + 16
_ALIGNMENT: Final = 8


class AllocatedDict(mmap_dict.MmapedDict):
    """
    A file with values by key.

    Attributes:
        on_loss: Called with the first error of each file because of which a value is kept in this process
            only.
    """

    on_loss: Callable[[OSError], object] = staticmethod(lambda _: None)

    def __init__(self, filename: str, read_mode: bool = False) -> None:  # noqa: FBT002  (as there)
        self._kept: dict[str, tuple[float, float]] = {}
        self._lost = False
        self._f: Any = None
        self._m: Any = None
        self._positions: dict[str, int] = {}
        try:
            if not read_mode:
                _allocate(Path(filename))
            super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]
        except OSError as error:
            self._lose(error)

    def read_value(self, key: str) -> tuple[float, float]:
        """Return the value of *key* and its time."""
        if self._has(key):
            found: tuple[float, float] = super().read_value(key)  # type: ignore[no-untyped-call]
            return found
        return self._kept.setdefault(key, (0.0, 0.0))

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Set the value of *key* and its time."""
        position = self._positions.get(key)
        if position is not None and self._m is not None:
            # The usual case, about ten times for each request, so it is the shortest.
            _VALUE_AND_TIME.pack_into(self._m, position, value, timestamp)
        elif self._has(key):
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
        else:
            self._kept[key] = value, timestamp

    def _has(self, key: str) -> bool:
        """Return whether *key* has a position in the file; allocate one if necessary."""
        if self._m is None or key in self._kept:
            return False
        if key in self._positions:
            return True
        try:
            self._make_room(key)
            self._init_value(key)  # type: ignore[no-untyped-call]
        except OSError as error:
            self._lose(error)
            return False
        return True

    def _make_room(self, key: str) -> None:
        encoded = len(key.encode())
        needed = self._used + _FIXED_BYTES + encoded + _ALIGNMENT
        capacity: int = self._capacity
        while needed > capacity:
            capacity *= 2
        if capacity > self._capacity:
            _take_room(self._f.fileno(), capacity)
            self._m = mmap.mmap(self._f.fileno(), capacity)
            self._capacity = capacity

    def _lose(self, error: OSError) -> None:
        if not self._lost:
            self._lost = True
            self.on_loss(error)


def _allocate(path: Path) -> None:
    """Create a file of zeros atomically, so that no reader sees an empty one."""
    if path.exists():
        return
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _take_room(descriptor, INITIAL_BYTES)
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    finally:
        os.close(descriptor)


def _take_room(descriptor: int, size: int) -> None:
    """
    Extend a file to a size, with disk space for all of it.

    Raises:
        OSError: There is no space.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except (AttributeError, OSError) as error:
        # Not every system and file system supports it.
        if getattr(error, "errno", None) not in {None, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
            raise
        missing = size - os.fstat(descriptor).st_size
        os.pwrite(descriptor, bytes(missing), size - missing)


def install(values: Any) -> None:
    """Make the module ``prometheus_client.values``, passed as *values*, use these files."""
    values.MmapedDict = AllocatedDict
