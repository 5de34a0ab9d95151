"""
Calls of the classifier for a trace of texts, with and without near copies: ``make bench-cache``. The trace is
generated: texts that are posted repeatedly (the n-th most popular one n times less often than the first),
waves of spam with varying numbers, punctuation, greetings and typing errors, and texts that occur once.
"""

import argparse
import random
from collections.abc import Iterator, Sequence

from prometheus_client import REGISTRY

from benchmarks.load import machine
from benchmarks.text import Writer
from content_moderator.cache.near_copies.guard import REFUSALS
from content_moderator.classifiers.pipeline import build_pipeline
from content_moderator.config.settings import CacheSettings, Settings, SimilarCacheSettings
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, ClassifierIdentity, Outcome
from content_moderator.domain.label import Label

WAVES = (
    "Win a free trip to the sea, answer now with code {number} to take part in the draw",
    "Your parcel {number} could not be delivered, pay {small} euros to have it brought again",
    "Earn {number} euros a week from home, write to us on channel {small} to begin today",
    "Last chance: {small} % off all watches, use the word SALE{small} before midnight",
    "I doubled my savings in {small} days with this simple plan, call 555-{number} to join",
    "Hot offer for you: {small} boxes of vitamins for {number} yen, only this weekend",
    "Your account will be closed in {small} hours, confirm it with the number {number}",
    "Follow back and get {number} new followers until tomorrow, no questions asked",
)
REFUSED = "content_moderator_cache_guard_refusals_total"
GREETINGS = ("", "", "", "Hi, ", "Hello, ", "Hey ", "Hi all, ")
ENDS = ("", "", "!", "!!", ".", " Thanks", " :)")


class Counting:
    """A classifier that scores every text as harmless, and counts the texts."""

    identity = ClassifierIdentity("koala", "model", "1")

    def __init__(self) -> None:
        self.texts = 0

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Answer."""
        self.texts += len(texts)
        return [Classification(dict.fromkeys(Label, 0.0) | {Label.OK: 1.0}, self.identity) for _ in texts]


def main() -> None:
    """Print a Markdown table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--texts", type=int, default=20_000)
    arguments.add_argument("--spam", type=float, default=0.3, help="share of the texts that belong to a wave")
    arguments.add_argument("--seed", type=int, default=5)
    chosen = arguments.parse_args()
    texts = list(trace(chosen.texts, chosen.spam, chosen.seed))
    print(
        f"{machine()}; {len(texts):,} texts, {len(set(texts)):,} of them different, spam {chosen.spam:.0%}\n"
    )
    print("| | calls of the classifier | saved |\n|---|---|---|")
    print(f"| no cache | {len(texts):,} | |")
    for name, mode in (("identical texts", "off"), ("near copies too", "on")):
        calls = replayed(texts, mode)
        print(f"| {name} | {calls:,} | {1 - calls / len(texts):.1%} |", flush=True)
    refused = {reason: REGISTRY.get_sample_value(REFUSED, {"reason": reason}) for reason in REFUSALS}
    print(
        f"\nrefused by the guard: {', '.join(f'{reason} {count:.0f}' for reason, count in refused.items())}"
    )


def replayed(texts: Sequence[str], mode: str) -> int:
    """Classify one text after the other; return the number of texts that the classifier got."""
    counting = Counting()
    similar = SimilarCacheSettings(mode=mode, sample_rate=0.0)  # type: ignore[arg-type]
    pipeline = build_pipeline(Settings(cache=CacheSettings(similar=similar)), counting)
    for text in texts:
        pipeline.classifier.classify([text], CallContext())
    return counting.texts


def trace(count: int, spam: float, seed: int) -> Iterator[str]:
    """Return a trace of *count* texts."""
    rng, writer = random.Random(seed), Writer(seed)
    popular = list(writer.texts(count // 4))
    weights = [1 / rank for rank in range(1, len(popular) + 1)]
    often = iter(rng.choices(popular, weights, k=count))
    for _ in range(count):
        kind = rng.random()
        if kind < spam:
            yield message(rng)
        elif kind < 0.9:  # noqa: PLR2004  (one in ten comes once)
            yield next(often)
        else:
            yield writer.text()


def message(rng: random.Random) -> str:
    """Return one message of a wave."""
    text = rng.choice(WAVES).format(number=rng.randint(1000, 9999), small=rng.randint(20, 60))
    if rng.random() < 0.2:  # noqa: PLR2004  (one in five has a slip)
        place = rng.randrange(len(text) - 1)
        text = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    return rng.choice(GREETINGS) + text + rng.choice(ENDS)


if __name__ == "__main__":
    main()
