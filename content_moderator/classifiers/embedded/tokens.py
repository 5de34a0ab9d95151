"""The tokens of the embedded model: the words of a text, and the classes of the words."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from content_moderator.text.dictionary import word_set

GROUP_MARK: Final = "§"
"""Replaces every word for a group of people, so that the name of a group is no evidence by itself."""

NEGATION_REACH: Final = 3
"""The number of words after a negator that count as negated."""

Lexicon = Mapping[str, str]
"""The name of the class of each word."""


class Tokens(NamedTuple):
    """
    The two streams of tokens of one text.

    Args:
        words: The words, with one mark for each name of a group.
        classes: The classes of the words, with negations marked; "gay people" is one token.
        places: Index of the first word of each token of *classes*.
        about: Marks for the people the text is about: the addressee, the speaker, a group.
    """

    words: list[str]
    classes: list[str]
    places: list[int]
    about: tuple[bool, bool, bool]


def tokens_of(found: Sequence[str], lexicon: Lexicon) -> Tokens:
    """
    Return the tokens of normalized words.

    For example, the classes of "we do not hate gay people here" are "we do not !<aversion> !§ here".
    """
    kinds = [lexicon.get(word, "") for word in found]
    known = set(found)
    about = (not known.isdisjoint(_YOU), not known.isdisjoint(_ME), not _GROUPS.isdisjoint(kinds))
    if not any(kinds):
        # Most parts of texts have no such words.
        return Tokens([*found], [*found], [*range(len(found))], about)
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
    return Tokens(words, classes, places, about)


_YOU: Final = word_set("you your yours yourself yourselves you're you've you'll you'd ur u thou")
_ME: Final = word_set("i me my mine myself i'm i've i'll i'd im")
_GROUPS: Final = frozenset({"group", "gender"})
