"""
Write content_moderator/text/data/words.bin: ``python -m model_building.words --data ../shared/data``.

The most frequent words of the training texts, most frequent first, each as its CRC-32: enough to find words
in letters that were spaced out, and no list of slurs in the repository.
"""

import argparse
import zlib
from collections import Counter
from pathlib import Path

from content_moderator.text.normalization import normalise, words_of
from content_moderator.text.spacing import MAX_LETTERS
from model_building.source import SOURCES, load

TARGET = Path("content_moderator/text/data/words.bin")
WORDS = 8000


def main() -> None:
    """Count the texts that each word is in, and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = arguments.parse_args().data
    counts: Counter[str] = Counter()
    for name in SOURCES:
        for row in load(name, data):
            counts.update({word for word in words_of(normalise(row.text)) if _is_plain(word)})
    # Ties are broken by the alphabet: the file is the same wherever it is made.
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:WORDS]
    TARGET.write_bytes(b"".join(zlib.crc32(word.encode()).to_bytes(4, "little") for word in frequent))


def _is_plain(word: str) -> bool:
    return word.isascii() and word.isalpha() and 1 < len(word) <= MAX_LETTERS


if __name__ == "__main__":
    main()
