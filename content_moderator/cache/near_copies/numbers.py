"""Decides whether two numbers can be exchanged without changing the meaning of a text."""

import re
from collections.abc import Container, Sequence
from typing import Final

from content_moderator.text.dictionary import word_set
from content_moderator.text.normalization import normalise

MAX_RATIO: Final = 2.0
"""The largest factor between two amounts of harmless things that can be exchanged."""

MAX_RATIO_OF_AMOUNTS: Final = 1.5
"""The same for minutes, degrees and grams, of which a larger amount can be harmful."""

MAX_RATIO_OF_ANY: Final = 1.05
"""The same for numbers of four digits and more, which can be years."""

_TWO: Final = 2
_YEARS: Final = range(1850, 2101)

_CODE_FIGURES: Final = 4
"""From this number of digits on, a number is a code and can be exchanged with one of the same length."""

_TELLING: Final = frozenset(
    {"0", "18", "28", "41", "66", "69", "88", "109", "110", "187", "271", "311", "420", "666", "911", "1312"}
)
"""Numbers that stand for a slogan or a crime, and 0."""

_TELLING_INSIDE: Final = re.compile(r"1488|8814|1350|1352|1889|271301")
"""The same, also inside longer numbers."""

_TELLING_THEN: Final = frozenset({"13", "14", "41", "50", "52", "88"})
"""The same, next to a sign or a percentage."""

_NUMBERED: Final = word_set(
    """
    aisle apartment bay bed berth booking box bus cabin carriage case chapter channel coach counter court
    desk episode exit extension flight folder game gate invoice item lane lesson line locker lot order page
    parcel platform player post press quay question receipt reference ref room route row score seat season
    shelf shipment shop slide slot stall stand station stop suite table tariff team terminal ticket track
    train tram tray version warehouse wave window won
    """
)
"""Words before a number that is only a name: any other number is as harmless."""

_NUMBERED_IN_ONE: Final = ("report", "page", "room", "file", "image", "photo")
"""The same, with no space between: "report21"."""

_CODES: Final = word_set("code codes number numbers pin id with nr no reference phone call tel")
"""Words before a long number that is a code."""

_BETWEEN: Final = frozenset({"no", "number", "#", ".", "is", "of", "was"})
"""Words that can stand between such a word and its number."""

_UP_TO: Final = frozenset({"to", "-", "-~", ":~", "and"})

_BY_THE_CLOCK: Final = word_set(
    "opens closes starts begins ends leaves departs arrives open start begin end close"
)
"""With "at" before it, these make a number a time of day."""

_MONTHS: Final = word_set("february may june august")
"""Months without a day that is known for a crime or a slogan."""

_COUNTED: Final = word_set(
    """
    apples bags bikes boats books bottles boxes buses cakes cars cents chairs coins cups dollar dollars eggs
    emails entries episodes euro euros followers gb goals guests items km kilometres kilometers letters
    litres mb messages metres meters miles pages paintings pence photos pictures pieces plants plates points
    pound pounds recipes rooms seats songs square stars stations steps tables tb tickets towels trees videos
    visitors votes yen
    """
)
"""Words after a number that counts them: any amount of these is harmless."""

_AMOUNTS: Final = word_set("minute minutes hour hours degrees grams watts")

_NUMERALS: Final = word_set("hundred thousand million billion year years of")
"""Words that make the number before them another number, or an age."""

_COUNTED_HARM: Final = re.compile(
    r"(?:pill|tablet|capsule|dos(?:e|age|ing)|overdos|insulin|paracetamol|acetaminophen|ibuprofen|aspirin"
    r"|tylenol|xanax"
    r"|vodka|whisk|wine|beer|shots?$|drink|drank|drunk|jump(?:ed|ing)?$|fall(?:en|ing)?$|calori|weigh|roof|reason"
    r"|bleach|poison|eat|ate$|eaten|swallow|girls?$|boys?$|kids?$|child|teen|minor|born|birth|clean$|sober$)"
    r"|(?:mg|mcg|kcal|kgs?|lbs?)$"
)

_BESIDE_SLOGANS: Final = frozenset({"/", ":", ":~", "%", "percent", "-~"})
"""Signs in dates, verses, percentages and fractions: "9/11", "20:13", "13 %"."""

_TIMED_HARM: Final = re.compile(
    r"awake|asleep|sleep|slept|breath|bab(?:y|ies)|dogs?$|cats?$|engine|garage|fast(?:ing|ed)?$|starv|alone|water"
)
"""If a text has one of these, amounts of minutes or degrees cannot be exchanged."""

_CURRENCY: Final = frozenset("$\u20ac\u00a3\u00a5")

_CODE: Final = re.compile(
    rf"(?P<lead>|{'|'.join(_NUMBERED_IN_ONE)}"
    r"|[a-z](?=[0-9]{2})|[a-z]{2}(?=[0-9]{3}))(?P<number>[0-9]+)(?P<tail>(?:[a-z]{1,3})?)"
)
"""A few letters next to a number. More letters, or mixed ones, could be a word in leetspeak."""


def is_number(token: str) -> bool:
    """Return whether a token is a number in digits."""
    return token.isascii() and token.isdigit()


