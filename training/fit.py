"""
Build the embedded model: ``python -m training.fit --data ../shared/data``.

One logistic regression per head over hashed n-grams, with unknown targets left out, calibrated by
Platt's method on out-of-fold logits, quantised to one byte a weight. Thresholds are chosen by the rate
of false alarms on rows that the scores have not seen. Deterministic.
"""

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold

from content_moderator import __version__
from content_moderator.classifiers.embedded_feature import BUCKETS, Counts, count_features
from content_moderator.classifiers.embedded_model import feature_values, stack_any, write_model
from content_moderator.core.policy import ANY
from content_moderator.core.text import normalise
from training.source import HEADS, SOURCES, Row, checksum, load, seeds
from training.teacher import teach_any

TARGET = Path("content_moderator/models/embedded.bin")
C = 4.0
"""Inverse strength of the L2 penalty; between 1 and 16 the out-of-fold AUPRC moves by less than .01."""
SEED_WEIGHT = 1.0
TEACHER_WEIGHT = 0.5
TAUGHT = ("toxic_spans", "convabuse")
"""Sources whose own labels say little about "any violation"."""
FOLDS = 5

CALIBRATION = "openai"
"""The only rows that carry our exact labels as the world has them; the others only teach."""
EVERYDAY = "goemotions"
IDENTITY_TOPICS = ("groups, kind", "groups, plain", "one of a group")
"""How the topics of our own sentences about groups begin that nobody should be sent to review for."""

FALSE_ALARMS = {"everyday": 0.003, "identity": 0.06}
"""
Share of benign rows that a label may send to review: of everyday talk, of sentences about groups. The
second looks high because it is asked of sentences whose whole template the fit has not seen.
"""
FALSE_BLOCKS = {"everyday": 0.0003, "identity": 0.01}
"""The same for blocking, which only the two strongest heads may do."""
BLOCKING_HEADS = ("S", "H")
LOWEST_BLOCK = 0.9

LEXICON = {
    kind: words.split()
    for kind, words in yaml.safe_load(
        (Path(__file__).parent / "lexicon.yml").read_text(encoding="utf-8")
    ).items()
}
LEXICON_WORDS = {word: kind for kind, words in LEXICON.items() for word in words}

