"""What two texts are compared by: the text without case and superfluous space."""

from typing import Final

from content_moderator.core.text import WORD, compose, confusables, mostly_latin

_APOSTROPHES: Final = str.maketrans("\u2018\u2019\u02bc", "'''")


def fold(text: str) -> str:
    """
    Fold a cleaned text for comparison.

    Returns:
        It in Unicode NFKC and without case, typographic apostrophes made plain, and each run of white space
        one space.
    """
    if not text.isascii():
        text = compose(text.translate(_APOSTROPHES)).casefold()
    return " ".join(text.lower().split())


def disguised(text: str, folded: str) -> bool:
    """
    Tell whether a text hides what its words are from whoever does not fold it.

    That is: letters of special forms, or letters of another script in a mostly Latin text that look Latin. A
    model may read such a text otherwise than its plain copy, so neither may answer for the other.

    Args:
        text: A cleaned text.
        folded: What `fold` makes of it.
    """
    if text.isascii():
        return False
    words = WORD.findall(folded)
    if WORD.findall(text.translate(_APOSTROPHES).casefold()) != words:
        return True
    lookalikes = confusables()
    return any(ord(character) in lookalikes for word in words for character in word) and mostly_latin(folded)