def numbers_in(before: str, after: str) -> tuple[str, str] | None:
    """
    Return the numbers in which two tokens differ; None if they differ in anything else.

    "2" and "3" differ in 2 and 3; "30gb" and "32gb" differ in 30 and 32; "a55" can be a word.
    """
    if is_number(before) and is_number(after):
        return before, after
    parts = _CODE.fullmatch(before), _CODE.fullmatch(after)
    if not (parts[0] and parts[1]) or _hides_a_word(before) or _hides_a_word(after):
        return None
    if (parts[0]["lead"], parts[0]["tail"]) != (parts[1]["lead"], parts[1]["tail"]):
        return None
    return parts[0]["number"], parts[1]["number"]


def _hides_a_word(token: str) -> bool:
    """Return whether digits stand for letters in a token."""
    return normalise(token).replace(" ", "") != token


def numbers_alike(before: str, after: str, tokens: Sequence[str], place: int) -> bool:
    """
    Return whether a number can be exchanged for another without changing the meaning of the text.

    That requires known words next to it: a thing with a number, a time of day, or an amount of something
    harmless. Amounts can be up to ``MAX_RATIO`` times as large.

    Args:
        before: The number in the first text.
        after: The number in the second text.
        tokens: The words and signs of the first text.
        place: Index of the number among them.
    """
    words = [token.lower() for token in tokens]
    if _is_telling(before, words, place) or _is_telling(after, words, place):
        return False
    if place >= _TWO and words[place - 1] in {".~", ":~"} and words[place - _TWO].isdigit():
        # A fraction, or a time with minutes, is compared as a whole.
        hour = words[place - 1] == ":~" and words[max(0, place - 3) : place - _TWO] == ["at"]
        whole = words[place - 1] == ".~" and _is_known(words, place - _TWO)
        return hour or whole
    one, other = sorted((int(before[:12]), int(after[:12])))
    return (
        (len(before) == len(after) >= _CODE_FIGURES and _is_code(words, place))
        or (other <= MAX_RATIO * one and _is_known(words, place))
        or (len(before) >= _CODE_FIGURES and other <= MAX_RATIO_OF_ANY * one and one not in _YEARS)
        or (other <= max(MAX_RATIO_OF_AMOUNTS * one, one + _TWO) and _is_amount(words, place))
    )


def _is_amount(words: Sequence[str], place: int) -> bool:
    """Return whether a number is an amount of minutes, degrees or grams that does no harm."""
    return not any(map(_TIMED_HARM.match, words)) and _is_counted(words, place, _AMOUNTS)


def _is_known(words: Sequence[str], place: int) -> bool:
    """Return whether the words next to a number are known to be harmless."""
    return _names_a_thing(words, place) or _is_time(words, place) or _is_counted(words, place, _COUNTED)


def _is_code(words: Sequence[str], place: int) -> bool:
    """Return whether a long number is a code: after a word for one, or at the end of a telephone number."""
    before = [word for word in words[max(0, place - 4) : place] if word not in _BETWEEN - _CODES]
    return _names_a_thing(words, place) or before[-1:] == ["-~"] or not _CODES.isdisjoint(before[-1:])


def _is_counted(words: Sequence[str], place: int, units: Container[str]) -> bool:
    """Return whether a number counts harmless things, in a text without anything harmful."""
    digits = words[place]
    behind = [digits.lstrip("0123456789"), *words[place + 1 : place + 5]]
    if len(behind) > _TWO and behind[1] == ".~":
        del behind[1:3]
    if behind[1:2] == ["%"]:
        behind = behind[_TWO:] if behind[_TWO : _TWO + 1] == ["off"] else []
        units = {"off"}
    if not _NUMERALS.isdisjoint(behind[1:2]) or any(map(_COUNTED_HARM.match, words)):
        return False
    return any(word in units for word in behind[:3]) or not _CURRENCY.isdisjoint(
        words[max(0, place - 1) : place]
    )


def _names_a_thing(words: Sequence[str], place: int) -> bool:
    """Return whether a number names a thing: "room 12", "order no. 4711", "score 2 to 1"."""
    at = place - 1
    while at >= 0 and words[at] in _BETWEEN:
        at -= 1
    if at >= 1 and words[at] in _UP_TO and words[at - 1].isdigit():
        # A score has two numbers.
        return _names_a_thing(words, at - 1)
    before = words[max(0, place - _TWO) : place]
    if words[place].rstrip("0123456789") in _NUMBERED_IN_ONE or before == ["table", "for"]:
        return True
    if before[:1] == ["on"] and before[1] in _MONTHS:
        return True
    return at >= 0 and words[at] in _NUMBERED and words[place + 1 : place + 2] not in ([":~"], ["-~"])


def _is_time(words: Sequence[str], place: int) -> bool:
    before = words[max(0, place - 2) : place]
    return before[-1:] == ["before"] or (before[-1:] == ["at"] and not _BY_THE_CLOCK.isdisjoint(before))


def _is_telling(number: str, tokens: Sequence[str], place: int) -> bool:
    plain = number.lstrip("0") or "0"
    beside = {*tokens[max(0, place - 1) : place], *tokens[place + 1 : place + 2]}
    signed = not _BESIDE_SLOGANS.isdisjoint(beside)
    if _TELLING_INSIDE.search(plain) or ("despite" in tokens and plain in _TELLING_THEN):
        return True
    return plain in _TELLING or (signed and (plain in _TELLING_THEN or "/" in beside))
