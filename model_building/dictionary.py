"""
Write content_moderator/text/data/dictionary.bin: ``python -m model_building.dictionary /usr/share/dict/*-english``.

The words of some word lists, each as 24 bits of its CRC-32, in order: enough to tell with near certainty whether a
word is none. The lists are SCOWL's, as Debian's packages wamerican and wbritish (2020.12.07-2) carry them.
"""

import argparse
from pathlib import Path

from content_moderator.text.dictionary import FINGERPRINT_BYTES, fingerprint

TARGET = Path("content_moderator/text/data/dictionary.bin")


def main() -> None:
    """Read the lists and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("lists", type=Path, nargs="+")
    words = {word.lower() for path in arguments.parse_args().lists for word in path.read_text().split()}
    plain = {fingerprint(word) for word in words if word.isascii() and word.isalpha()}
    TARGET.write_bytes(b"".join(each.to_bytes(FINGERPRINT_BYTES, "big") for each in sorted(plain)))


if __name__ == "__main__":
    main()
