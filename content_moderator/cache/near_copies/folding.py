"""Folds texts for comparison: single spaces, and capitals only where they matter."""

import re
from typing import Final

from content_moderator.text.lookalike import confusables
from content_moderator.text.normalization import WORD, compose, mostly_latin

_APOSTROPHES: Final = str.maketrans("\u2018\u2019\u02bc", "'''")

_BEGINNING: Final = re.compile(
    r"(?:^|(?<=[!?] )|(?<=[a-z]{2}[.] )(?<!\bvs[.] )(?<!\betc[.] ))[^\W\d_][^\W\d_]*+(?!\w)"
)
"""The first word of a text, or of a sentence behind one that does not end with an abbreviation."""

_SAME_IN_CAPITALS: Final = re.compile(
    r"\bI\b(?!\.\w)|\b(?:It|He|She|They)\b|^(?:THE|THIS|THAT|GREAT|GOOD|THANKS|THANK|PLEASE|WOW|OH|HELLO|HEY)\b"
)
"""What is no other word, and no name, in capitals."""


def fold(text: str) -> str:
    """
    Fold a cleaned text for comparison.

    Returns:
        It in Unicode NFKC, typographic apostrophes made plain, and each run of white space one space. Case is
        kept where it may make another word: of "Bill" inside a sentence, but neither at its beginning nor in
        a text that is all in capitals.
    """
    if not text.isascii():
        text = compose(text.translate(_APOSTROPHES))
    text = " ".join(text.split())
    if not any(map(str.islower, text)):
        return text.lower()
    text = _SAME_IN_CAPITALS.sub(lambda word: word[0].lower(), text)
    return _BEGINNING.sub(_lowered, text)


def _lowered(word: re.Match[str]) -> str:
    """Lower the first letter of a word, unless more of it is in capitals."""
    return word[0].lower() if len(word[0]) == 1 or word[0][1:].islower() else word[0]


def disguised(text: str, folded: str) -> bool:
    """
    Return whether folding changes the words of a text: it is disguised.

    That is: letters of special forms, or letters of another script in a mostly Latin text that look Latin. A
    model may read such a text otherwise than its plain copy, so neither may answer for the other.

    Args:
        text: A cleaned text.
        folded: What `fold` makes of it.
    """
    if text.isascii():
        return False
    words = WORD.findall(folded.casefold())
    if WORD.findall(text.translate(_APOSTROPHES).casefold()) != words:
        return True
    lookalikes = confusables()
    return any(ord(character) in lookalikes for word in words for character in word) and mostly_latin(folded)
