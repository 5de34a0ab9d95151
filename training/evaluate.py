"""
Measure the embedded model: ``python -m training.evaluate --data ../shared/data``.

Writes the tables of docs/model-card.md, between its markers; never a text. The shipped file is measured
on HateCheck and GoEmotions' test part, which were not fitted to. What needs rows with our exact labels
is measured out of fold: five models, each fitted without a fifth of those rows, score that fifth at the
shipped thresholds.
"""

import argparse
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from content_moderator.classifiers.embedded import EmbeddedClassifier
from content_moderator.classifiers.embedded_model import HEADS
from content_moderator.core.label import Label
from content_moderator.core.moderator import Moderator
from content_moderator.core.policy import ANY, Verdict, score_of
from content_moderator.evaluation.measure import CALIBRATION_BINS, calibration_error
from content_moderator.evaluation.plot import Curves
from content_moderator.settings import PolicySettings
from training.calibration import calibrate
from training.evasion import ATTACKS, PADDING_CHARS, Padding, attack
from training.fit import CALIBRATION, write
from training.material import folds, gather, unseen_logits
from training.source import EVALUATION, Row, checksum, read_convabuse, read_goemotions, read_hatecheck
from training.teacher import offensive

CARD = Path("docs/model-card.md")
PLOT = Path("docs/model-card.png")
MODEL = Path("content_moderator/models/embedded.bin")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
BOOTSTRAPS = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Rows with exact labels, and a moderator whose model has not seen them or their versions."""

    rows: Sequence[Row]
    moderator: Moderator


def main() -> None:
    """Write the tables and the plots."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = arguments.parse_args().data
    shipped = moderator_of(EmbeddedClassifier.load())
    benign = read_goemotions(data, "test")
    lines = [f"Files: {', '.join(f'{name} {checksum(name)[:12]}' for name in EVALUATION)}."]
    for part in (
        hatecheck(shipped, data),
        everyday(shipped, benign),
        other_data(shipped, data),
        latency(shipped, benign),
    ):
        lines += ["", *part]
    held_out = list(hold_out(data))
    for part in (quality(held_out), evasion(held_out), padding(held_out, shipped, data)):
        lines += ["", *part]
    text = "\n".join(lines)
    print(text)
    before, rest = CARD.read_text(encoding="utf-8").split(BEGIN)
    CARD.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def moderator_of(classifier: EmbeddedClassifier) -> Moderator:
    """Judge by the shipped policy."""
    return Moderator(classifier, PolicySettings().build())


def hold_out(data: Path) -> Iterator[HeldOut]:
    """Yield five parts of the rows with exact labels, each with a model fitted and calibrated without it."""
    material = gather(data)
    rows = material.corpus.where(CALIBRATION)
    texts = [material.corpus.rows[i].text for i in rows]
    parts = list(folds(material, rows))
    padding = Padding(data)
    plain = unseen_logits(texts, material.idf, parts)
    padded = unseen_logits([padding.around(text) for text in texts], material.idf, parts)
    targets = material.corpus.targets[rows]
    for held_out, fitted in parts:
        others = np.setdiff1d(np.arange(len(rows)), held_out)
        calibration = calibrate(plain.at(others), padded.at(others), targets[others])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.bin"
            write(path, fitted, material.idf, calibration, {})
            classifier = EmbeddedClassifier.load(path)
        yield HeldOut([material.corpus.rows[i] for i in rows[held_out]], moderator_of(classifier))


