"""What the heads are fitted on: all rows, their features, and how one head is fitted to some of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from content_moderator.classifiers.embedded_feature import BUCKETS, Counts, count_features
from content_moderator.classifiers.embedded_model import feature_values
from content_moderator.core.policy import ANY
from content_moderator.core.text import normalise
from training.source import HEADS, SOURCES, Row, load, seeds
from training.teacher import teach_any

C = 4.0
"""Inverse strength of the L2 penalty. Not tuned: 1 and 4 were within .005 for any violation, out of fold."""
SEED_WEIGHT = 1.0
TEACHER_WEIGHT = 0.5
TAUGHT = ("toxic_spans", "convabuse")
"""Sources whose own labels say little about "any violation"."""
FOLDS = 5

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


def gather(data: Path) -> Material:
    """Read the sources, weigh their features and ask the teacher."""
    rows = corpus(data)
    idf = inverse_document_frequency(rows.counts)
    taught = rows.where(*TAUGHT)
    opinion = teach_any([rows.rows[i].text for i in taught])
    return Material(rows, weighed(rows.counts, idf), idf, opinion, taught)
