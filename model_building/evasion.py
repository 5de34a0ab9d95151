"""Ways to hide a violation: its words disguised, or harmless sentences around it."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from content_moderator.text.lookalike import confusables
from model_building.source import read_goemotions

MIN_LETTERS: Final = 4
PADDING_CHARS: Final = 1400
_LEET: Final = str.maketrans("aeiost", "4310$7")
_CYRILLIC: Final = str.maketrans("aceopxyi", "асеорхуі")

Disguise = Callable[[str, random.Random], str]


def attack(text: str, disguise: Disguise, generator: random.Random) -> str:
    """Disguise half of the words of *text* that have at least ``MIN_LETTERS`` letters."""
    words = text.split(" ")
    for index, word in enumerate(words):
        if len(word) >= MIN_LETTERS and word.isalpha() and generator.random() < 0.5:
            words[index] = disguise(word, generator)
    return " ".join(words)


class Padding:
    """
    Harmless sentences to hide a text in.

    Args:
        data: The data folder.
        part: Which part of GoEmotions the sentences are from: ``dev`` or ``test``, neither fitted to.
        seed: Of the choice.
    """

    def __init__(self, data: Path, *, part: str = "dev", seed: int = 1) -> None:
        self._sentences = read_goemotions(data, part)
        self._generator = random.Random(seed)  # noqa: S311  (repeatable, not secret)

    def around(self, text: str) -> str:
        """Hide *text* in the middle of ``PADDING_CHARS`` harmless characters; without one give them alone."""
        return " ".join(filter(None, [self._half(), text, self._half()]))

    def _half(self) -> str:
        chosen = ""
        while len(chosen) < PADDING_CHARS // 2:
            sentence = self._generator.choice(self._sentences)
            chosen += sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
            chosen += " "
        return chosen.strip()


def _lookalike(word: str, generator: random.Random) -> str:
    return "".join(generator.choice(_lookalikes().get(letter, [letter])) for letter in word.lower())


@cache
def _lookalikes() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for code, letter in confusables().items():
        found.setdefault(letter, []).append(chr(code))
    return found


def _repeated(word: str, generator: random.Random) -> str:
    at = generator.randrange(len(word))
    return word[:at] + word[at] * generator.randint(3, 5) + word[at + 1 :]


def _starred(word: str, generator: random.Random) -> str:
    at = generator.randrange(1, len(word) - 1)
    return f"{word[:at]}*{word[at + 1 :]}"


def _swapped(word: str, generator: random.Random) -> str:
    at = generator.randrange(1, len(word) - 2)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


ATTACKS: Final[dict[str, Disguise]] = {
    "leetspeak": lambda word, _: word.lower().translate(_LEET),
    "zero-width characters": lambda word, _: "\u200b".join(word),
    "Cyrillic letters": lambda word, _: word.lower().translate(_CYRILLIC),
    "look-alike letters": _lookalike,
    "full-width letters": lambda word, _: "".join(chr(ord(c) + 0xFEE0) if c.isascii() else c for c in word),
    "spaced letters": lambda word, _: " ".join(word),
    "repeated letters": _repeated,
    "accents": lambda word, _: "\u0301".join(word),
    "a star for a letter": _starred,
    "swapped letters": _swapped,
}
"""The disguises by name; the last two are not undone."""
