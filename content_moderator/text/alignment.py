"""Maps positions in the cleaned text to positions in the text as sent."""

import unicodedata
from collections.abc import Iterator

from content_moderator.text.cleaning import clean, visible_places, with_gaps


def origins_of_clean(text: str) -> list[int]:
    """
    Return the positions of the characters of ``clean(text)`` in *text*.

    Returns:
        The position of each character of the cleaned text, and at the end that after the last one.
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
        # The normal form changed characters across pieces in an unknown way: only the range is known.
        return [0] * len(cleaned) + [len(text)]
    last = first + len(cleaned)
    return [*origins[first:last], ends[last - 1] if cleaned else 0]


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Split a text where normal forms never join characters: before letters, not before marks."""
    begin = 0
    for index, character in enumerate(text):
        if index and (character.isascii() or not _attaches(text[index - 1], character)):
            yield begin, text[begin:index]
            begin = index
    yield begin, text[begin:]


def _attaches(before: str, character: str) -> bool:
    return unicodedata.combining(character) > 0 or not unicodedata.is_normalized("NFC", before + character)
