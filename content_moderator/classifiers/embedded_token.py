"""What the embedded model reads: the words of a text, and the same words by class."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from content_moderator.core.text import words_of

GROUP_MARK: Final = "§"
"""Stands for any word for a group of people, so that no group's name is evidence by itself."""

NEGATION_REACH: Final = 3
"""How many words after a negator count as negated."""

Lexicon = Mapping[str, str]
"""From word to the name of its class."""


class Tokens(NamedTuple):
    """
    One text as its two streams of tokens.

    Args:
        words: Its words, with one mark in the place of each name of a group.
        classes: Its words by class, negation marked; "gay people" is one token.
        places: Index of the first word that each token of *classes* stands for.
    """

    words: list[str]
    classes: list[str]
    places: list[int]


def tokens_of(normalised: str, lexicon: Lexicon) -> Tokens:
    """
    Read a text that `content_moderator.core.text.normalise` has been through.

    For example, the classes of "we do not hate gay people here" are "we do not !<aversion> !§ here".
    """
    found = words_of(normalised)
    kinds = [lexicon.get(word, "") for word in found]
    words = [GROUP_MARK if kind == "group" else word for word, kind in zip(found, kinds, strict=True)]
    classes: list[str] = []
    places: list[int] = []
    negated = 0
    after_group = False
    for place, (word, kind) in enumerate(zip(found, kinds, strict=True)):
        group = kind in _GROUPS
        if after_group and (group or kind == "people"):
            continue
        after_group = group
        places.append(place)
        if kind == "negator":
            negated = NEGATION_REACH
            classes.append(word)
            continue
        token = GROUP_MARK if group else f"<{kind}>" if kind and kind != "people" else word
        classes.append(f"!{token}" if negated else token)
        negated = max(0, negated - 1)
    return Tokens(words, classes, places)


_GROUPS: Final = frozenset({"group", "gender"})
