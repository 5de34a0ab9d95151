"""Calibrates logits to probabilities, and chooses the thresholds of the policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from content_moderator.classifiers.embedded.linear_model import HEADS

FALSE_ALARMS: Final = {"everyday": 0.003, "identity": 0.002, "short": 0.002, "long": 0.003}
"""
The largest share of harmless rows that a label sends to review: everyday talk, groups, short texts, many
sentences.
"""

FALSE_BLOCKS: Final = {"everyday": 0.0003, "identity": 0.002, "short": 0.0, "long": 0.0003}
"""The same for blocking, which only the two strongest heads may do."""

BLOCKING_HEADS: Final = ("S", "H")
WEAK_HEADS: Final = ("H2", "V2")
WEAK_SHARE: Final = 0.2
"""
The share of these rates for heads with few rows, whose violations are nearly always found by H and V as well.
"""

LOWEST_BLOCK: Final = 0.95
PRECISION_OF_BLOCK: Final = 0.9
"""The least precision of blocking, on the rows with exact labels."""

MIN_BLOCKED: Final = 10
ASKED: Final = 0.2
"""The share of everyday talk that the encoder scores."""

FOREIGN_FALSE_ALARMS: Final = 0.017
"""The largest share of harmless sentences in another language that a label sends to review."""

FOREIGN_FALSE_ALARMS_OF_GROUPS: Final = 0.05
"""The same for sentences about groups, which have only a few frames."""

FOREIGN_MARGIN: Final = 0.3
"""An additional margin in log-odds, because there are only a hundred sentences in each language."""

MOST_FOR_SHORT: Final = 2.0
LEAST_GROWTH, MOST_GROWTH = 0.05, 0.8
"""The least growth of the margin, in log-odds for each doubling of the number of parts."""

LEAST_GROWTH_OF_ANY: Final = 0.6
"""The same for the head for any violation, which ranks parts worse: .714 AUPRC with .2, .773 with .6."""

LOUDEST_SHIFT, SOFTEST_SHIFT = 0.0, -4.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassifierPipeline:
    """
    Platt's scaling of each head.

    Args:
        slope: Shape (heads,).
        intercept: Shape (heads,).
    """

    slope: Floats
    intercept: Floats

    def apply(self, logits: Floats) -> Floats:
        """Return calibrated log-odds."""
        return np.asarray(logits * self.slope + self.intercept)


def calibrate(logits: Floats, targets: Floats) -> ClassifierPipeline:
    """
    Fit the line of each head.

    Args:
        logits: Out of fold, shape (texts, heads).
        targets: 1, 0 or NaN for unknown, shape (texts, heads).
    """
    lines = np.array([_logistic(logits[:, [head]], targets[:, head]) for head in range(len(HEADS))])
    return ClassifierPipeline(lines[:, 0], lines[:, 1])


def stack_of(odds: Floats, targets: Floats) -> tuple[float, float, float]:
    """Fit the combination of the head for any violation and the highest label."""
    own, highest, bias = _logistic(np.stack([odds[:, -1], odds[:, :-1].max(axis=1)], axis=1), targets[:, -1])
    return own, highest, bias


def growth_of(loudest: Floats, parts: NDArray[np.int64], limits: Floats) -> Floats:
    """
    Return the growth of the highest log-odds among several harmless parts, for each doubling of their number.

    Args:
        loudest: Log-odds of the highest part of each harmless text, shape (texts, heads).
        parts: The number of parts of each, shape (texts,).
        limits: Log-odds that the allowed share of whole texts exceeds, shape (heads,).
    """
    excess = (loudest - limits) / np.log2(parts + 1)[:, np.newaxis]
    growth = np.clip(np.quantile(excess, 1 - FALSE_ALARMS["long"], axis=0), LEAST_GROWTH, MOST_GROWTH)
    growth[-1] = max(growth[-1], LEAST_GROWTH_OF_ANY)
    return np.asarray(growth)


def for_short_texts(odds: Floats, limits: Floats) -> Floats:
    """
    Return the amount to subtract from the log-odds of texts of few words, so that harmless ones do not go to
    review.

    Args:
        odds: Log-odds of harmless texts of few words, shape (texts, heads).
        limits: The log-odds from which on a head reviews, shape (heads,).
    """
    return np.clip(np.quantile(odds, 1 - FALSE_ALARMS["short"], axis=0) - limits + 0.05, 0, MOST_FOR_SHORT)


def _logistic(x: Floats, y: Floats) -> list[float]:
    known = ~np.isnan(y)
    model = LogisticRegression(C=1e3).fit(x[known], y[known])
    return [*map(float, model.coef_[0]), float(model.intercept_[0])]


def thresholds(
    harmless: Mapping[str, Floats], judged: Floats, targets: Floats
) -> dict[str, dict[str, float | None]]:
    """
    Choose the thresholds of each head by its false alarms.

    Args:
        harmless: Out-of-fold probabilities of harmless texts, by the names in ``FALSE_ALARMS``, shape (n, heads) each.
        judged: Probabilities of the rows with exact labels, shape (n, heads).
        targets: Targets of these rows, shape (n, heads).
    Returns:
        For each head the lowest threshold within all rates, rounded up to two digits.
    """

    def lowest(head: int, rates: Mapping[str, float]) -> float:
        share = WEAK_SHARE if HEADS[head] in WEAK_HEADS else 1
        # Short texts have a calibration of their own, which is to keep them below.
        others = {name: each for name, each in harmless.items() if name != "short"}
        found = [np.quantile(each[:, head], 1 - share * rates[name]) for name, each in others.items()]
        return float(np.ceil(max(found) * 100) / 100)

    return {
        name: {
            "review": min(lowest(head, FALSE_ALARMS), 0.99),
            "block": _block(lowest(head, FALSE_BLOCKS), judged[:, head], targets[:, head])
            if name in BLOCKING_HEADS
            else None,
        }
        for head, name in enumerate(HEADS)
    }


def _block(lowest: float, p: Floats, y: Floats) -> float | None:
    """Return the lowest threshold for blocking with the required precision; None if there is none."""
    for threshold in np.arange(max(lowest, LOWEST_BLOCK), 1.0, 0.01):
        blocked = p >= threshold
        if blocked.sum() < MIN_BLOCKED:
            return None
        if np.nanmean(y[blocked]) >= PRECISION_OF_BLOCK:
            return round(float(threshold), 2)
    return None


def shift_of(odds: Floats, limits: Sequence[float], rate: float) -> Floats:
    """
    Return the amount to add to the log-odds of a language, so that it has few false alarms.

    Args:
        odds: Of harmless sentences in it, shape (n, heads).
        limits: The log-odds from which on a head reviews.
        rate: Share of them that each head may send to review.
    """
    loud = np.quantile(odds, 1 - rate, axis=0)
    return np.clip(np.array(limits) - loud - FOREIGN_MARGIN, SOFTEST_SHIFT, LOUDEST_SHIFT)


def sigmoid(logits: Floats) -> Floats:
    """Turn logits into probabilities."""
    return np.asarray(1 / (1 + np.exp(-logits)))
