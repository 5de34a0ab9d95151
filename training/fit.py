"""
Build the embedded model: ``python -m training.fit --data ../shared/data``.

One logistic regression per head over hashed n-grams, with unknown targets left out, calibrated by
Platt's method on out-of-fold logits, quantised to one byte a weight. Deterministic.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold

from content_moderator import __version__
from content_moderator.classifiers.embedded_feature import BUCKETS, Counts, count_features
from content_moderator.classifiers.embedded_model import feature_values, write_model
from content_moderator.core.text import normalise
from training.source import HEADS, SOURCES, Row, checksum, load, seeds

TARGET = Path("content_moderator/models/embedded.bin")
C = 4.0
"""Inverse strength of the L2 penalty; between 1 and 16 the out-of-fold AUPRC moves by less than .01."""
SEED_WEIGHT = 1.0
FOLDS = 5
CALIBRATION_SOURCES = frozenset({"openai"})
"""The only rows that carry our exact labels as the world has them; the others only teach."""

Floats = NDArray[np.float64]


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
        counts = count_features(batch)
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


def out_of_fold_logits(x: csr_matrix, material: Corpus) -> tuple[NDArray[np.int64], Floats]:
    """
    Score the calibration rows by models that have not seen them.

    Returns:
        The rows' indices, shape (n,), and their logits, shape (n, heads).
    """
    chosen = np.array([i for i, r in enumerate(material.rows) if r.source in CALIBRATION_SOURCES])
    groups = [near_duplicate_key(material.rows[i].text) for i in chosen]
    logits = np.zeros((len(chosen), len(HEADS)))
    for _, held_out in GroupKFold(FOLDS, shuffle=True, random_state=0).split(chosen, groups=groups):
        keep = np.ones(len(material.rows), dtype=bool)
        keep[chosen[held_out]] = False
        for head in range(len(HEADS)):
            w, b = fit_head(x[keep], material.targets[keep, head], material.weights[keep])
            logits[held_out, head] = x[chosen[held_out]] @ w + b
    return chosen, logits


def near_duplicate_key(text: str) -> str:
    """Rows that begin with the same words stay in the same fold."""
    return " ".join(normalise(text).split()[:6])


def platt(logits: Floats, y: Floats) -> tuple[float, float]:
    """Fit slope and intercept that turn logits into probabilities, with Platt's smoothed targets."""
    known = ~np.isnan(y)
    model = LogisticRegression(C=1e3)
    model.fit(logits[known, np.newaxis], y[known])
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def main() -> None:
    """Fit, calibrate, quantise, write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--output", type=Path, default=TARGET)
    chosen = arguments.parse_args()
    started = time.monotonic()

    material = corpus(chosen.data)
    idf = inverse_document_frequency(material.counts)
    x = weighed(material.counts, idf)
    print(f"{len(material.rows)} rows counted after {time.monotonic() - started:.0f} s")

    rows, logits = out_of_fold_logits(x, material)
    print(f"out-of-fold logits after {time.monotonic() - started:.0f} s")
    report(logits, material.targets[rows])

    weights, bias = np.zeros((BUCKETS, len(HEADS))), []
    for head, _ in enumerate(HEADS):
        slope, intercept = platt(logits[:, head], material.targets[rows, head])
        w, b = fit_head(x, material.targets[:, head], material.weights)
        weights[:, head] = slope * w
        bias.append(slope * b + intercept)
    header = {
        "format": 1,
        "made_by": f"content_moderator {__version__}, training/fit.py",
        "heads": HEADS,
        "bias": bias,
        "sources": {
            name: {file: checksum(file) for file in source.files} for name, source in SOURCES.items()
        },
    }
    write_model(chosen.output, header=header, idf=idf, weights=weights.astype(np.float32))
    print(f"{chosen.output} written after {time.monotonic() - started:.0f} s")


def report(logits: Floats, targets: Floats) -> None:
    """Print the out-of-fold AUPRC and base rate of each head."""
    for head, name in enumerate(HEADS):
        known = ~np.isnan(targets[:, head])
        y = targets[known, head]
        score = average_precision_score(y, logits[known, head])
        print(f"{name:4} AUPRC {score:.3f}  base rate {y.mean():.3f}  rows {known.sum()}")


if __name__ == "__main__":
    main()
