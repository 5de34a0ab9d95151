"""What two texts are compared by: the text without case, invisible characters and superfluous space."""

import re
import unicodedata
from typing import Final

from content_moderator.core.text import WORD, compose, confusables, mostly_latin

_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")
_INVISIBLE: Final = frozenset({"Cc", "Cf"})
_APOSTROPHES: Final = str.maketrans("\u2018\u2019\u02bc", "'''")


def fold(text: str) -> str:
    """
    Fold a cleaned text for comparison.

    Returns:
        It in Unicode NFKC and without case, with neither control nor zero-width characters nor variation
        selectors, typographic apostrophes made plain, and each run of white space one space.
    """
    if not text.isascii():
        text = _NOT_ASCII.sub(_visible, compose(text.translate(_APOSTROPHES)).casefold())
    return " ".join(_CONTROL.sub("", text).lower().split())


def disguised(text: str, folded: str) -> bool:
    """
    Tell whether a text hides what its words are from whoever does not fold it.

    That is: control or zero-width characters inside words, letters of special forms, or letters of another
    script in a mostly Latin text that look Latin. A model may read such a text otherwise than its plain copy,
    so neither may answer for the other.

    Args:
        text: A cleaned text.
        folded: What `fold` makes of it.
    """
    if text.isascii():
        return _CONTROL.search(text) is not None
    words = WORD.findall(folded)
    if WORD.findall(text.translate(_APOSTROPHES).casefold()) != words:
        return True
    lookalikes = confusables()
    return any(ord(character) in lookalikes for word in words for character in word) and mostly_latin(folded)


def _visible(run: re.Match[str]) -> str:
    return "".join(
        character
        for character in run[0]
        if unicodedata.category(character) not in _INVISIBLE and not "\ufe00" <= character <= "\ufe0f"
    )
