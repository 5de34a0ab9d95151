"""
Fits the model to rows, with the shipped weights as the prior.

Each head is a logistic regression with a penalty on the distance from the shipped weights, as ridge
regression has on the distance from 0. Words that do not occur in the rows keep their weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit
from sklearn.model_selection import GroupKFold

from content_moderator.classifiers.embedded.features import BUCKETS, count_features
from content_moderator.classifiers.embedded.linear_model import (
    HEADS,
    EmbeddedModel,
    feature_values,
    margins_of,
    stack_any,
)
from content_moderator.classifiers.embedded.sentence_encoder import SentenceEncoder
from content_moderator.offline.evaluation.labelled import LabelledRow, near_duplicate_key
from content_moderator.text.cleaning import clean
from content_moderator.text.normalization import words_of
from content_moderator.text.sentence import parts_of

FOLDS: Final = 5
STRENGTHS: Final = (0.03, 0.1, 0.3, 1.0)
"""
The prior variances of the change of a weight that are tried. With larger ones, or with a larger one for the
bias, a few dozen rows that are mostly violations would make the model see violations everywhere.
"""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """The change of the shipped model: weights, shape (BUCKETS, heads), and biases, shape (heads,)."""

    weights: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class Sample:
    """
    The features and targets of rows.

    Args:
        x: Features of all parts of the first text, then of the next, shape (parts, BUCKETS).
        prior: Log-odds of the parts by the n-grams of the shipped model, shape (parts, heads).
        second: Log-odds of the parts by its encoder, which is not changed, shape (parts, heads); None without
            encoder.
        owner: Index of the text of each part, shape (parts,).
        whole: Index of the part that is the whole text, shape (texts,).
        targets: 1, 0 or NaN for unknown, shape (texts, heads).
        groups: Group of each text; texts with the same beginning are one group, shape (texts,).
    """

    x: csr_matrix
    prior: Floats
    second: Floats | None
    owner: NDArray[np.int64]
    whole: NDArray[np.int64]
    targets: Floats
    groups: Sequence[str]


def sample_of(
    rows: Sequence[LabelledRow], model: EmbeddedModel, encoder: SentenceEncoder | None = None
) -> Sample:
    """Return the features and targets of *rows*, with *encoder* for the second opinion."""
    texts = [clean(row.text) for row in rows]
    words: list[list[str]] = []
    owner: list[int] = []
    whole: list[int] = []
    for number, text in enumerate(texts):
        read = words_of(text)
        parts = [part.words for part in parts_of(text, read)]
        whole.append(len(words))
        words += [read, *parts]
        owner += [number] * (1 + len(parts))
    counts = count_features(words, model.lexicon)
    values = feature_values(counts, model.idf).astype(float)
    return Sample(
        x=csr_matrix((values, (counts.text, counts.bucket)), shape=(len(words), BUCKETS)),
        prior=model.logits(counts, len(words)).astype(float),
        second=None if encoder is None else _second(words, model, encoder),
        owner=np.array(owner),
        whole=np.array(whole),
        targets=np.array([[float(row.labels.get(head, np.nan)) for head in HEADS] for row in rows]),
        groups=[near_duplicate_key(text) for text in texts],
    )


def _second(words: Sequence[Sequence[str]], model: EmbeddedModel, encoder: SentenceEncoder) -> Floats:
    return model.second.logits(encoder.encode([" ".join(each) for each in words])).astype(float)


def fit(sample: Sample, rows: NDArray[np.int64], strength: float) -> Change:
    """
    Fit every head to some rows.

    Args:
        sample: All rows.
        rows: The rows to fit to.
        strength: One of ``STRENGTHS``.
    """
    parts = sample.whole[rows]
    x, prior, targets = sample.x[parts], sample.prior[parts], sample.targets[rows]
    share = 1.0
    if sample.second is not None:
        # The effect of the n-grams is halved, because the mean with the encoder's log-odds is used.
        share, prior = 0.5, (prior + sample.second[parts]) / 2
    active = np.unique(x.indices)
    weights, bias = np.zeros((BUCKETS, len(HEADS))), np.zeros(len(HEADS))
    for head in range(len(HEADS)):
        known = ~np.isnan(targets[:, head])
        # If all rows agree, they say nothing about the boundary of a label: such a head is not changed.
        if len(np.unique(targets[known, head])) > 1:
            weights[active, head], bias[head] = _fit_head(
                x[known][:, active], targets[known, head], prior[known, head], strength, share
            )
    return Change(weights, bias)


def _fit_head(x: csr_matrix, y: Floats, prior: Floats, strength: float, share: float) -> tuple[Floats, float]:
    def loss(change: Floats) -> tuple[float, Floats]:
        odds = prior + share * (x @ change[:-1] + change[-1])
        missed = share * (expit(odds) - y)
        gradient = np.append(x.T @ missed, missed.sum()) + change / strength
        # ln(1 + e^odds) - y * odds is the negative log-likelihood of y.
        likelihood = np.logaddexp(0, odds) - y * odds
        return float(likelihood.sum() + 0.5 * (change @ change) / strength), gradient

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return found.x[:-1], float(found.x[-1])


def odds_of(sample: Sample, model: EmbeddedModel, change: Change | None = None) -> Floats:
    """Return the log-odds of each text by the model, changed or not, shape (texts, heads)."""
    linear = sample.prior
    if change is not None:
        linear = linear + sample.x @ change.weights + change.bias
    odds = stack_any(_merged(sample, model, linear), model.stack)
    if sample.second is None:
        return odds
    both = stack_any(_merged(sample, model, (linear + sample.second) / 2), model.stack)
    return np.where(odds[:, [-1]] > model.ask_above, both, odds)


def _merged(sample: Sample, model: EmbeddedModel, odds: Floats) -> Floats:
    """Return the log-odds of each text: those of its highest part less the margin, if that is higher."""
    merged = odds[sample.whole]
    parts = np.bincount(sample.owner) - 1
    margins = np.stack([margins_of(model.growth, int(count)) for count in parts])
    others = np.setdiff1d(np.arange(len(odds)), sample.whole)
    np.maximum.at(merged, sample.owner[others], odds[others] - margins[sample.owner[others]])
    return merged


def out_of_fold_odds(sample: Sample, model: EmbeddedModel, strength: float) -> Floats:
    """Return the log-odds of each text by a model that was fitted without the group of the text."""
    found = np.zeros(sample.targets.shape)
    splits = GroupKFold(min(FOLDS, len(set(sample.groups))), shuffle=True, random_state=0)
    for rows, held_out in splits.split(sample.targets, groups=sample.groups):
        found[held_out] = odds_of(sample, model, fit(sample, rows, strength))[held_out]
    return found


def log_loss(odds: Floats, targets: Floats) -> float:
    """Return the mean negative log-likelihood of the known targets, in nats."""
    known = ~np.isnan(targets)
    odds, y = odds[known], targets[known]
    return float((np.logaddexp(0, odds) - y * odds).mean())


def changed(model: EmbeddedModel, change: Change) -> tuple[Floats, dict[str, Any]]:
    """Return the weights and the header of the changed model, ready for `write_model`."""
    header = {
        name: model.header[name]
        for name in ("format", "heads", "any", "growth", "short", "second_opinion", "lexicon", "sources")
    }
    header["bias"] = [float(value) for value in model.bias + change.bias]
    header["retrained_from"] = model.revision
    return model.weights * model.scale + change.weights, header
