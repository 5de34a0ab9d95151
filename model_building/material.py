"""What the heads are fitted on: all rows, their features, and how one head is fitted to some of them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from content_moderator.classifiers.embedded.features import BUCKETS, Counts, count_features
from content_moderator.classifiers.embedded.linear_model import HEADS, feature_values
from content_moderator.text.normalization import words_of
from content_moderator.text.sentence import MAX_PASSAGE_CHARS, sentences
from model_building.source import LEXICON, SOURCES, Row, cases, crops, foreign, load, seeds
from model_building.teacher import describe, teach

C = 6.0
"""Inverse strength of the L2 penalty. Not tuned: from 1 to 12 what is found at 0.3 % false alarms moved by .02."""
SEED_WEIGHT = 3.0
LEAST_SHARE = 0.1
CASE_WEIGHT = 3.0
CROP_WEIGHT = 0.5
FOREIGN_WEIGHT = 1.0
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
    "seeds": 6000,
}
"""How many texts of each source the teacher sees, evenly spaced."""
WITHOUT_OPINION = ("openai", "seeds", "foreign")
"""Sources whose rows carry our exact labels: the teacher learns from them and has nothing to add."""
FOLDS = 5
MIN_CHARS_TO_DIVIDE = 240
"""Of a text that the teacher sees the passages of as well."""

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
        """Return the indices of the rows of *sources*."""
        return np.array([i for i, row in enumerate(self.rows) if row.source in sources], dtype=np.int64)


def corpus(data: Path) -> Corpus:
    """Read all sources and count their features."""
    rows = [row for name in SOURCES for row in load(name, data)]
    rows += seeds() + cases() + foreign() + crops([row for row in rows if row.source == "goemotions"])
    weight = {name: source.weight for name, source in SOURCES.items()} | {
        "seeds": SEED_WEIGHT,
        "cases": CASE_WEIGHT,
        "foreign": FOREIGN_WEIGHT,
        "crops": CROP_WEIGHT,
    }
    targets = [[float(row.targets.get(head, np.nan)) for head in HEADS] for row in rows]
    return Corpus(
        rows=rows,
        counts=count_matrix([row.text for row in rows]),
        targets=np.array(targets),
        weights=np.array([weight[row.source] for row in rows]) * _shares(rows),
    )


def _shares(rows: Sequence[Row]) -> Floats:
    """Return what our own sentences are worth: one of a template that makes many is worth less, but all of them more."""
    sizes = Counter(row.group for row in rows if row.source == "seeds")
    return np.array(
        [max(LEAST_SHARE, sizes[row.group] ** -0.5) if row.source == "seeds" else 1 for row in rows]
    )


def count_matrix(texts: Sequence[str]) -> csr_matrix:
    """Count the features of *texts* as a sparse matrix, shape (texts, BUCKETS)."""
    return count_words([words_of(text) for text in texts])


def count_words(texts: Sequence[Sequence[str]]) -> csr_matrix:
    """Count the features of texts given as words, shape (texts, BUCKETS)."""
    parts = []
    for start in range(0, len(texts), 1000):
        batch = texts[start : start + 1000]
        counts = count_features(batch, LEXICON_WORDS)
        parts.append(csr_matrix((counts.count, (counts.text, counts.bucket)), shape=(len(batch), BUCKETS)))
    return vstack(parts, format="csr")


def inverse_document_frequency(counts: csr_matrix) -> NDArray[np.float32]:
    """Return ln((1 + n) / (1 + df)) for each bucket, smoothed; unseen buckets get the highest."""
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
    parts = [
        held_out for _, held_out in GroupKFold(FOLDS, shuffle=True, random_state=0).split(rows, groups=groups)
    ]
    keeps = [np.ones(len(material.corpus.rows), dtype=bool) for _ in parts]
    for keep, held_out in zip(keeps, parts, strict=True):
        keep[rows[held_out]] = False
    yield from zip(parts, fit_all(material, keeps), strict=True)


def fit_all(material: Material, keeps: Sequence[NDArray[np.bool_]]) -> list[list[tuple[Floats, float]]]:
    """Fit all heads on the rows that each of *keeps* marks, on as many processors as there are."""
    tasks = [(keep, head) for keep in keeps for head in range(len(HEADS))]
    # The children have the material from their parent, uncopied.
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork"), _share, (material,)) as pool:
        fitted = list(pool.map(_fit, tasks))
    return [fitted[start : start + len(HEADS)] for start in range(0, len(fitted), len(HEADS))]


_shared: list[Material] = []


def _share(material: Material) -> None:
    _shared[:] = [material]


def _fit(task: tuple[NDArray[np.bool_], int]) -> tuple[Floats, float]:
    keep, head = task
    return _shared[0].fit(head, keep)


def unseen_logits(
    words: Sequence[Sequence[str]], owner: Sequence[int], idf: NDArray[np.float32], parts: Iterable[Fold]
) -> Floats:
    """
    Score texts by the models of *parts*, see `folds`, that have not seen them.

    Args:
        words: Of the texts, or of parts of them.
        owner: The position of the row that each of them is or is of.
        idf: Inverse document frequencies.
        parts: The folds.
    Returns:
        Shape (texts, heads).
    """
    x = weighed(count_words(words), idf)
    logits = np.zeros((len(words), len(HEADS)))
    for held_out, fitted in parts:
        mine = np.isin(owner, held_out)
        logits[mine] = np.stack([x[mine] @ w + b for w, b in fitted], axis=1)
    return logits


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
        texts += [(int(i), passage, False) for passage in passages(rows.rows[i].text)]
    asked = [not whole or rows.rows[i].source not in WITHOUT_OPINION for i, _, whole in texts]
    return Lessons(
        origin=np.array([i for i, _, _ in texts], dtype=np.int64),
        whole=np.array([whole for _, _, whole in texts]),
        asked=np.array(asked),
        described=describe([text for _, text, _ in texts]),
        x=weighed(count_matrix([text for _, text, _ in texts]), idf),
    )


def passages(text: str) -> list[str]:
    """Return the runs of sentences of a long text that `content_moderator.text.sentence.parts_of` makes."""
    if len(text) < MIN_CHARS_TO_DIVIDE:
        return []
    runs: list[tuple[int, int]] = []
    for begin, end in sentences(text):
        if runs and end - runs[-1][0] <= MAX_PASSAGE_CHARS:
            runs[-1] = runs[-1][0], end
        else:
            runs.append((begin, end))
    return [text[begin:end] for begin, end in runs]


def _spaced(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.asarray(indices[np.unique(np.linspace(0, len(indices) - 1, count).astype(int))])
