"""What larger models know: used when fitting only, never shipped."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from training.encoder import Encoder

CACHE: Final = Path("build")
VECTOR_SCALE: Final = 3.0
"""Vectors have length 1; three times as long they need less of the penalised weights."""

Floats = NDArray[np.float64]


def describe(texts: Sequence[str]) -> Floats:
    """
    Give what the teacher sees of each text: its sentence vector, and how offensive another model finds it.

    Encoding takes minutes, so the outcome is kept in ``CACHE`` under a checksum of the texts.

    Returns:
        Shape (texts, width + 1).
    """
    path = CACHE / f"described-{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:16]}.npy"
    if path.exists():
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    found = offensive(texts)
    vectors = Encoder.load().encode(texts) * VECTOR_SCALE
    described = np.hstack([vectors, np.log((found + 1e-4) / (1 - found + 1e-4))[:, np.newaxis] / 2])
    CACHE.mkdir(exist_ok=True)
    np.save(path, described.astype(np.float32))
    return np.asarray(described.astype(np.float32), dtype=np.float64)


def offensive(texts: Sequence[str]) -> Floats:
    """
    Give the probability that each text is offensive, by a model that was fitted to far more data.

    Source:
        alt-profanity-check (MIT), whose weights were fitted to Jigsaw's and Davidson's comments.
    """
    from profanity_check import predict_prob  # noqa: PLC0415  (loads its model when imported)

    return np.asarray(predict_prob(list(texts)), dtype=np.float64)


def teach(described: Floats, known: NDArray[np.bool_], y: Floats, weights: Floats) -> Floats:
    """
    Learn one head from the texts where it is known, and give an opinion on all.

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
