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

from content_moderator.classifiers.embedded import parts_of
from content_moderator.classifiers.embedded_feature import BUCKETS, Counts, count_features
from content_moderator.classifiers.embedded_model import HEADS, feature_values
from content_moderator.core.text import divide, normalise
from training.calibration import Scored
from training.source import SOURCES, Row, load, seeds
from training.teacher import describe, teach

C = 4.0
"""Inverse strength of the L2 penalty. Not tuned: 1 and 4 were within .005 for any violation, out of fold."""
SEED_WEIGHT = 1.0
TEACHER_WEIGHT = 0.5
LEAST_WEIGHT = 0.005
"""A soft target that would weigh less is left out."""
LESSONS = {
    "goemotions": 9000,
    "toxic_spans": 8000,
    "davidson": 6000,
    "convabuse": 2500,
    "toxigen": 700,
    "ailuminate": 400,
    "openai": 1000,
    "seeds": 3000,
}
"""How many texts of each source the teacher sees, evenly spaced."""
WITHOUT_OPINION = ("openai", "seeds")
"""Sources whose rows carry our exact labels: the teacher learns from them and has nothing to add."""
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
class Lessons:
    """
    The texts that the teacher sees: rows of the corpus, and passages of the long ones.

    Args:
        origin: Index of the row that each text is or is a part of, shape (texts,).
        whole: Whether it is the row itself, whose targets are known, shape (texts,).
        asked: Whether the teacher's opinion of it is taught, shape (texts,).
        described: What the teacher sees, shape (texts, width).
        x: What the heads see, shape (texts, BUCKETS).
    """

    origin: NDArray[np.int64]
    whole: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    described: Floats
    x: csr_matrix


@dataclass(frozen=True, slots=True)
class Material:
    """
    What each head is fitted on: the corpus, and the teacher's opinion on more texts.

    Args:
        corpus: The rows.
        x: Their features, shape (rows, BUCKETS).
        idf: Inverse document frequencies, shape (BUCKETS,).
        lessons: The texts of the teacher.
    """

    corpus: Corpus
    x: csr_matrix
    idf: NDArray[np.float32]
    lessons: Lessons

    def fit(self, head: int, keep: NDArray[np.bool_]) -> tuple[Floats, float]:
        """Fit *head* on the rows that *keep* marks; the teacher does not see the others either."""
        lessons, targets, weights = self.lessons, self.corpus.targets[:, head], self.corpus.weights
        kept = keep[lessons.origin]
        y = targets[lessons.origin]
        opinion = teach(lessons.described, lessons.whole & kept & ~np.isnan(y), y, weights[lessons.origin])
        # A soft target is two rows: it applies with the weight p, and does not with the weight 1 - p.
        yes, no = opinion * TEACHER_WEIGHT, (1 - opinion) * TEACHER_WEIGHT
        applies = np.flatnonzero(lessons.asked & kept & (yes > LEAST_WEIGHT))
        does_not = np.flatnonzero(lessons.asked & kept & (no > LEAST_WEIGHT))
        return fit_head(
            vstack([self.x[keep], lessons.x[applies], lessons.x[does_not]], format="csr"),
            np.concatenate([targets[keep], np.ones(len(applies)), np.zeros(len(does_not))]),
            np.concatenate([weights[keep], yes[applies], no[does_not]]),
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


def unseen_logits(texts: Sequence[str], idf: NDArray[np.float32], parts: Iterable[Fold]) -> Scored:
    """
    Score each text and its parts by the model of *parts*, see `folds`, that has not seen it.

    Args:
        texts: Of the rows that *parts* were made for, or of the first of them, in that order.
        idf: Inverse document frequencies.
        parts: The folds.
    """
    divisions = [divide(text) for text in texts]
    x = weighed(count_matrix(list(parts_of(texts, divisions))), idf)
    owner = np.repeat(np.arange(len(texts)), [len(each.spans) for each in divisions])
    logits = np.zeros((len(owner), len(HEADS)))
    for held_out, fitted in parts:
        mine = np.isin(owner, held_out)
        logits[mine] = np.stack([x[mine] @ w + b for w, b in fitted], axis=1)
    return Scored(logits, divisions)


def gather(data: Path) -> Material:
    """Read the sources, weigh their features and show the teacher its texts."""
    rows = corpus(data)
    idf = inverse_document_frequency(rows.counts)
    return Material(rows, weighed(rows.counts, idf), idf, lessons_of(rows, idf))


def lessons_of(rows: Corpus, idf: NDArray[np.float32]) -> Lessons:
    """Choose the texts that the teacher sees."""
    chosen = [_spaced(rows.where(name), count) for name, count in LESSONS.items()]
    texts = [(int(i), rows.rows[i].text, True) for i in np.concatenate(chosen)]
    for i in rows.where("openai"):
        division = divide(rows.rows[i].text)
        spans = [division.spans[passage] for passage in division.passages]
        texts += [(int(i), rows.rows[i].text[begin:end], False) for begin, end in spans]
    asked = [not whole or rows.rows[i].source not in WITHOUT_OPINION for i, _, whole in texts]
    return Lessons(
        origin=np.array([i for i, _, _ in texts], dtype=np.int64),
        whole=np.array([whole for _, _, whole in texts]),
        asked=np.array(asked),
        described=describe([text for _, text, _ in texts]),
        x=weighed(count_matrix([text for _, text, _ in texts]), idf),
    )


def _spaced(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.asarray(indices[np.unique(np.linspace(0, len(indices) - 1, count).astype(int))])
