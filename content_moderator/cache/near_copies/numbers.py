"""Decides whether two numbers can be exchanged without changing the meaning of a text."""

import re
from collections.abc import Container, Sequence
from typing import Final

from content_moderator.text.dictionary import word_set
from content_moderator.text.normalization import normalise

MAX_RATIO: Final = 2.0
"""How many times as large the number of a thing, or of harmless things, may be as the one it stands for."""

MAX_RATIO_OF_AMOUNTS: Final = 1.5
"""The same for minutes, degrees and grams: of these much more can harm."""

MAX_RATIO_OF_ANY: Final = 1.05
"""The same for numbers of four figures and more, whatever they count; years are told apart."""

_TWO: Final = 2
_YEARS: Final = range(1850, 2101)

_CODE_FIGURES: Final = 4
"""From so many on another number of as many figures is but another code."""

_TELLING: Final = frozenset(
    {"0", "18", "28", "41", "66", "69", "88", "109", "110", "187", "271", "311", "420", "666", "911", "1312"}
)
"""Numbers that stand for a slogan, a crime or nothing at all."""

_TELLING_INSIDE: Final = re.compile(r"1488|8814|1350|1352|1889|271301")
"""The same, in whatever longer number."""

_TELLING_THEN: Final = frozenset({"13", "14", "41", "50", "52", "88"})
"""The same, beside a sign or a share."""

_NUMBERED: Final = word_set(
    """
    aisle apartment bay bed berth booking box bus cabin carriage case chapter channel coach counter court
    desk episode exit extension flight folder game gate invoice item lane lesson line locker lot order page
    parcel platform player post press quay question receipt reference ref room route row score seat season
    shelf shipment shop slide slot stall stand station stop suite table tariff team terminal ticket track
    train tram tray version warehouse wave window won
    """
)
"""What numbers name, before the number: it may be any, and the thing stays a thing."""

_NUMBERED_IN_ONE: Final = ("report", "page", "room", "file", "image", "photo")
"""The same, with no space between: "report21"."""

_CODES: Final = word_set("code codes number numbers pin id with nr no reference phone call tel")
"""What a long number is a code for."""

_BETWEEN: Final = frozenset({"no", "number", "#", ".", "is", "of", "was"})
"""What may stand between a thing and its number."""

_UP_TO: Final = frozenset({"to", "-", "-~", ":~", "and"})

_BY_THE_CLOCK: Final = word_set(
    "opens closes starts begins ends leaves departs arrives open start begin end close"
)
"""With "at" before a number of hours."""

_MONTHS: Final = word_set("february may june august")
"""Of whose days none is known for a crime or a slogan."""

_COUNTED: Final = word_set(
    """
    apples bags bikes boats books bottles boxes buses cakes cars cents chairs coins cups dollar dollars eggs
    emails entries episodes euro euros followers gb goals guests items km kilometres kilometers letters
    litres mb messages metres meters miles pages paintings pence photos pictures pieces plants plates points
    pound pounds recipes rooms seats songs square stars stations steps tables tb tickets towels trees videos
    visitors votes yen
    """
)
"""What is counted, after the number: of these more or less harms nobody."""

_AMOUNTS: Final = word_set("minute minutes hour hours degrees grams watts")

_NUMERALS: Final = word_set("hundred thousand million billion year years of")
"""What makes another number, or an age, of the one before it."""

_COUNTED_HARM: Final = re.compile(
    r"(?:pill|tablet|capsule|dos(?:e|age|ing)|overdos|insulin|paracetamol|acetaminophen|ibuprofen|aspirin"
    r"|tylenol|xanax"
    r"|vodka|whisk|wine|beer|shots?$|drink|drank|drunk|jump(?:ed|ing)?$|fall(?:en|ing)?$|calori|weigh|roof|reason"
    r"|bleach|poison|eat|ate$|eaten|swallow|girls?$|boys?$|kids?$|child|teen|minor|born|birth|clean$|sober$)"
    r"|(?:mg|mcg|kcal|kgs?|lbs?)$"
)

_BESIDE_SLOGANS: Final = frozenset({"/", ":", ":~", "%", "percent", "-~"})
"""Dates, verses, shares and fractions have them: "9/11", "20:13", "13 %"."""

_TIMED_HARM: Final = re.compile(
    r"awake|asleep|sleep|slept|breath|bab(?:y|ies)|dogs?$|cats?$|engine|garage|fast(?:ing|ed)?$|starv|alone|water"
)
"""Where this is in a text more minutes or degrees are not the same."""

_CURRENCY: Final = frozenset("$\u20ac\u00a3\u00a5")

_CODE: Final = re.compile(
    rf"(?P<lead>|{'|'.join(_NUMBERED_IN_ONE)}"
    r"|[a-z](?=[0-9]{2})|[a-z]{2}(?=[0-9]{3}))(?P<number>[0-9]+)(?P<tail>(?:[a-z]{1,3})?)"
)
"""Few letters beside a number; more, or more mixed, could be read as a word with digits for letters."""


def is_number(token: str) -> bool:
    """Return whether a token is a number in figures."""
    return token.isascii() and token.isdigit()


def numbers_in(before: str, after: str) -> tuple[str, str] | None:
    """
    Return the numbers in which two tokens differ; None if they differ in anything else.

    For example "2" and "3" differ in these, "30gb" and "32gb" in 30 and 32; but "a55" may be read as a word.
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
    """Return whether figures stand for letters in a token."""
    return normalise(token).replace(" ", "") != token


def numbers_alike(before: str, after: str, tokens: Sequence[str], place: int) -> bool:
    """
    Return whether a number may stand for another without changing what a text says.

    Only if what stands beside it is known: a thing that has a number, a time by the clock, or an amount of
    what harms nobody. Then amounts may be up to ``MAX_RATIO`` times as large.

    Args:
        before: The number in the one text.
        after: In the other.
        tokens: The words and signs of the one text.
        place: Of the number among these.
    """
    words = [token.lower() for token in tokens]
    if _is_telling(before, words, place) or _is_telling(after, words, place):
        return False
    if place >= _TWO and words[place - 1] in {".~", ":~"} and words[place - _TWO].isdigit():
        # Of a fraction, or the minutes of an hour, the whole counts.
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
    """Return whether a number says how many minutes, degrees or grams, of what does no harm by that."""
    return not any(map(_TIMED_HARM.match, words)) and _is_counted(words, place, _AMOUNTS)


def _is_known(words: Sequence[str], place: int) -> bool:
    """Return whether what a number stands beside is known to be harmless."""
    return _names_a_thing(words, place) or _is_time(words, place) or _is_counted(words, place, _COUNTED)


def _is_code(words: Sequence[str], place: int) -> bool:
    """Return whether a long number is a code: behind a word for one, or the end of a telephone number."""
    before = [word for word in words[max(0, place - 4) : place] if word not in _BETWEEN - _CODES]
    return _names_a_thing(words, place) or before[-1:] == ["-~"] or not _CODES.isdisjoint(before[-1:])


def _is_counted(words: Sequence[str], place: int, units: Container[str]) -> bool:
    """Return whether a number says how many there are of what is harmless, and nothing in the text harms."""
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
