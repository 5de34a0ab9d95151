"""
Look-ups by similarity among up to a million texts, beside a linear scan by rapidfuzz: ``make bench-cache``.

Each look-up is timed separately, in one process; the scan compares the same text with all texts, in C++, in
the same run. Quote the growth and the ratio to the scan.
"""

import argparse
import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from benchmarks.load import machine
from benchmarks.text import Writer
from content_moderator.cache.keys import KeyMaker
from content_moderator.cache.near_copies.index import NearCopyIndex
from content_moderator.cache.store import ENTRY_BYTES, AnswerStore, Entry, pack
from content_moderator.config.settings import ExactCacheSettings, SimilarCacheSettings
from content_moderator.domain.classification import ClassifierIdentity
from content_moderator.domain.label import Label

KEYS = KeyMaker(ClassifierIdentity("koala", "model", "1"))
SETTINGS = SimilarCacheSettings()


def main() -> None:
    """Print Markdown tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    arguments.add_argument("--look-ups", type=int, default=4000)
    arguments.add_argument("--scans", type=int, default=12)
    chosen = arguments.parse_args()
    print(f"{machine()}; texts of 20 to 400 characters, {chosen.look_ups} look-ups of each kind")
    print(f"max_edits {SETTINGS.max_edits}, max_ratio {SETTINGS.max_ratio}, ", end="")
    print(f"max_candidates {SETTINGS.max_candidates}\n")
    print("| texts | hit p50 µs | p99 µs | miss p50 µs | p99 µs | scan ms | scan : hit | scan : miss | MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    writer, index, texts = Writer(7), NearCopyIndex(SETTINGS), list[str]()
    medians = {}
    for size in chosen.sizes:
        fresh = list(writer.texts(size - len(texts)))
        for number, text in enumerate(fresh, start=len(texts)):
            index.add(number.to_bytes(20, "big"), text)
        texts += fresh
        gc.collect()
        near = [writer.edited(text, 1 + len(text) // 60) for text in writer.choose(texts, chosen.look_ups)]
        hits = timed(index.find, near)
        misses = timed(index.find, list(writer.texts(chosen.look_ups)))
        scan = statistics.median(timed(partial(scanned, texts), near[: chosen.scans]))
        hit, miss = statistics.median(hits), statistics.median(misses)
        medians[size] = hit, miss
        times = (f"{each * 1e6:.0f}" for each in (hit, p99(hits), miss, p99(misses)))
        ratios = f"{scan * 1e3:.1f} | {scan / hit:.0f} | {scan / miss:.0f}"
        print(f"| {size:,} | {' | '.join(times)} | {ratios} | {resident():.0f} |", flush=True)
    if {10_000, 1_000_000} <= medians.keys():
        growth = [large / small for small, large in zip(medians[10_000], medians[1_000_000], strict=True)]
        print(f"\ngrowth of the median from 10,000 to 1,000,000: hit {growth[0]:.1f}, miss {growth[1]:.1f}")
    del index, texts
    print(f"\n{memory(20_000)}")
    print(exact(100_000))


def timed(look_up: Callable[[str], object], texts: Sequence[str]) -> list[float]:
    """Time a look-up of each text, in seconds."""
    found = []
    for text in texts:
        started = time.perf_counter()
        look_up(text)
        found.append(time.perf_counter() - started)
    return found


def p99(seconds: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(seconds, n=100)[98]


def scanned(texts: Sequence[str], text: str) -> object:
    """Compare with all texts."""
    return process.extractOne(text, texts, scorer=Levenshtein.distance, score_cutoff=SETTINGS.max_edits)


def resident() -> float:
    """Return the memory of this process in megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def memory(count: int) -> str:
    """Compare the actual memory of entries with the estimates in the code."""
    texts = list(Writer(8).texts(count))
    scores = pack(dict.fromkeys(Label, 0.5))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = AnswerStore(ExactCacheSettings(max_entries=count))
    for text in texts:
        kept.put(KEYS.key(text), Entry(bytes(bytearray(scores)), time.monotonic()))
    plain = tracemalloc.get_traced_memory()[0] - before
    index = NearCopyIndex(SETTINGS)
    estimate = 0
    for text in texts:
        folded = "".join(list(text))
        estimate += index.size(folded)
        index.add(KEYS.key(text), folded)
    both = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return (
        f"an entry takes {plain / count:.0f} bytes (the code reckons with {ENTRY_BYTES}), "
        f"its text for look-ups {(both - plain) / count:.0f} more (reckoned {estimate / count:.0f})"
    )


def exact(count: int) -> str:
    """Time look-ups of identical texts."""
    writer = Writer(9)
    texts = list(writer.texts(count))
    kept = AnswerStore(ExactCacheSettings(max_entries=count, max_bytes=1 << 30))
    scores = pack(dict.fromkeys(Label, 0.5))
    for text in texts:
        kept.put(KEYS.key(text), Entry(scores, time.monotonic()))
    found = timed(lambda text: kept.get(KEYS.key(text)), writer.choose(texts, 20_000))
    median = statistics.median(found) * 1e6
    return f"an identical text among {count:,} is found in {median:.1f} µs, 99 % in {p99(found) * 1e6:.1f} µs"


if __name__ == "__main__":
    main()
