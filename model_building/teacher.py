"""The teacher: larger models, which are used for fitting only and never shipped."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from model_building.encoder import Encoder

CACHE: Final = Path("build/described.npz")
VECTOR_SCALE: Final = 3.0
"""Vectors have length 1; three times as long they need less of the penalised weights."""

Floats = NDArray[np.float64]


def describe(texts: Sequence[str]) -> Floats:
    """
    Return the teacher's features of each text: its sentence vector, and the score of another model.

    Encoding takes minutes, so the features are cached in ``CACHE`` under the checksums of the texts.

    Returns:
        Shape (texts, width + 1).
    """
    names = [hashlib.sha256(text.encode()).hexdigest()[:24] for text in texts]
    known: dict[str, NDArray[np.float32]] = {}
    if CACHE.exists():
        with np.load(CACHE, allow_pickle=False) as kept:
            known = dict(zip(kept["names"].tolist(), kept["described"], strict=True))
    missing = [index for index, name in enumerate(names) if name not in known]
    if missing:
        shown = [texts[index] for index in missing]
        found = offensive(shown)
        vectors = Encoder.load().encode(shown) * VECTOR_SCALE
        rows = np.hstack([vectors, np.log((found + 1e-4) / (1 - found + 1e-4))[:, np.newaxis] / 2])
        known |= dict(zip((names[index] for index in missing), rows.astype(np.float32), strict=True))
        CACHE.parent.mkdir(exist_ok=True)
        np.savez(CACHE, names=np.array(list(known)), described=np.stack(list(known.values())))
    return np.stack([known[name] for name in names]).astype(np.float64)


def offensive(texts: Sequence[str]) -> Floats:
    """
    Return the probability that each text is offensive, by a model that was fitted to far more data.

    Source:
        alt-profanity-check (MIT), whose weights were fitted to Jigsaw's and Davidson's comments.
    """
    from profanity_check import predict_prob  # noqa: PLC0415  (loads its model when imported)

    return np.asarray(predict_prob(list(texts)), dtype=np.float64)


def teach(described: Floats, known: NDArray[np.bool_], y: Floats, weights: Floats) -> Floats:
    """
    Fit one head to the texts for which it is known, and return its probability for all texts.

    Args:
        described: See `describe`, shape (texts, width).
        known: Where *y* may be learnt from, shape (texts,).
        y: 1 or 0 where known, shape (texts,).
        weights: Sample weights, shape (texts,).
    Returns:
        The probability that the head applies, shape (texts,).
    """
    model = LogisticRegression(C=1.0, solver="newton-cholesky")
    model.fit(described[known], y[known], sample_weight=weights[known])
    return np.asarray(model.predict_proba(described)[:, 1])
