"""Finds the changed words between two nearly equal texts, and the changes that do not matter."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rapidfuzz.distance import Levenshtein

from content_moderator.text.dictionary import word_set
from content_moderator.text.normalization import normalise

_TOKEN: Final = re.compile(r"[\w']+|[^\s\w]")

_SIGNS: Final = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u2018\u2019\u201a", '"'),
        **dict.fromkeys("\u2013\u2014\u2012\u2015", "-"),
    }
)
"""Maps all quotation marks to one sign, and all dashes to one."""

_KINDS: Final = {"!": ".", ";": ","}
"""Signs with the same meaning. Colons and dashes are not among them, because they introduce what follows."""

_PAUSES: Final = frozenset({".", ","})

_EXCHANGED: Final = (_PAUSES, frozenset({",", "-"}))
"""Pauses that can replace each other."""

_OPENERS: Final = word_set("well oh so yes wow ah anyway however also")
"""At the beginning of a text, a pause after these words can be added or removed."""

_TITLES: Final = re.compile(r"(?:one more thing|next stop|(?:a )?(?:note|reminder)|ps|fyi) ")
"""At the beginning of a text, a colon after these words can be added or removed."""

_JOINERS: Final = word_set("and but so")
"""Before these words a pause can be added or removed."""

_ASKING: Final = word_set("are is did can could")
"""A text that begins with one of these is a question, even without a question mark."""

_AT_THE_END: Final = frozenset(".,:-\u2022")
"""Signs without a meaning at the end of a text; a question mark has one."""

_GLUE: Final = frozenset(".-':!")
"""Between two letters or digits, these belong to a word, a number, or a disguised word."""

_LEADING: Final = frozenset("!")
"""Before a letter, this can stand for a letter."""

_WORDS_OF_GREETING: Final = (
    r"(?:hi|hello|hey|hiya|howdy|greetings|dear|please|thanks|thank you"
    r"|good (?:morning|afternoon|evening|day))"
    r"(?: (?:there|all|everyone|everybody|folks|team|friends|again))*"
)
_LEAD: Final = re.compile(rf"(?:{_WORDS_OF_GREETING}(?: [.,])? )+")
_TAIL: Final = re.compile(
    r"(?:(?: [.,?])? (?:(?:many )?thanks(?: in advance)?|thank you|(?:(?:best|kind) )?regards|cheers|bye"
    r"|goodbye|please|pls|thx|ty|sorry))+(?: \?)?$"
)
FAREWELLS: Final = frozenset({"bye", "goodbye", "goodby", "farewell", "adieu", "cheerio", "ciao"})
"""Never equal to a greeting or thanks: a farewell can announce a suicide."""

_CONTRACTIONS: Final = word_set(
    """
    dont doesnt didnt isnt arent wasnt werent cant couldnt wouldnt shouldnt wont havent hasnt hadnt mustnt im
    ive youre youve theyre theyve weve thats whats heres theres wheres lets youll theyll itll thatll youd
    theyd
    """
)
"""Words that do not become another word without their apostrophe."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    One difference between two texts.

    Args:
        removed: Words and signs of the first text that the second does not have.
        added: Words and signs of the second text that the first does not have.
        is_greeting: Whether all of them belong to a greeting at the beginning or to thanks at the end.
        place: Index of the difference among the words and signs of the first text.
        is_idle: Whether it is a pause without a meaning, provided that no other pause has changed.
    """

    removed: tuple[str, ...]
    added: tuple[str, ...]
    is_greeting: bool
    place: int = 0
    is_idle: bool = False

    @property
    def words(self) -> list[str]:
        """The normalized words of both texts."""
        return [normalise(word) for word in (*self.removed, *self.added)]

    @property
    def is_farewell(self) -> bool:
        """Whether one of the texts has a farewell here."""
        return not FAREWELLS.isdisjoint((*self.removed, *self.added))

    @property
    def has_signs(self) -> bool:
        """Whether punctuation differs."""
        return any(map(is_sign, (*self.removed, *self.added)))

    @property
    def is_case(self) -> bool:
        """Whether only capitals differ."""
        return list(map(str.lower, self.removed)) == list(map(str.lower, self.added))

    @property
    def is_apostrophe(self) -> bool:
        """Whether only an apostrophe is missing: "dont", but not "hell" for "he'll"."""
        bare = [token.replace("'", "").lower() for token in self.removed]
        same = bare == [token.replace("'", "").lower() for token in self.added]
        return same and _CONTRACTIONS.issuperset(bare)


def is_sign(token: str) -> bool:
    """Return whether a token is punctuation or another sign."""
    return not any(map(str.isalnum, token))


def tokens_of(folded: str) -> list[str]:
    """
    Return the words of a folded text, and every sign that can have a meaning.

    A repeated sign counts once. At the end only question marks, brackets and quotation marks count. Signs
    between letters ("pen-is", "19:18", "!diot") differ from signs between words.
    """
    found: list[str] = []
    for match in _TOKEN.finditer(folded.translate(_SIGNS)):
        token, begin, end = match[0], *match.span()
        if len(token) > 1 or token.isalnum():
            found += _word_and_quotes(token)
            continue
        before, behind = folded[begin - 1 : begin].isalnum(), folded[end : end + 1].isalnum()
        if (token in _GLUE and before and behind) or (token in _LEADING and behind and not before):
            # A sign between letters differs from the same sign between words.
            found.append(f"{token}~")
        else:
            _add_sign(found, _KINDS.get(token, token))
    asks = False
    while found and (found[-1] in _AT_THE_END or found[-1] == "?"):
        asks = found.pop() == "?" or asks
    asks = asks and "".join(found[_lead(found) :][:1]).lower() not in _ASKING
    return [*found, *["?"] * asks]


def _add_sign(found: list[str], sign: str) -> None:
    if sign == "," and found[-1:] == ["."]:
        # Of "!," only the comma counts.
        found[-1] = sign
    elif found[-1:] != [sign]:
        found.append(sign)


def _word_and_quotes(token: str) -> Iterator[str]:
    """Separate quotation marks and plural apostrophes from the apostrophe inside a word."""
    bare = token.strip("'")
    if token.startswith("'"):
        yield "'"
    if bare:
        yield bare
        if token.endswith("'"):
            yield "'"


def changes(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    """Return the differences between two lists of words and signs."""
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
        idle = (
            {*old[begin:end], *new[first:behind]} in _EXCHANGED and end - begin == behind - first == 1
        ) or (_is_idle(old, begin, end) if first == behind else begin == end and _is_idle(new, first, behind))
        yield Change(tuple(old[begin:end]), tuple(new[first:behind]), greeting, begin, idle)


def _is_idle(tokens: Sequence[str], begin: int, end: int) -> bool:
    """Return whether the rest from *begin* on is only a pause that can be removed."""
    if tokens[begin:end] == [":"]:
        return _TITLES.fullmatch(" ".join(tokens[:begin]).lower() + " ") is not None
    if end - begin != 1 or tokens[begin] not in _PAUSES:
        return False
    joins = "".join(tokens[end : end + 1]).lower() in _JOINERS
    return joins or (begin == 1 and tokens[0].lower() in _OPENERS)


def _lead(tokens: Sequence[str]) -> int:
    """Return the number of words and signs of the greeting at the beginning."""
    found = _LEAD.match(" ".join(tokens[:12]).lower() + " ")
    return found[0].count(" ") if found else 0


def _tail(tokens: Sequence[str]) -> int:
    """Return the number of words and signs of the thanks at the end."""
    found = _TAIL.search(" " + " ".join(tokens[-12:]).lower())
    return found[0].count(" ") if found else 0
