"""
Write the table of letters that look Latin: ``python -m model_building.confusables``.

Source:
    Unicode's confusables.txt (UTS #39) as carried by the package confusable-homoglyphs, kept where
    one non-ASCII character looks like one ASCII letter, plus look-alikes of our own.
"""

import json
import string
import unicodedata
from importlib.resources import files
from pathlib import Path

TARGET = Path("content_moderator/text/data/confusables.tsv")
OWN = Path("model_building/lookalikes.txt")
HEADER = (
    "# Characters that look like a Latin letter: code point, tab, letter. Made by model_building/confusables.py\n"
    "# from Unicode's confusables.txt, Copyright (c) 1991-2023 Unicode, Inc., see NOTICE.\n"
)


def table() -> dict[str, str]:
    """Map each look-alike, in both cases, to one lower-case ASCII letter."""
    path = files("confusable_homoglyphs").joinpath("confusables.json")
    similar: dict[str, list[dict[str, str]]] = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for letter in string.ascii_letters:
        for other in similar.get(letter, ()):
            found.setdefault(other["c"], _plain(letter, other["c"]))
    return {c: letters for c, letters in {**found, **own()}.items() if _wanted(c)}


def own() -> dict[str, str]:
    """Read the look-alikes that we list ourselves."""
    lines = OWN.read_text(encoding="utf-8").splitlines()
    pairs = (pair.partition("=") for line in lines if not line.startswith("#") for pair in line.split())
    return {character: letters for character, _, letters in pairs}


def _plain(letter: str, lookalike: str) -> str:
    """UTS #39 takes I, l and 1 for one: a capital that looks like l is meant as I."""
    capital = lookalike[0].isupper() and letter == "l"
    return "i" if capital else letter.lower()


def _wanted(character: str) -> bool:
    """NFKC comes first and digits are leetspeak's: neither needs a row here."""
    return (
        len(character) == 1
        and not character.isascii()
        and unicodedata.normalize("NFKC", character) == character
    )


def main() -> None:
    """Write the table, ordered by code point."""
    rows = sorted((ord(character), letter) for character, letter in table().items())
    body = "".join(f"{code:04X}\t{letter}\n" for code, letter in rows)
    TARGET.write_text(HEADER + body, encoding="utf-8")
    print(f"{TARGET}: {len(rows)} rows")


if __name__ == "__main__":
    main()