def quality(held_out: Sequence[HeldOut]) -> Iterator[str]:
    """Yield ranking, calibration and what the thresholds catch, by label."""
    rows = [row for part in held_out for row in part.rows]
    verdicts = [v for part in held_out for v in part.moderator.moderate([row.text for row in part.rows])]
    teacher = offensive([row.text for row in rows])
    yield f"**Ranking and calibration**, out of fold, {len(rows)} rows of OpenAI's set (without S3 rows). AUPRC and"
    yield f"AUROC with 95 % intervals from {BOOTSTRAPS} bootstrap samples; ECE is the expected calibration error over"
    yield f"{CALIBRATION_BINS} bins; by chance is the ECE that as many rows of a perfectly"
    yield "calibrated model would show; precision and recall at the shipped review threshold."
    yield ""
    yield from table(
        "label", "rows", "base rate", "AUPRC", "AUROC", "ECE", "by chance", "precision", "recall"
    )
    curves = Curves()
    for head in HEADS:
        known = [i for i, row in enumerate(rows) if head in row.targets]
        y = np.array([rows[i].targets[head] for i in known], dtype=float)
        p = np.array([score_of(verdicts[i].classification, head) for i in known])
        met = np.array([any(r.label == head for r in verdicts[i].reasons) for i in known])
        hits = (met & (y == 1)).sum()
        ranking = " | ".join(
            f"{m(y, p):.3f} {interval(m, y, p)}" for m in (average_precision_score, roc_auc_score)
        )
        yield (
            f"| {head} | {len(known)} | {y.mean():.3f} | {ranking} | {calibration_error(y, p):.3f} | {chance(p):.3f} "
            f"| {hits / max(met.sum(), 1):.2f} | {hits / y.sum():.2f} |"
        )
        curves.add(head, y, p)
    curves.save(PLOT)
    truth = np.array([row.targets[ANY] for row in rows], dtype=float)
    yield ""
    yield f"On the same rows alt-profanity-check reaches {average_precision_score(truth, teacher):.3f} AUPRC for any violation."
    yield ""
    yield f"![Precision by recall, and calibration]({PLOT.name})"


def chance(p: Floats) -> float:
    """Give the mean calibration error of rows that apply exactly as often as *p* says."""
    generator = np.random.default_rng(0)
    return float(
        np.mean([calibration_error((generator.random(len(p)) < p).astype(float), p) for _ in range(200)])
    )


def interval(metric: Callable[[Floats, Floats], float], y: Floats, p: Floats) -> str:
    """Give the 95 % bootstrap interval of *metric*."""
    generator = np.random.default_rng(0)
    samples = (generator.integers(0, len(y), len(y)) for _ in range(BOOTSTRAPS))
    found = [metric(y[i], p[i]) for i in samples if 0 < y[i].sum() < len(i)]
    low, high = np.quantile(found, [0.025, 0.975])
    return f"({low:.2f}-{high:.2f})"


def hatecheck(moderator: Moderator, data: Path) -> Iterator[str]:
    """Yield the AUROC of the hate score, and the share flagged by functionality."""
    cases = read_hatecheck(data)
    verdicts = moderator.moderate([text for text, _, _ in cases])
    scores = [max(v.classification.scores[label] for label in (Label.H, Label.H2)) for v in verdicts]
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for (_, functionality, _), verdict in zip(cases, verdicts, strict=True):
        groups[functionality].append(verdict)
    plain = groups["ident_neutral_nh"] + groups["ident_pos_nh"]
    auroc = roc_auc_score([hateful for _, _, hateful in cases], scores)
    yield f"**HateCheck**, {len(cases)} cases: hate AUROC {auroc:.3f}; of the neutral and positive sentences about"
    yield f"groups {flagged_share(plain):.1%} are flagged."
    yield ""
    yield from table("functionality (h: hateful, nh: not)", "cases", "flagged")
    for functionality, group in sorted(groups.items()):
        yield f"| {functionality} | {len(group)} | {flagged_share(group):.1%} |"


def everyday(moderator: Moderator, benign: Sequence[str]) -> Iterator[str]:
    """Yield how often a benign everyday sentence is flagged, and by which rule."""
    verdicts = moderator.moderate(benign)
    counts: dict[str, int] = defaultdict(int)
    for verdict in verdicts:
        for reason in verdict.reasons:
            counts[reason.label] += 1
    rules = ", ".join(f"{rule} {count}" for rule, count in ordered(counts))
    yield f"**Everyday talk**, {len(verdicts)} benign test sentences of GoEmotions:"
    yield f"{flagged_share(verdicts):.2%} flagged (by rule: {rules or 'none'})."


