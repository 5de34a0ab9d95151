"""
Measure the shipped model at the shipped thresholds: ``python -m training.evaluate --data ../shared/data``.

Nothing here was fitted on: HateCheck and GoEmotions' test part. Prints Markdown tables of figures,
never a text.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from sklearn.metrics import roc_auc_score

from content_moderator.classifiers.embedded import EmbeddedClassifier
from content_moderator.core.label import Label
from content_moderator.core.moderator import Moderator
from content_moderator.core.policy import Verdict
from content_moderator.settings import PolicySettings
from training.source import EVALUATION, checksum, read_goemotions, read_hatecheck


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = arguments.parse_args().data
    moderator = Moderator(EmbeddedClassifier.load(), PolicySettings().policies())
    print("Files:", ", ".join(f"{name} {checksum(name)[:12]}" for name in EVALUATION))
    print_hatecheck(moderator, data)
    print_everyday(moderator, data)


def print_hatecheck(moderator: Moderator, data: Path) -> None:
    """Print the AUROC of the hate score, and the share flagged by functionality."""
    cases = read_hatecheck(data)
    verdicts = moderator.moderate([text for text, _, _ in cases])
    scores = [max(v.classification.scores[label] for label in (Label.H, Label.H2)) for v in verdicts]
    auroc = roc_auc_score([hateful for _, _, hateful in cases], scores)
    print(f"\nHateCheck: hate AUROC {auroc:.3f} over {len(cases)} cases\n")
    print("| functionality | cases | flagged |\n|---|---|---|")
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for (_, functionality, _), verdict in zip(cases, verdicts, strict=True):
        groups[functionality].append(verdict)
    for functionality, group in sorted(groups.items()):
        print(f"| {functionality} | {len(group)} | {flagged_share(group):.1%} |")


def print_everyday(moderator: Moderator, data: Path) -> None:
    """Print how often a benign everyday sentence is flagged, and by which rule."""
    verdicts = moderator.moderate(read_goemotions(data))
    print(f"\nGoEmotions, benign test sentences: {flagged_share(verdicts):.2%} of {len(verdicts)} flagged\n")
    print("| rule | sentences |\n|---|---|")
    counts: dict[str, int] = defaultdict(int)
    for verdict in verdicts:
        for reason in verdict.reasons:
            counts[reason.label] += 1
    for rule, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"| {rule} | {count} |")


def flagged_share(verdicts: Sequence[Verdict]) -> float:
    """Share of verdicts with a reason."""
    return sum(verdict.flagged for verdict in verdicts) / len(verdicts)


if __name__ == "__main__":
    main()
