"""
Fits rows with the shipped model as their prior.

Each head stays a logistic regression, whose weights are drawn towards the shipped ones as ridge
regression draws them towards 0: a word that the rows say nothing about keeps its weight.
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

from content_moderator.classifiers.embedded import parts_of
from content_moderator.classifiers.embedded_feature import BUCKETS, count_features
from content_moderator.classifiers.embedded_model import (
    HEADS,
    EmbeddedModel,
    feature_values,
    merge_parts,
    stack_any,
    wholes,
)
from content_moderator.core.text import Division, divide, normalise
from content_moderator.evaluation.labelled import LabelledRow, near_duplicate_key

FOLDS: Final = 5
STRENGTHS: Final = (0.03, 0.1, 0.3, 1.0)
"""
Variances of the change of a weight that are tried: how far the rows may pull. With more, or with a bias
freer than the weights, a few dozen rows, most of them violations, make the model see violations everywhere.
"""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """What is added to the shipped model: weights, shape (BUCKETS, heads), and biases, shape (heads,)."""

    weights: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class Sample:
    """
    Rows as the model sees them.

    Args:
        x: Features of all parts of the first text, then of the next, shape (parts, BUCKETS).
        prior: The shipped model's log-odds of the parts, shape (parts, heads).
        divisions: How each text was divided.
        whole: Which part is each whole text, shape (texts,).
        targets: 1, 0 or NaN for unknown, shape (texts, heads).
        groups: Texts that begin alike are of one group, shape (texts,).
    """

    x: csr_matrix
    prior: Floats
    divisions: Sequence[Division]
    whole: NDArray[np.int64]
    targets: Floats
    groups: Sequence[str]


def sample_of(rows: Sequence[LabelledRow], model: EmbeddedModel) -> Sample:
    """Look at *rows* as *model* does."""
    texts = [row.text for row in rows]
    divisions = [divide(text) for text in texts]
    normalised = [normalise(part) for part in parts_of(texts, divisions)]
    counts = count_features(normalised, model.lexicon)
    values = feature_values(counts, model.idf).astype(float)
    return Sample(
        x=csr_matrix((values, (counts.text, counts.bucket)), shape=(len(normalised), BUCKETS)),
        prior=model.logits(counts, len(normalised)).astype(float),
        divisions=divisions,
        whole=np.array(wholes(divisions)),
        targets=np.array([[float(row.labels.get(head, np.nan)) for head in HEADS] for row in rows]),
        groups=[near_duplicate_key(text) for text in texts],
    )


def fit(sample: Sample, rows: NDArray[np.int64], strength: float) -> Change:
    """
    Fit every head to some rows.

    Args:
        sample: All rows.
        rows: Which of them to fit to.
        strength: One of ``STRENGTHS``.
    """
    parts = sample.whole[rows]
    x, prior, targets = sample.x[parts], sample.prior[parts], sample.targets[rows]
    active = np.unique(x.indices)
    weights, bias = np.zeros((BUCKETS, len(HEADS))), np.zeros(len(HEADS))
    for head in range(len(HEADS)):
        known = ~np.isnan(targets[:, head])
        # Rows of one kind alone say nothing about where a label ends: such a head stays as it is.
        if len(np.unique(targets[known, head])) > 1:
            weights[active, head], bias[head] = _fit_head(
                x[known][:, active], targets[known, head], prior[known, head], strength
            )
    return Change(weights, bias)


def _fit_head(x: csr_matrix, y: Floats, prior: Floats, strength: float) -> tuple[Floats, float]:
    def loss(change: Floats) -> tuple[float, Floats]:
        odds = prior + x @ change[:-1] + change[-1]
        missed = expit(odds) - y
        gradient = np.append(x.T @ missed, missed.sum()) + change / strength
        # ln(1 + e^odds) - y * odds is the negative log-likelihood of y.
        likelihood = np.logaddexp(0, odds) - y * odds
        return float(likelihood.sum() + 0.5 * (change @ change) / strength), gradient

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return found.x[:-1], float(found.x[-1])


def odds_of(sample: Sample, model: EmbeddedModel, change: Change | None = None) -> Floats:
    """Give the log-odds that the model, changed or not, has for each text, shape (texts, heads)."""
    odds = sample.prior
    if change is not None:
        odds = odds + sample.x @ change.weights + change.bias
    return stack_any(merge_parts(odds, sample.divisions, model.parts), model.stack)


def out_of_fold_odds(sample: Sample, model: EmbeddedModel, strength: float) -> Floats:
    """Give the log-odds of each text by a model that was fitted without it and those that begin like it."""
    found = np.zeros(sample.targets.shape)
    splits = GroupKFold(min(FOLDS, len(set(sample.groups))), shuffle=True, random_state=0)
    for rows, held_out in splits.split(sample.targets, groups=sample.groups):
        found[held_out] = odds_of(sample, model, fit(sample, rows, strength))[held_out]
    return found


def log_loss(odds: Floats, targets: Floats) -> float:
    """Give the mean negative log-likelihood of the known targets, in nats."""
    known = ~np.isnan(targets)
    odds, y = odds[known], targets[known]
    return float((np.logaddexp(0, odds) - y * odds).mean())


def changed(model: EmbeddedModel, change: Change) -> tuple[Floats, dict[str, Any]]:
    """Give the weights and the header of the changed model, ready for `write_model`."""
    header = {name: model.header[name] for name in ("format", "heads", "any", "parts", "lexicon", "sources")}
    header["bias"] = [float(value) for value in model.bias + change.bias]
    header["retrained_from"] = model.revision
    return model.weights * model.scale + change.weights, header
