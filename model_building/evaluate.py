"""
Measure the embedded model: ``python -m model_building.evaluate --data ../shared/data``.

Writes the tables of docs/model-card.md, between its markers; never a text. The shipped file is measured
on what was not fitted to: HateCheck in five languages, GoEmotions' test part, and texts of our own
in tests/data. What needs rows with our exact labels is measured out of fold: five models, each fitted without
a fifth of those rows, score that fifth at the shipped thresholds.
"""

import argparse
import itertools
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from content_moderator.classifiers.embedded.classifier import EmbeddedClassifier
from content_moderator.classifiers.embedded.linear_model import HEADS, EmbeddedModel
from content_moderator.classifiers.embedded.second_opinion import opinions
from content_moderator.classifiers.embedded.sentence_encoder import SentenceEncoder
from content_moderator.config.settings import PolicySettings
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.label import Label
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.policy import score_of
from content_moderator.domain.verdict import ANY, Verdict
from content_moderator.offline.evaluation.measure import CALIBRATION_BINS, calibration_error
from content_moderator.offline.evaluation.plot import Curves
from content_moderator.text.cleaning import clean
from content_moderator.text.normalization import normalise
from model_building.evasion import ATTACKS, PADDING_CHARS, Padding, attack
from model_building.fit import CALIBRATION, as_model, fit, rehearse
from model_building.material import gather
from model_building.source import (
    EVALUATION,
    LANGUAGES_CHECKED,
    Row,
    checksum,
    foreign,
    read_convabuse,
    read_goemotions,
    read_hatecheck,
    read_multilingual_hatecheck,
)
from model_building.teacher import offensive

CARD = Path("docs/model-card.md")
OWN = Path("tests/data")
PLOT = Path("docs/model-card.png")
MODEL = Path("content_moderator/classifiers/embedded/weights/embedded.bin")
ENCODER = ("sentence_encoder.bin", "sentence_pieces.model")
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
        kinds(shipped),
        identity(shipped),
        hatecheck(shipped, data),
        languages(shipped, data),
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
    """Return a moderator with the shipped policy."""
    return Moderator(classifier, PolicySettings().build())


def hold_out(data: Path) -> Iterator[HeldOut]:
    """Yield five parts of the rows with exact labels, each with a model fitted and calibrated without it."""
    material = gather(data)
    fits = fit(material)
    setting = rehearse(fits).setting
    encoder = SentenceEncoder.load()
    rows = [material.corpus.rows[i] for i in material.corpus.where(CALIBRATION)]
    for (held_out, fitted), heads in zip(fits.folds, fits.seconds, strict=True):
        classifier = EmbeddedClassifier(as_model(fitted, heads, fits.idf, setting), encoder)
        yield HeldOut([rows[i] for i in held_out if i < len(rows)], moderator_of(classifier))


def own(name: str) -> list[dict[str, Any]]:
    """Read our own texts that are used for evaluation only."""
    return [json.loads(line) for line in (OWN / name).read_text(encoding="utf-8").splitlines()]


def kinds(moderator: Moderator) -> Iterator[str]:
    """Yield the share of our own texts of each kind that are judged correctly."""
    cases = [case for case in own("held_out.jsonl") if "term" not in case]
    verdicts = moderator.moderate([case["text"] for case in cases])
    right: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for case, verdict in zip(cases, verdicts, strict=True):
        if verdict.language.code not in moderator.classifier.identity.languages:
            continue
        wanted = {
            "allow": verdict.decision == "allow",
            "flagged": verdict.flagged,
            "not_block": verdict.decision != "block",
        }
        right[case["kind"], case["want"]].append(wanted[case["want"]])
    yield "**Kinds of texts**, of our own, that nothing is fitted to (tests/data/held_out.jsonl): the share judged right."
    yield ""
    yield from table("kind", "wanted", "texts", "right")
    for (kind, want), each in sorted(right.items()):
        yield f"| {kind[2:]} | {want.replace('_', ' ')} | {len(each)} | {np.mean(each):.1%} |"


def identity(moderator: Moderator) -> Iterator[str]:
    """Yield the share of harmless sentences about groups that are flagged."""
    parts = json.loads((OWN / "identity.json").read_text(encoding="utf-8"))
    yield "**Names of groups** in harmless frames (tests/data/identity.json), flagged and blocked:"
    yield ""
    yield from table("names", "frames", "texts", "flagged", "blocked")
    for names, frames in itertools.product(("train", "held"), repeat=2):
        texts = [
            frame.format(**name) for name in parts[f"names_{names}"] for frame in parts[f"frames_{frames}"]
        ]
        verdicts = moderator.moderate(texts)
        blocked = sum(verdict.decision == "block" for verdict in verdicts)
        said = {"train": "fitted to", "held": "kept back"}
        yield f"| {said[names]} | {said[frames]} | {len(texts)} | {flagged_share(verdicts):.2%} | {blocked} |"


