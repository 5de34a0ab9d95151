"""Tells whether a number may stand for another without changing what a text says."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from content_moderator.cache.dictionary import word_set
from content_moderator.core.text import normalise

ADULT_AGE: Final = 18
_AGE_FIGURES: Final = 2

_TELLING: Final = frozenset({"0", "69", "88", "109", "110", "187", "271", "311", "1350", "1352", "1488"})
"""Numbers that stand for a slogan, a crime or nothing at all."""

_TELLING_BEFORE: Final = frozenset({"%", "/", "percent", "words"})
"""What makes a slogan of the number before it, if that is one of the next."""

_TELLING_THEN: Final = frozenset({"13", "14", "41", "50", "52"})

_SLOGANS: Final = ("9/11", "7/7", "1/6", "13/", "/88", "/50", "/52", "/90")

_COUNTED_HARM: Final = re.compile(
    r"(?:pill|tablet|capsule|dos(?:e|age|ing)|overdos|insulin|paracetamol|acetaminophen|ibuprofen|aspirin|tylenol|xanax"
    r"|vodka|whisk|beer|shots?$|drink|jump(?:ed|ing)?$|fall(?:en|ing)?$|calori|weigh|floor|storey|stories|roof|reason"
    r"|born|birth|clean$|sober$)|(?:mg|mcg|kcal|kgs?|lbs?|pounds)$"
)
_AGE_BESIDE: Final = frozenset({"yo", "y", "yr", "yrs", "f", "m"})
"""An age may be written in one with these, before or behind it: "15yo", "f15"."""

_COUNTED: Final = word_set(
    """
    second seconds minute minutes hour hours day days week weeks month months percent euro euros dollar
    dollars pound cent cents pence yen mile miles km kilometre kilometres kilometer kilometers metre
    metres meter meters cm mm litre litres degrees watts volts mb gb tb page pages people guests
    visitors chairs seats ticket tickets box boxes bottle bottles bag bags item items piece pieces point
    points goal goals station stations rooms photos pictures songs videos emails messages cakes apples
    eggs trees boats cars bikes buses followers entries
    """
)
"""What a number of two figures may count, and is no age then, when one of these comes next."""

_NUMBERED: Final = word_set(
    """
    number room bus line tram train platform gate page chapter code table track game season episode
    version channel seat row apartment route exit wave invoice ticket
    """
)
"""The same for what comes before."""

_CODE: Final = re.compile(
    r"(?P<lead>|[a-z](?=[0-9]{2})|[a-z]{2}(?=[0-9]{3}))(?P<number>[0-9]+)(?P<tail>(?:[a-z]{1,3})?)"
)
"""Few letters beside a number; more, or more mixed, could be read as a word with digits for letters."""

_MONEY_OR_SHARE: Final = frozenset("$\u20ac\u00a3\u00a5%#")


def is_number(token: str) -> bool:
    """Tell whether a token is a number in figures."""
    return token.isascii() and token.isdigit()


def numbers_in(before: str, after: str) -> tuple[str, str] | None:
    """
    Give the numbers in which two tokens differ; None if they differ in anything else.

    For example "2" and "3" differ in these, "30gb" and "32gb" in 30 and 32; but "a55" may be read as a word.
    """
    if is_number(before) and is_number(after):
        return before, after
    parts = _CODE.fullmatch(before), _CODE.fullmatch(after)
    if not (parts[0] and parts[1]) or before != normalise(before) or after != normalise(after):
        return None
    if (parts[0]["lead"], parts[0]["tail"]) != (parts[1]["lead"], parts[1]["tail"]):
        return None
    return parts[0]["number"], parts[1]["number"]


def numbers_alike(before: str, after: str, old: Sequence[str], new: Sequence[str]) -> bool:
    """
    Tell whether a number may stand for another without changing what a text says.

    Not if one is nothing or a code, if the one may be the age of a child and the other that of an adult, or
    if the texts count what harms: pills, storeys, weights.

    Args:
        before: The number in the one text.
        after: In the other.
        old: The words of the one text.
        new: Of the other.
    """
    if _is_telling(before, old) or _is_telling(after, new) or _slogans(old) != _slogans(new):
        return False
    if any(_COUNTED_HARM.match(word) for word in old):
        return False
    minor = [int(number) < ADULT_AGE for number in (before[:9], after[:9])]
    return minor[0] == minor[1] or not (_may_be_age(before, old) or _may_be_age(after, new))


def _is_telling(number: str, tokens: Sequence[str]) -> bool:
    plain = number.lstrip("0") or "0"
    followed = {behind for token, behind in pairwise(tokens) if token == number}
    return plain in _TELLING or (plain in _TELLING_THEN and not followed.isdisjoint(_TELLING_BEFORE))


def _slogans(tokens: Sequence[str]) -> list[bool]:
    written = "".join(tokens)
    return [slogan in written for slogan in _SLOGANS]


def _may_be_age(number: str, tokens: Sequence[str]) -> bool:
    """Tell whether a number may be an age, wherever it stands: unless what is beside it says otherwise."""
    if len(number) > _AGE_FIGURES:
        return False
    padded = ["", *tokens, ""]
    for before, token, behind in zip(padded, tokens, padded[2:], strict=False):
        if token == number:
            counts = behind in _COUNTED or before in _NUMBERED or is_number(before) or is_number(behind)
            if not counts and _MONEY_OR_SHARE.isdisjoint({before, behind}):
                return True
        elif token.replace(number, "", 1) in _AGE_BESIDE:
            return True
    return False