Floats = NDArray[np.float64]
Fold = tuple[NDArray[np.int64], list[tuple[Floats, float]]]
"""Positions that were held out, and the weights and bias of each head fitted without them."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """
    Rows ready to fit.

    Args:
        rows: The rows.
        counts: Feature counts, shape (rows, BUCKETS).
        targets: 1, 0 or NaN for unknown, shape (rows, heads).
        weights: Sample weights, shape (rows,).
    """

    rows: Sequence[Row]
    counts: csr_matrix
    targets: Floats
    weights: Floats

    def where(self, *sources: str) -> NDArray[np.int64]:
        """Give the indices of the rows of *sources*."""
        return np.array([i for i, row in enumerate(self.rows) if row.source in sources], dtype=np.int64)


def corpus(data: Path) -> Corpus:
    """Read all sources and count their features."""
    rows = [row for name in SOURCES for row in load(name, data)] + seeds()
    weight = {name: source.weight for name, source in SOURCES.items()} | {"seeds": SEED_WEIGHT}
    targets = [[float(row.targets.get(head, np.nan)) for head in HEADS] for row in rows]
    return Corpus(
        rows=rows,
        counts=count_matrix([row.text for row in rows]),
        targets=np.array(targets),
        weights=np.array([weight[row.source] for row in rows]),
    )


def count_matrix(texts: Sequence[str]) -> csr_matrix:
    """Count the features of *texts* as a sparse matrix, shape (texts, BUCKETS)."""
    parts = []
    for start in range(0, len(texts), 1000):
        batch = [normalise(text) for text in texts[start : start + 1000]]
        counts = count_features(batch, LEXICON_WORDS)
        shape = (len(batch), BUCKETS)
        parts.append(csr_matrix((counts.count, (counts.text, counts.bucket)), shape=shape))
    return vstack(parts, format="csr")


def inverse_document_frequency(counts: csr_matrix) -> NDArray[np.float32]:
    """Give ln((1 + n) / (1 + df)) for each bucket, smoothed; unseen buckets get the highest."""
    documents = np.bincount(counts.indices, minlength=BUCKETS)
    return np.asarray(np.log((1 + counts.shape[0]) / (1 + documents)), dtype=np.float32)


def weighed(counts: csr_matrix, idf: NDArray[np.float32]) -> csr_matrix:
    """Apply the very function that inference uses."""
    text = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    values = feature_values(Counts(text, counts.indices.astype(np.int64), counts.data), idf)
    return csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def fit_head(x: csr_matrix, y: Floats, weights: Floats) -> tuple[Floats, float]:
    """Fit one head on the rows where its target is known; returns weights and bias."""
    known = ~np.isnan(y)
    model = LogisticRegression(C=C, solver="liblinear", tol=1e-3, intercept_scaling=5, random_state=0)
    model.fit(x[known], y[known], sample_weight=weights[known])
    return model.coef_[0], float(model.intercept_[0])


@dataclass(frozen=True, slots=True)
class Material:
    """
    What each head is fitted on: the corpus, and for "any violation" the teacher's opinion as well.

    Args:
        corpus: The rows.
        x: Their features, shape (rows, BUCKETS).
        idf: Inverse document frequencies, shape (BUCKETS,).
        opinion: The teacher's probability of any violation for the rows in *taught*.
        taught: Indices of the rows whose target the corpus does not know, or knows from elsewhere.
    """

    corpus: Corpus
    x: csr_matrix
    idf: NDArray[np.float32]
    opinion: Floats
    taught: NDArray[np.int64]

    def fit(self, head: int, keep: NDArray[np.bool_]) -> tuple[Floats, float]:
        """Fit *head* on the rows that *keep* marks."""
        x, y, weights = self.x[keep], self.corpus.targets[keep, head], self.corpus.weights[keep]
        if HEADS[head] != ANY:
            return fit_head(x, y, weights)
        # A soft target is two rows: it applies with the weight p, and does not with the weight 1 - p.
        chosen = keep[self.taught]
        rows, p = self.x[self.taught[chosen]], self.opinion[chosen] * TEACHER_WEIGHT
        return fit_head(
            vstack([x, rows, rows], format="csr"),
            np.concatenate([y, np.ones(len(p)), np.zeros(len(p))]),
            np.concatenate([weights, p, TEACHER_WEIGHT - p]),
        )


def folds(material: Material, rows: NDArray[np.int64]) -> Iterator[Fold]:
    """
    Fit without each fifth of *rows* in turn; versions of one text are never split.

    Yields:
        The positions in *rows* that were held out, and the weights and bias of each head.
    """
    groups = [material.corpus.rows[i].group for i in rows]
    for _, held_out in GroupKFold(FOLDS, shuffle=True, random_state=0).split(rows, groups=groups):
        keep = np.ones(len(material.corpus.rows), dtype=bool)
        keep[rows[held_out]] = False
        yield held_out, [material.fit(head, keep) for head in range(len(HEADS))]


def out_of_fold_logits(material: Material, rows: NDArray[np.int64], parts: Iterable[Fold]) -> Floats:
    """Score *rows* by the models of *parts*, see `folds`, that have not seen them, shape (rows, heads)."""
    logits = np.zeros((len(rows), len(HEADS)))
    for held_out, fitted in parts:
        for head, (w, b) in enumerate(fitted):
            logits[held_out, head] = material.x[rows[held_out]] @ w + b
    return logits


@dataclass(frozen=True, slots=True)
class Calibration:
    """
    What turns the heads' logits into calibrated log-odds.

    Args:
        slope: Shape (heads,).
        intercept: Shape (heads,).
        stack: Weights of the "any" head and of the highest label in the log-odds of any violation, and
            their bias, applied after slope and intercept.
    """

    slope: Floats
    intercept: Floats
    stack: tuple[float, float, float]

    def apply(self, logits: Floats) -> Floats:
        """Calibrate *logits*, shape (n, heads)."""
        return stack_any(logits * self.slope + self.intercept, self.stack)


def calibrate(logits: Floats, targets: Floats) -> Calibration:
    """Fit Platt's slope and intercept for each head, and how the labels speak for any violation."""
    platt = np.array([_logistic(logits[:, [h]], targets[:, h]) for h in range(len(HEADS))])
    slope, intercept = platt.T
    odds = logits * slope + intercept
    own, highest = odds[:, -1], odds[:, :-1].max(axis=1)
    u, v, w = _logistic(np.stack([own, highest], axis=1), targets[:, -1])
    return Calibration(slope, intercept, (u, v, w))


def _logistic(x: Floats, y: Floats) -> list[float]:
    known = ~np.isnan(y)
    model = LogisticRegression(C=1e3).fit(x[known], y[known])
    return [*map(float, model.coef_[0]), float(model.intercept_[0])]


