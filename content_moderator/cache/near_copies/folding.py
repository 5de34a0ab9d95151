"""Folds texts for comparison: single spaces, and capitals only where they matter."""

import re
from typing import Final

from content_moderator.text.lookalike import confusables
from content_moderator.text.normalization import WORD, compose, mostly_latin

_APOSTROPHES: Final = str.maketrans("\u2018\u2019\u02bc", "'''")

_BEGINNING: Final = re.compile(
    r"(?:^|(?<=[!?] )|(?<=[a-z]{2}[.] )(?<!\bvs[.] )(?<!\betc[.] ))[^\W\d_][^\W\d_]*+(?!\w)"
)
"""The first word of a text, or of a sentence whose predecessor does not end with an abbreviation."""

_SAME_IN_CAPITALS: Final = re.compile(
    r"\bI\b(?!\.\w)|\b(?:It|He|She|They)\b|^(?:THE|THIS|THAT|GREAT|GOOD|THANKS|THANK|PLEASE|WOW|OH|HELLO|HEY)\b"
)
"""Words that are the same word, and no name, if they begin with a capital."""


def fold(text: str) -> str:
    """
    Fold a cleaned text for comparison.

    Returns:
        The text in Unicode NFKC, with plain apostrophes and single spaces. Capitals are kept if they can make
        another word: in "Bill" inside a sentence, but not at its beginning, and not in a text in capitals.
    """
    if not text.isascii():
        text = compose(text.translate(_APOSTROPHES))
    text = " ".join(text.split())
    if not any(map(str.islower, text)):
        return text.lower()
    text = _SAME_IN_CAPITALS.sub(lambda word: word[0].lower(), text)
    return _BEGINNING.sub(_lowered, text)


def _lowered(word: re.Match[str]) -> str:
    """Return a word with a lower-case first letter, unless other letters are capitals too."""
    return word[0].lower() if len(word[0]) == 1 or word[0][1:].islower() else word[0]


def disguised(text: str, folded: str) -> bool:
    """
    Return whether a text is disguised, so that folding changes its words.

    Disguises are special forms of letters, and letters of another script that look Latin in a mostly Latin
    text. A model can score such a text differently from its plain copy, so their answers cannot be exchanged.

    Args:
        text: A cleaned text.
        folded: The result of `fold`.
    """
    if text.isascii():
        return False
    words = WORD.findall(folded.casefold())
    if WORD.findall(text.translate(_APOSTROPHES).casefold()) != words:
        return True
    lookalikes = confusables()
    return any(ord(character) in lookalikes for word in words for character in word) and mostly_latin(folded)
