"""
Write content_moderator/text/data/profanity.tsv: ``python -m model_building.profanity DATA/profanity_en.csv.gz``.

The terms of Surge AI's profanity list and how severe people have judged each, without words that more often
mean something else.
"""

import argparse
import csv
import gzip
from pathlib import Path

TARGET = Path("content_moderator/text/data/profanity.tsv")

INNOCENT = frozenset(
    [
        "abbie",
        "bates",
        "bbc",
        "bender",
        "bondage",
        "booty",
        "breasts",
        "buttermilk",
        "cock",
        "coot",
        "cooties",
        "crotch",
        "crow",
        "crows",
        "diddle",
        "dipstick",
        "dix",
        "dolt",
        "finger",
        "flamer",
        "flamers",
        "forked",
        "gayest",
        "gayness",
        "hoe",
        "hoes",
        "homo",
        "hustler",
        "jigger",
        "klan",
        "knickers",
        "knob",
        "muff",
        "nip",
        "nuggets",
        "peter",
        "puss",
        "queers",
        "ramrod",
        "rectum",
        "sack",
        "scummy",
        "sheet",
        "slag",
        "slit",
        "snatch",
        "sperm",
        "sphincter",
        "spook",
        "spooks",
        "spunk",
        "suck",
        "swine",
        "tart",
        "tramp",
        "transvestite",
        "vulva",
        "wang",
        "weenie",
    ]
)
"""Names, animals, tools, medicine, and words that people use of themselves."""

INNOCENT_PHRASES = frozenset({"coot coot", "jim crow", "nut butter", "pussy cat", "loose woman"})


def main() -> None:
    """Read the list and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("list", type=Path)
    with gzip.open(arguments.parse_args().list, "rt", encoding="utf-8") as file:
        rows = {row["text"].strip().lower(): float(row["severity_rating"]) for row in csv.DictReader(file)}
    kept = {
        term: severity
        for term, severity in rows.items()
        if term not in INNOCENT | INNOCENT_PHRASES
        and any(letter.isalpha() for letter in term)
        and "*" not in term
    }
    lines = [f"{term}\t{severity:.1f}" for term, severity in sorted(kept.items())]
    head = "# A term and how severe it is, 1 to 3. model_building/profanity.py writes this file from Surge AI's list (MIT)."
    TARGET.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
