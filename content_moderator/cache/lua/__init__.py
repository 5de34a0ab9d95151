"""What the server does for us in one exchange each, in its own language."""

from importlib.resources import files
from typing import Final


def _script(name: str) -> str:
    return files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")


LOOK_UP: Final = _script("look_up")
FILE: Final = _script("file")
FIND: Final = _script("find")
