"""
CPU time of normalizing one text: ``python -m benchmarks.reading``.

Texts are the 1,000 everyday sentences. With ``--peer DIRECTORY`` a checkout of another version is
measured in turns with this one.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.load import machine

ROOT = Path(__file__).parent.parent
SENTENCES = Path(__file__).with_name("everyday.txt")
ROUNDS = 7

MEASURED = """
import sys, time
try:
    from content_moderator.text.normalization import words_of as read
except ImportError:
    from content_moderator.domain.text import normalise, words_of
    read = lambda text: words_of(normalise(text))
texts = open(sys.argv[1], encoding="utf-8").read().splitlines()
best = float("inf")
for _ in range(6):
    started = time.process_time()
    for text in texts:
        read(text)
    best = min(best, time.process_time() - started)
print(best / len(texts) * 1e6)
"""


def main() -> None:
    """Print the median of several processes, and the ratio."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--peer", type=Path)
    peer = arguments.parse_args().peer
    checkouts = {"this version": ROOT} | ({"the other version": peer} if peer else {})
    found: dict[str, list[float]] = {name: [] for name in checkouts}
    for _ in range(ROUNDS):
        for name, checkout in checkouts.items():
            found[name].append(measure(checkout))
    print(machine())
    medians = {name: statistics.median(each) for name, each in found.items()}
    for name, microseconds in medians.items():
        print(f"{name}: {microseconds:.1f} us a text")
    if peer:
        print(f"ratio: {medians['this version'] / medians['the other version']:.2f}")


def measure(checkout: Path) -> float:
    """Return the microseconds for each text, in a separate process."""
    command = [sys.executable, "-c", MEASURED, str(SENTENCES)]
    environ = os.environ | {"PYTHONPATH": str(checkout)}
    output = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=checkout, env=environ, timeout=120
    )
    return float(output.stdout)


if __name__ == "__main__":
    main()
