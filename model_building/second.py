"""The second opinion: small networks over the sentence encoder's vectors, fitted to a choice of the rows."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from content_moderator.classifiers.embedded.linear_model import HEADS, SecondHeads
from content_moderator.classifiers.embedded.sentence_encoder import WIDTH, SentenceEncoder
from content_moderator.text.cleaning import clean
from content_moderator.text.normalization import normalise
from model_building.material import Corpus
from model_building.source import Row

CACHE: Final = Path("build/encoded.npz")
CHOSEN: Final = {
    "goemotions": 12_000, "toxic_spans": 8000, "davidson": 6000, "convabuse": 3000, "toxigen": 3000,
    "ailuminate": 1000, "profanity": 1000, "crops": 4000, "seeds": 30_000, "cases": 10_000, "foreign": 3000,
}  # fmt: skip
"""The number of rows of each source for the networks, in addition to all rows with exact labels."""

EXACT: Final = 3.0
"""The additional weight of rows with exact labels, relative to the n-grams."""

AS_WRITTEN: Final = 0.3
"""
The share of rows that are also used without normalization; rows in other languages are never normalized.
"""

SCALE: Final = 3.0
"""Vectors have length 1; three times as long they need less of the penalised weights."""

NETWORKS: Final = 5
HIDDEN: Final = 128
EPOCHS: Final = 5
BATCH: Final = 512
RATE: Final = 2e-3
DECAY: Final = 3e-4
DROPPED: Final = 0.5
FIRST_MOMENT, SECOND_MOMENT, TINY = 0.9, 0.999, 1e-8

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lessons:
    """
    The rows that the second opinion learns from.

    Args:
        origin: Index of the row that each vector is of, shape (vectors,).
        vectors: Shape (vectors, WIDTH).
        weights: Sample weights, shape (vectors,).
    """

    origin: NDArray[np.int64]
    vectors: Floats
    weights: Floats


def lessons_of(corpus: Corpus) -> Lessons:
    """Choose the rows and encode them."""
    generator = np.random.default_rng(0)
    exact = corpus.where("openai")
    chosen = [exact]
    for name, count in CHOSEN.items():
        indices = corpus.where(name)
        share = corpus.weights[indices] / corpus.weights[indices].sum()
        chosen.append(generator.choice(indices, min(count, len(indices)), replace=False, p=share))
    origin = np.concatenate(chosen)
    written = origin[generator.random(len(origin)) < AS_WRITTEN]
    texts = [_as_read(corpus.rows[i]) for i in origin] + [clean(corpus.rows[i].text) for i in written]
    both = np.concatenate([origin, written])
    weights = corpus.weights[both] * np.where(np.isin(both, exact), EXACT, 1.0)
    return Lessons(both, encode(texts), weights.astype(np.float32))


def _as_read(row: Row) -> str:
    return clean(row.text) if row.source == "foreign" else normalise(row.text)


def encode(texts: Sequence[str]) -> Floats:
    """Return the vector of each text, shape (texts, WIDTH); what was encoded is kept in ``CACHE``."""
    names = [hashlib.sha256(text.encode()).hexdigest()[:24] for text in texts]
    known: dict[str, Floats] = {}
    if CACHE.exists():
        with np.load(CACHE, allow_pickle=False) as kept:
            known = dict(zip(kept["names"].tolist(), kept["vectors"], strict=True))
    missing = {name: text for name, text in zip(names, texts, strict=True) if name not in known}
    if missing:
        known |= dict(zip(missing, SentenceEncoder.load().encode(list(missing.values())), strict=True))
        CACHE.parent.mkdir(exist_ok=True)
        np.savez(CACHE, names=np.array(list(known)), vectors=np.stack(list(known.values())))
    return np.stack([known[name] for name in names])


def fit_all(
    lessons: Lessons, targets: NDArray[np.float64], keeps: Sequence[NDArray[np.bool_]]
) -> list[SecondHeads]:
    """
    Fit the networks to the rows that each of *keeps* marks, on as many processors as there are.

    Args:
        lessons: The rows.
        targets: 1, 0 or NaN for unknown, shape (rows, heads).
        keeps: Shape (rows,) each.
    Returns:
        For each of *keeps* the mean of ``NETWORKS``.
    """
    tasks = [(keep, seed) for keep in keeps for seed in range(NETWORKS)]
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork"), _share, (lessons, targets)) as pool:
        fitted = list(pool.map(_fit, tasks))
    return [_mean(fitted[start : start + NETWORKS]) for start in range(0, len(fitted), NETWORKS)]


_shared: list[tuple[Lessons, NDArray[np.float64]]] = []


def _share(lessons: Lessons, targets: NDArray[np.float64]) -> None:
    _shared[:] = [(lessons, targets)]


def _fit(task: tuple[NDArray[np.bool_], int]) -> list[Floats]:
    keep, seed = task
    lessons, targets = _shared[0]
    mine = keep[lessons.origin]
    y = targets[lessons.origin[mine]].astype(np.float32)
    return _network(lessons.vectors[mine] * np.float32(SCALE), y, lessons.weights[mine], seed)


def _network(x: Floats, y: Floats, weights: Floats, seed: int) -> list[Floats]:
    """
    Fit one network with a hidden layer and a way around it; unknown targets are left out.

    Returns:
        Hidden weights and bias, output weights, the weights around, and the bias.
    Source:
        Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    """
    generator = np.random.default_rng(seed)
    known = ~np.isnan(y)
    y = np.where(known, y, 0)
    weights = weights / weights.mean()
    start = (
        generator.normal(size=(WIDTH, HIDDEN)) * np.sqrt(2 / WIDTH),
        generator.normal(size=(HIDDEN, len(HEADS))) * 0.05,
    )
    p: list[Floats] = [
        start[0].astype(np.float32),
        np.zeros(HIDDEN, dtype=np.float32),
        start[1].astype(np.float32),
        np.zeros((WIDTH, len(HEADS)), dtype=np.float32),
        np.full(len(HEADS), -2, dtype=np.float32),
    ]
    mean, square = [np.zeros_like(each) for each in p], [np.zeros_like(each) for each in p]
    step = 0
    for epoch in range(EPOCHS):
        rate = RATE * (1 - epoch / EPOCHS)
        order = generator.permutation(len(x))
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            shown = x[rows]
            hidden = np.maximum(shown @ p[0] + p[1], 0)
            kept = (generator.random(hidden.shape) > DROPPED).astype(np.float32) / (1 - DROPPED)
            odds = (hidden * kept) @ p[2] + shown @ p[3] + p[4]
            missed = (1 / (1 + np.exp(-odds)) - y[rows]) * known[rows] * weights[rows, np.newaxis] / len(rows)
            below = (missed @ p[2].T) * kept * (hidden > 0)
            slopes = [
                shown.T @ below,
                below.sum(0),
                (hidden * kept).T @ missed,
                shown.T @ missed,
                missed.sum(0),
            ]
            step += 1
            for number, raw in enumerate(slopes):
                slope = raw + DECAY * p[number] if p[number].ndim > 1 else raw
                mean[number] += (1 - FIRST_MOMENT) * (slope - mean[number])
                square[number] += (1 - SECOND_MOMENT) * (slope * slope - square[number])
                size = np.sqrt(square[number] / (1 - SECOND_MOMENT**step)) + TINY
                p[number] -= np.float32(rate / (1 - FIRST_MOMENT**step)) * (mean[number] / size)
    return p


def _mean(networks: Sequence[Sequence[Floats]]) -> SecondHeads:
    """Return one network whose log-odds are the mean of several, for vectors that are not scaled."""
    share = np.float32(1 / len(networks))
    return SecondHeads(
        hidden=np.concatenate([each[0] for each in networks], axis=1) * np.float32(SCALE),
        hidden_bias=np.concatenate([each[1] for each in networks]),
        output=np.concatenate([each[2] for each in networks]) * share,
        around=np.mean([each[3] for each in networks], axis=0) * np.float32(SCALE),
        bias=np.mean([each[4] for each in networks], axis=0),
    )