def languages(moderator: Moderator, data: Path) -> Iterator[str]:
    """Yield the ranking of hate in other languages, and the share of flagged sentences."""
    yield "**Other languages**: Multilingual HateCheck, without the sentences that model_building/foreign.yml has too."
    yield ""
    yield from table(
        "language",
        "judged",
        "cases",
        "hate AUROC",
        "of the hateful flagged",
        "of sentences kind to groups flagged",
    )
    fitted = {normalise(row.text) for row in foreign()}
    for code in LANGUAGES_CHECKED:
        cases = [case for case in read_multilingual_hatecheck(data, code) if normalise(case[0]) not in fitted]
        verdicts = moderator.moderate([text for text, _, _ in cases])
        scores = [max(v.classification.scores[label] for label in (Label.H, Label.H2)) for v in verdicts]
        auroc = roc_auc_score([hateful for _, _, hateful in cases], scores)
        by_score = [any(reason.rule == "score" for reason in verdict.reasons) for verdict in verdicts]
        found = np.mean([met for met, (_, _, hateful) in zip(by_score, cases, strict=True) if hateful])
        kind = np.mean(
            [met for met, case in zip(by_score, cases, strict=True) if case[1].startswith("ident_")]
        )
        judged = "yes" if code in moderator.classifier.identity.languages else "no: all go to review"
        yield f"| {code} | {judged} | {len(cases)} | {auroc:.3f} | {found:.1%} | {kind:.1%} |"
    yield ""
    yield "Texts of our own (tests/data/languages.jsonl) in languages that are judged:"
    yield ""
    yield from table("language", "harmless", "flagged", "abuse", "flagged")
    ours = own("languages.jsonl")
    for code in sorted(moderator.classifier.identity.languages - {"en"}):
        shares = []
        for want in ("allow", "flagged"):
            texts = [case["text"] for case in ours if case["language"] == code and case["want"] == want]
            shares.append(f"{len(texts)} | {flagged_share(moderator.moderate(texts)):.1%}")
        yield f"| {code} | {' | '.join(shares)} |"


def quality(held_out: Sequence[HeldOut]) -> Iterator[str]:
    """Yield ranking, calibration and recall at the thresholds, by label."""
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
    """Return the mean calibration error of rows that apply exactly as often as *p* says."""
    generator = np.random.default_rng(0)
    return float(
        np.mean([calibration_error((generator.random(len(p)) < p).astype(float), p) for _ in range(200)])
    )


def interval(metric: Callable[[Floats, Floats], float], y: Floats, p: Floats) -> str:
    """Return the 95 % bootstrap interval of *metric*."""
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
    """Yield the share of benign everyday sentences that are flagged, by rule."""
    verdicts = moderator.moderate(benign)
    counts: dict[str, int] = defaultdict(int)
    for verdict in verdicts:
        for reason in verdict.reasons:
            counts[reason.label] += 1
    rules = ", ".join(f"{rule} {count}" for rule, count in ordered(counts))
    yield f"**Everyday talk**, {len(verdicts)} benign test sentences of GoEmotions:"
    yield f"{flagged_share(verdicts):.2%} flagged (by rule: {rules or 'none'}). The second opinion is asked about"
    yield f"{asked(benign):.1%} of them."


def asked(texts: Sequence[str]) -> float:
    """Return the share of texts that the encoder scores."""
    model, encoder = EmbeddedModel.load(MODEL), SentenceEncoder.load()
    return float(
        np.mean(
            [each.second is not None for each in opinions(model, encoder, [clean(text) for text in texts])]
        )
    )


def other_data(moderator: Moderator, data: Path) -> Iterator[str]:
    """Yield the ranking of "any violation" on other data sets, which have their own definition of it."""
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
    """Return each part's texts that violate anything."""
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
    """Yield the recall of violations inside benign sentences, and the false alarms on long benign texts."""
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
    """Yield the time for texts, one at a time and in batches, compared with a package."""
    together = " ".join(benign)
    yield "**Time** on one core of the machine that wrote this:"
    yield ""
    yield from table("text", "this model", "alt-profanity-check")
    peer = offensive

    def ours(texts: Sequence[str]) -> object:
        return moderator.classifier.classify(texts, CallContext())

    for chars in (20, 200, 2000):
        texts = [together[start : start + chars] for start in range(0, 100 * chars, chars)]
        medians = [np.median([_seconds(each, [text]) for text in texts]) * 1000 for each in (ours, peer)]
        yield f"| {chars:,} characters | {medians[0]:.2f} ms | {medians[1]:.2f} ms |"
    batch = [together[start : start + 50] for start in range(0, 50 * 4000, 50)]
    rates = [len(batch) / _seconds(each, batch) for each in (ours, peer)]
    yield f"| batch of 4,000 × 50 characters | {rates[0]:,.0f} texts/s | {rates[1]:,.0f} texts/s |"
    started = time.perf_counter()
    EmbeddedClassifier.load()
    took = (time.perf_counter() - started) * 1000
    of_encoder = sum(MODEL.with_name(name).stat().st_size for name in ENCODER)
    yield ""
    yield f"The model's file has {MODEL.stat().st_size / 1e6:.1f} MB, the encoder's two files {of_encoder / 1e6:.1f} MB, most of it"
    yield f"mapped into memory and shared by the workers; all load in {took:.0f} ms."


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