def thresholds(everyday: Floats, identity: Floats) -> dict[str, dict[str, float | None]]:
    """
    Choose from which probability a head reviews and blocks, by its false alarms.

    Args:
        everyday: Out-of-fold probabilities of benign everyday talk, shape (n, heads).
        identity: The same for kind and plain sentences about groups.
    Returns:
        For each head the lowest probability that respects both rates, rounded up to two digits.
    """

    def lowest(head: int, rates: dict[str, float]) -> float:
        found = [
            np.quantile(everyday[:, head], 1 - rates["everyday"]),
            np.quantile(identity[:, head], 1 - rates["identity"]),
        ]
        return float(np.ceil(max(found) * 100) / 100)

    return {
        name: {
            "review": min(lowest(head, FALSE_ALARMS), 0.99),
            "block": max(lowest(head, FALSE_BLOCKS), LOWEST_BLOCK) if name in BLOCKING_HEADS else None,
        }
        for head, name in enumerate(HEADS)
    }


def main() -> None:
    """Fit, calibrate, choose thresholds, quantise, write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--output", type=Path, default=TARGET)
    chosen = arguments.parse_args()
    started = time.monotonic()

    def progress(done: str) -> None:
        print(f"{time.monotonic() - started:4.0f} s  {done}")

    material = gather(chosen.data)
    rows = material.corpus
    progress(f"{len(rows.rows)} rows counted, {len(material.taught)} of them shown to the teacher")

    held_out = {
        "exact": rows.where(CALIBRATION),
        "everyday": rows.where(EVERYDAY),
        "identity": np.array([i for i, row in enumerate(rows.rows) if row.group.startswith(IDENTITY_TOPICS)]),
    }
    indices = np.concatenate(list(held_out.values()))
    logits = out_of_fold_logits(material, indices, folds(material, indices))
    parts = dict(
        zip(held_out, np.split(logits, np.cumsum([len(i) for i in held_out.values()])[:-1]), strict=True)
    )
    progress("out-of-fold logits")
    report(parts["exact"], rows.targets[held_out["exact"]])

    calibration = calibrate(parts["exact"], rows.targets[held_out["exact"]])
    probability = {name: sigmoid(calibration.apply(part)) for name, part in parts.items()}
    limits = thresholds(probability["everyday"], probability["identity"])
    for name, limit in limits.items():
        print(f"  {name}: {limit}")

    everything = np.ones(len(rows.rows), dtype=bool)
    fitted = [material.fit(head, everything) for head in range(len(HEADS))]
    write(chosen.output, fitted, material.idf, calibration, {"thresholds": limits})
    progress(f"{chosen.output} written")


def gather(data: Path) -> Material:
    """Read the sources, weigh their features and ask the teacher."""
    rows = corpus(data)
    idf = inverse_document_frequency(rows.counts)
    taught = rows.where(*TAUGHT)
    opinion = teach_any([rows.rows[i].text for i in taught])
    return Material(rows, weighed(rows.counts, idf), idf, opinion, taught)


def write(
    path: Path,
    fitted: Sequence[tuple[Floats, float]],
    idf: NDArray[np.float32],
    calibration: Calibration,
    more: Mapping[str, Any],
) -> None:
    """
    Fold the calibration into the heads and write the model file.

    Args:
        path: Where to.
        fitted: Weights and bias of each head.
        idf: Inverse document frequencies, shape (BUCKETS,).
        calibration: Of the heads.
        more: What else the header says.
    """
    weights = np.stack([w for w, _ in fitted], axis=1) * calibration.slope
    bias = np.array([b for _, b in fitted]) * calibration.slope + calibration.intercept
    header = {
        "format": 1,
        "made_by": f"content_moderator {__version__}, training/fit.py",
        "heads": HEADS,
        "bias": [float(value) for value in bias],
        "any": calibration.stack,
        "lexicon": LEXICON,
        "sources": {
            name: {file: checksum(file) for file in source.files} for name, source in SOURCES.items()
        },
        **more,
    }
    write_model(path, header=header, idf=idf, weights=weights.astype(np.float32))


def sigmoid(logits: Floats) -> Floats:
    """Turn logits into probabilities."""
    return np.asarray(1 / (1 + np.exp(-logits)))


def report(logits: Floats, targets: Floats) -> None:
    """Print the out-of-fold AUPRC and base rate of each head."""
    scores = []
    for head, name in enumerate(HEADS):
        known = ~np.isnan(targets[:, head])
        y = targets[known, head]
        scores.append(average_precision_score(y, logits[known, head]))
        print(f"  {name:4} AUPRC {scores[-1]:.3f}  base rate {y.mean():.3f}  rows {known.sum()}")
    print(f"  macro over the {len(HEADS) - 1} labels {np.mean(scores[:-1]):.3f}")


if __name__ == "__main__":
    main()