def other_data(moderator: Moderator, data: Path) -> Iterator[str]:
    """Yield how "any violation" ranks on sets that were not fitted to and have their own idea of it."""
    yield '**Other data**, "any violation" of the shipped file against each set\'s own label:'
    yield ""
    yield from table("set", "texts", "base rate", "AUPRC", "AUROC", "alt-profanity-check's AUPRC")
    sets = {
        "ConvAbuse, test part (abuse)": read_convabuse(data),
        "HateCheck (hateful)": [(text, hateful) for text, _, hateful in read_hatecheck(data)],
    }
    for name, rows in sets.items():
        texts = [text for text, _ in rows]
        y = np.array([label for _, label in rows], dtype=float)
        p = np.array([score_of(verdict.classification, ANY) for verdict in moderator.moderate(texts)])
        yield (
            f"| {name} | {len(y)} | {y.mean():.3f} | {average_precision_score(y, p):.3f} "
            f"{interval(average_precision_score, y, p)} | {roc_auc_score(y, p):.3f} "
            f"{interval(roc_auc_score, y, p)} | {average_precision_score(y, offensive(texts)):.3f} |"
        )


def ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Order by count, highest first."""
    return sorted(counts.items(), key=lambda item: -item[1])


def violations(held_out: Sequence[HeldOut]) -> list[tuple[Moderator, list[str]]]:
    """Give each part's texts that violate anything."""
    return [(part.moderator, [r.text for r in part.rows if r.targets.get(ANY)]) for part in held_out]


def evasion(held_out: Sequence[HeldOut]) -> Iterator[str]:
    """Yield the recall of violations when half of their longer words are disguised."""
    generator = random.Random(0)  # noqa: S311  (repeatable, not secret)
    yield "**Evasion**, out of fold: share of violations that are flagged, half of their longer words disguised."
    yield ""
    yield from table("disguise", "flagged")
    for name, disguise in {"none": None, **ATTACKS}.items():
        verdicts = []
        for moderator, texts in violations(held_out):
            shown = texts if disguise is None else [attack(text, disguise, generator) for text in texts]
            verdicts += moderator.moderate(shown)
        yield f"| {name} | {flagged_share(verdicts):.2f} |"


def padding(held_out: Sequence[HeldOut], shipped: Moderator, data: Path) -> Iterator[str]:
    """Yield how much recall a violation keeps inside benign sentences, and what long benign text costs."""
    benign = Padding(data, part="test")
    clean, hidden = [], []
    for moderator, texts in violations(held_out):
        clean += moderator.moderate(texts)
        hidden += moderator.moderate([benign.around(text) for text in texts])
    long_benign = shipped.moderate([benign.around("") for _ in range(1000)])
    before, after = flagged_share(clean), flagged_share(hidden)
    yield f"**Padding**, out of fold: {before:.2f} of the violations are flagged alone, {after:.2f} inside {PADDING_CHARS:,}"
    yield f"benign characters ({after / before:.0%} of it). Of benign texts of that length"
    yield f"{flagged_share(long_benign):.1%} are flagged."


def latency(moderator: Moderator, benign: Sequence[str]) -> Iterator[str]:
    """Yield the time that texts take, one at a time and in batches, beside a package's."""
    together = " ".join(benign)
    yield "**Time** on one core of the machine that wrote this:"
    yield ""
    yield from table("text", "this model", "alt-profanity-check")
    peer = offensive
    ours = moderator.classifier.classify
    for chars in (20, 200, 2000):
        texts = [together[start : start + chars] for start in range(0, 100 * chars, chars)]
        medians = [np.median([_seconds(each, [text]) for text in texts]) * 1000 for each in (ours, peer)]
        yield f"| {chars:,} characters | {medians[0]:.2f} ms | {medians[1]:.2f} ms |"
    batch = [together[start : start + 50] for start in range(0, 50 * 4000, 50)]
    rates = [len(batch) / _seconds(each, batch) for each in (ours, peer)]
    yield f"| batch of 4,000 × 50 characters | {rates[0]:,.0f} texts/s | {rates[1]:,.0f} texts/s |"
    started = time.perf_counter()
    EmbeddedClassifier.load()
    yield ""
    yield f"The file has {MODEL.stat().st_size / 1e6:.1f} MB and loads in {(time.perf_counter() - started) * 1000:.0f} ms."


def _seconds(score: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    started = time.perf_counter()
    score(texts)
    return time.perf_counter() - started


def table(*columns: str) -> Iterator[str]:
    """Yield the head of a Markdown table."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"


def flagged_share(verdicts: Sequence[Verdict]) -> float:
    """Share of verdicts with a reason."""
    return sum(verdict.flagged for verdict in verdicts) / len(verdicts)


if __name__ == "__main__":
    main()
