"""Maps positions in the cleaned text to positions in the text as sent."""

import unicodedata
from collections.abc import Iterator

from content_moderator.text.cleaning import clean, visible_places, with_gaps


def origins_of_clean(text: str) -> list[int]:
    """
    Return where the characters of ``clean(text)`` stand in *text*.

    Returns:
        The place of each character of the cleaned text, and last the end of what it kept.
    """
    places = visible_places(text)
    gapped = with_gaps(text)
    shown = "".join(gapped[place] for place in places)
    composed, origins, ends = "", list[int](), list[int]()
    for begin, piece in _pieces(shown):
        part = unicodedata.normalize("NFC", piece)
        composed += part
        same = part == piece
        origins += places[begin : begin + len(part)] if same else places[begin : begin + 1] * len(part)
        ends += [places[min(begin + len(piece), len(places)) - 1] + 1 if places else 0] * len(part)
    cleaned = clean(text)
    first = composed.find(cleaned)
    if first < 0:
        # Normal forms that reach across pieces in a way that is not foreseen: all that is known is "inside".
        return [0] * len(cleaned) + [len(text)]
    last = first + len(cleaned)
    return [*origins[first:last], ends[last - 1] if cleaned else 0]


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Divide a text where normal forms do not reach across: before letters, not before marks."""
    begin = 0
    for index, character in enumerate(text):
        if index and (character.isascii() or not _attaches(text[index - 1], character)):
            yield begin, text[begin:index]
            begin = index
    yield begin, text[begin:]


def _attaches(before: str, character: str) -> bool:
    return unicodedata.combining(character) > 0 or not unicodedata.is_normalized("NFC", before + character)
