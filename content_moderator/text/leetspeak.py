"""Undoes leetspeak: digits and signs that stand for letters, as in "1d1ot"."""

import re
from collections.abc import Container
from typing import Final

from content_moderator.text.spacing import is_frequent

_LETTER: Final = re.compile(r"[a-z]")

# The look-behind lets a match start only at the start of a token, and possessive quantifiers do not
# backtrack. Without both, "ababab..." would take quadratic time.
MIXED_TOKEN: Final = re.compile(r"(?<![a-z0-9@$!|+])[a-z]*+[0-9@$!|+][a-z0-9@$!|+]*+")
_NUMBER_WITH_UNIT: Final = re.compile(r"[0-9]++[a-z]{1,3}|[a-z]++[0-9]{2,}")
_AMOUNT: Final = re.compile(r"[0-9]++[a-z]{1,3}")
# "5ex" and "fr33" may be words; "45s" and "a55" are seconds and a road.
_MOSTLY_LETTERS: Final = re.compile(r"[0-9][a-z]{2,}|[a-z]{2,}[0-9]{2}|[a-z]{3,}[0-9]{3}")
_ENDS_IN_SIGNS: Final = re.compile(r"[a-z]++[0-9]++|[0-9]++[a-z]++")
_SIGN_INSIDE: Final = re.compile(r"[!|+]")
_BETWEEN_KINDS: Final = re.compile(r"(?<=[a-z])(?=[0-9])|(?<=[0-9])(?=[a-z])")
_SIGNS_BEFORE: Final = "@$!+|"
_MIN_LEET: Final = 4
"""The least length of a word in leetspeak that is not among the known words."""
_LEET: Final = str.maketrans("0134578@$!|+", "oieastbasiit")
_LEET_TOO: Final = str.maketrans("0134569@$!|+7", "oleasggaslltt")


class Leetspeak:
    """
    Replaces tokens of letters, digits and signs by the words that they stand for.

    Args:
        known: Words that are found in leetspeak.
        english: Whether frequent English words are found as well.
    """

    def __init__(self, known: Container[str], *, english: bool) -> None:
        self._known = known
        self._english = english

    def undo(self, token: re.Match[str]) -> str:  # noqa: PLR0911  (one for each kind of token)
        """Return the word that a token stands for; if there is none, the words of its parts."""
        word = token[0].rstrip("!|+")
        rest = token[0][len(word) :]
        if not _LETTER.search(word) or word in self._known:
            return token[0]
        plain = self._plain(word)
        if _NUMBER_WITH_UNIT.fullmatch(word):
            if plain and _MOSTLY_LETTERS.fullmatch(word):
                return plain + rest
            return _apart(word) + rest
        if plain:
            return plain + rest
        if word[0] in _SIGNS_BEFORE:
            return " " + self._undo_part(word.lstrip(_SIGNS_BEFORE)) + rest
        if _ENDS_IN_SIGNS.fullmatch(word):
            return _apart(word) + rest
        if _SIGN_INSIDE.search(word):
            return " ".join(self._undo_part(part) for part in re.split(r"[!|+]+", word)) + rest
        return word.translate(_LEET) + rest

    def _undo_part(self, part: str) -> str:
        found = MIXED_TOKEN.fullmatch(part)
        return self.undo(found) if found and found[0] else part

    def _plain(self, word: str) -> str | None:
        """Return the plain form of a word in leetspeak; None if it is no word."""
        for table in (_LEET, _LEET_TOO):
            plain = word.translate(table)
            if plain in self._known:
                return plain
            if self._english and len(plain) >= _MIN_LEET and plain.isalpha() and is_frequent(plain):
                return plain
        return None


def _apart(word: str) -> str:
    """Separate letters and digits, but keep a number and its unit together."""
    return word if _AMOUNT.fullmatch(word) else _BETWEEN_KINDS.sub(" ", word)
