"""From logits to probabilities, and from probabilities to the thresholds of the policy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from content_moderator.classifiers.embedded_model import stack_any
from training.source import HEADS

FALSE_ALARMS = {"everyday": 0.003, "identity": 0.06}
"""
Share of benign rows that a label may send to review: of everyday talk, of sentences about groups. The
second looks high because it is asked of sentences whose whole template the fit has not seen.
"""
FALSE_BLOCKS = {"everyday": 0.0003, "identity": 0.01}
"""The same for blocking, which only the two strongest heads may do."""
BLOCKING_HEADS = ("S", "H")
LOWEST_BLOCK = 0.9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """
    What turns the heads' logits into calibrated log-odds.

    Args:
        slope: Shape (heads,).
        intercept: Shape (heads,).
        stack: Weights of the "any" head and of the highest label in the log-odds of any violation, and
            their bias, applied after slope and intercept.
    """

    slope: Floats
    intercept: Floats
    stack: tuple[float, float, float]

    def apply(self, logits: Floats) -> Floats:
        """Calibrate *logits*, shape (n, heads)."""
        return stack_any(logits * self.slope + self.intercept, self.stack)


def calibrate(logits: Floats, targets: Floats) -> Calibration:
    """Fit Platt's slope and intercept for each head, and how the labels speak for any violation."""
    platt = np.array([_logistic(logits[:, [h]], targets[:, h]) for h in range(len(HEADS))])
    slope, intercept = platt.T
    odds = logits * slope + intercept
    own, highest = odds[:, -1], odds[:, :-1].max(axis=1)
    u, v, w = _logistic(np.stack([own, highest], axis=1), targets[:, -1])
    return Calibration(slope, intercept, (u, v, w))


def _logistic(x: Floats, y: Floats) -> list[float]:
    known = ~np.isnan(y)
    model = LogisticRegression(C=1e3).fit(x[known], y[known])
    return [*map(float, model.coef_[0]), float(model.intercept_[0])]


def thresholds(everyday: Floats, identity: Floats) -> dict[str, dict[str, float | None]]:
    """
    Choose from which probability a head reviews and blocks, by its false alarms.

    Args:
        everyday: Out-of-fold probabilities of benign everyday talk, shape (n, heads).
        identity: The same for kind and plain sentences about groups.
    Returns:
        For each head the lowest probability that respects both rates, rounded up to two digits.
    """

    def lowest(head: int, rates: dict[str, float]) -> float:
        found = [
            np.quantile(everyday[:, head], 1 - rates["everyday"]),
            np.quantile(identity[:, head], 1 - rates["identity"]),
        ]
        return float(np.ceil(max(found) * 100) / 100)

    return {
        name: {
            "review": min(lowest(head, FALSE_ALARMS), 0.99),
            "block": max(lowest(head, FALSE_BLOCKS), LOWEST_BLOCK) if name in BLOCKING_HEADS else None,
        }
        for head, name in enumerate(HEADS)
    }


def sigmoid(logits: Floats) -> Floats:
    """Turn logits into probabilities."""
    return np.asarray(1 / (1 + np.exp(-logits)))
