"""What changed between two nearly equal texts, in words; and which changes leave the meaning alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rapidfuzz.distance import Levenshtein

from content_moderator.cache.dictionary import in_dictionary
from content_moderator.core.text import normalise

_TOKEN: Final = re.compile(r"[\w']+|[^\s\w]")
_PUNCTUATION: Final = frozenset(
    ".,;:!?\"'()[]{}-\u2013\u2014\u2026\u00ab\u00bb\u201c\u201d\u201e\u00bf\u00a1\u2022"
)
_GLUE: Final = frozenset(".-'")
"""Between two letters these may be part of a word that is written to be overlooked."""

_LEADING: Final = frozenset("!")
"""Before a letter this may be one."""

_LEAD: Final = re.compile(
    r"(?:(?:hi|hello|hey|hiya|howdy|greetings|dear|please|good (?:morning|afternoon|evening|day))"
    r"(?: (?:there|all|everyone|everybody|folks|team|friends|again))* )+"
)
_TAIL: Final = re.compile(
    r"(?: (?:(?:many )?thanks|thank you|(?:(?:best|kind) )?regards|cheers|bye|goodbye|please|pls|thx|ty))+$"
)


@dataclass(frozen=True, slots=True)
class Change:
    """
    One place where two texts differ.

    Args:
        removed: Words and signs of the one that the other does not have.
        added: Those of the other.
        is_greeting: Whether all of them belong to a greeting or a farewell.
    """

    removed: tuple[str, ...]
    added: tuple[str, ...]
    is_greeting: bool

    @property
    def words(self) -> list[str]:
        """All of them, as the embedded model would read them."""
        return [normalise(word) for word in (*self.removed, *self.added)]

    @property
    def is_apostrophe(self) -> bool:
        """Whether nothing but an apostrophe was forgotten: "dont", but not "hell" for "he'll"."""
        bare = [token.replace("'", "") for token in self.removed]
        same = bare == [token.replace("'", "") for token in self.added]
        return same and not any(map(in_dictionary, bare))

    @property
    def words_that_may_weigh(self) -> list[str]:
        """Those of the words that say something, each by itself."""
        harmless = self.is_greeting or self.is_apostrophe
        return [] if harmless else [word for word in self.words if word.isalpha()]


def tokens_of(folded: str) -> list[str]:
    """
    Give the words of a folded text, and every sign that may mean something.

    Left out are white space and ordinary punctuation, unless it stands where it could be part of a word:
    "$hit", "f*ck", "pen-is" and "!diot" have signs that count.
    """
    found = []
    for match in _TOKEN.finditer(folded):
        token, begin, end = match[0], *match.span()
        before, behind = folded[begin - 1 : begin].isalnum(), folded[end : end + 1].isalnum()
        if token not in _PUNCTUATION:
            found.append(token if len(token) == 1 else token.strip("'") or token)
        elif (token in _GLUE and before and behind) or (token in _LEADING and behind and not before):
            found.append(token)
    return found


def changes(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    """Find where two lists of words differ."""
    lead = _lead(old), _lead(new)
    tail = len(old) - _tail(old), len(new) - _tail(new)
    for edit in Levenshtein.opcodes(old, new):
        if edit.tag == "equal":
            continue
        spans = (edit.src_start, edit.src_end), (edit.dest_start, edit.dest_end)
        greeting = all(
            begin == end or end <= lead[side] or begin >= tail[side]
            for side, (begin, end) in enumerate(spans)
        )
        (begin, end), (first, behind) = spans
        yield Change(tuple(old[begin:end]), tuple(new[first:behind]), greeting)


def _lead(tokens: Sequence[str]) -> int:
    """Count the words of the greeting at the beginning."""
    found = _LEAD.match(" ".join(tokens[:12]) + " ")
    return found[0].count(" ") if found else 0


def _tail(tokens: Sequence[str]) -> int:
    """Count the words of the farewell at the end."""
    found = _TAIL.search(" " + " ".join(tokens[-12:]))
    return found[0].count(" ") if found else 0
