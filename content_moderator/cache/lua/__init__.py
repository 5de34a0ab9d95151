"""The Lua scripts that the Redis server runs, one round trip each."""

from importlib.resources import files
from typing import Final


def _script(name: str) -> str:
    return files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")


LOOK_UP: Final = _script("look_up")
FILE: Final = _script("file")
FIND: Final = _script("find")
