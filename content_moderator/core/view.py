"""What a person reads in a text whose words are disguised."""

from content_moderator.core.alignment import places_of_words
from content_moderator.core.text import normalise


def plain_view(text: str) -> str | None:
    """
    Undo the disguises of a text, and leave all else as it is.

    Every word that `normalise` reads otherwise than it is written is put in its place as read: letters of
    other scripts that look Latin, full-width letters, invisible characters, accents, leetspeak, spaced and
    stretched letters.

    Args:
        text: A cleaned text.
    Returns:
        The text with plain words, their case kept as far as it can be told; None if nothing was disguised.
    """
    if text.isascii() and normalise(text) == text.lower():
        return None
    written: list[str] = []
    done = 0
    for word, begin, end in places_of_words(text):
        shown = text[begin:end]
        if begin < done or shown.lower() == word:
            continue
        written += [text[done:begin], _in_case_of(shown, word)]
        done = end
    return "".join([*written, text[done:]]) if written else None


def _in_case_of(shown: str, word: str) -> str:
    letters = [character for character in shown if character.isalpha()]
    if len(letters) > 1 and all(letter.isupper() for letter in letters):
        return word.upper()
    return word.capitalize() if letters and letters[0].isupper() else word
