"""From logits to probabilities, and from probabilities to the thresholds of the policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from content_moderator.classifiers.embedded_model import HEADS, PartWeights, merge_parts, stack_any, wholes
from content_moderator.core.text import Division

FALSE_ALARMS = {"everyday": 0.003, "identity": 0.045}
"""
Share of benign rows that a label may send to review: of everyday talk, of sentences about groups. The
second looks high because it is asked of sentences whose whole template the fit has not seen.
"""
FALSE_BLOCKS = {"everyday": 0.0003, "identity": 0.01}
"""The same for blocking, which only the two strongest heads may do."""
BLOCKING_HEADS = ("S", "H")
LOWEST_BLOCK = 0.9

Floats = NDArray[np.float64]


class Scored(NamedTuple):
    """
    Out-of-fold logits of texts.

    Args:
        logits: Of all parts of the first text, then of the next, shape (parts, heads).
        divisions: How each text was divided.
    """

    logits: Floats
    divisions: Sequence[Division]

    @property
    def whole(self) -> Floats:
        """Those of the whole texts, shape (texts, heads)."""
        return np.asarray(self.logits[wholes(self.divisions)])

    def at(self, texts: Sequence[int] | NDArray[np.int64]) -> "Scored":
        """Choose some of the texts."""
        parts = np.split(self.logits, wholes(self.divisions)[1:])
        return Scored(np.concatenate([parts[i] for i in texts]), [self.divisions[i] for i in texts])


@dataclass(frozen=True, slots=True)
class Calibration:
    """
    What turns the heads' logits into calibrated log-odds.

    Args:
        slope: Shape (heads,).
        intercept: Shape (heads,).
        parts: How the parts of a long text speak for it, after slope and intercept.
        stack: Weights of the "any" head and of the highest label in the log-odds of any violation, and
            their bias, after that.
    """

    slope: Floats
    intercept: Floats
    parts: PartWeights
    stack: tuple[float, float, float]

    def apply(self, scored: Scored) -> Floats:
        """Give the calibrated log-odds of texts, shape (texts, heads)."""
        odds = scored.logits * self.slope + self.intercept
        return stack_any(merge_parts(odds, scored.divisions, self.parts), self.stack)


def calibrate(plain: Scored, padded: Scored, targets: Floats) -> Calibration:
    """
    Fit Platt's slope and intercept for each head, and how parts and labels speak for more than themselves.

    Args:
        plain: Texts.
        padded: The same texts hidden in harmless ones: they have the same targets.
        targets: 1, 0 or NaN for unknown, shape (texts, heads).
    """
    slope, intercept = np.array([_logistic(plain.whole[:, [h]], targets[:, h]) for h in range(len(HEADS))]).T
    scaled = [Scored(each.logits * slope + intercept, each.divisions) for each in (plain, padded)]
    parts = _weigh_parts(scaled, targets)
    odds = merge_parts(*scaled[0], parts)
    u, v, w = _logistic(np.stack([odds[:, -1], odds[:, :-1].max(axis=1)], axis=1), targets[:, -1])
    return Calibration(slope, intercept, parts, (u, v, w))


def _weigh_parts(scored: Sequence[Scored], targets: Floats) -> PartWeights:
    """Fit three weights for all heads together and a bias for each: some heads have a handful of rows."""
    x, y = [], []
    for each in scored:
        long = np.array([i for i, division in enumerate(each.divisions) if division.passages])
        # With one of the weights 1 and the others 0, `merge_parts` gives what that weight is for.
        features = [
            merge_parts(*each, PartWeights(*only, np.zeros(1, dtype=np.float32)))[long]
            for only in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
        ]
        which = np.tile(np.eye(len(HEADS)), (len(long), 1))
        x.append(np.hstack([np.stack([f.ravel() for f in features], axis=1), which]))
        y.append(targets[long].ravel())
    known = ~np.isnan(np.concatenate(y))
    model = LogisticRegression(C=1.0, max_iter=1000).fit(np.concatenate(x)[known], np.concatenate(y)[known])
    whole, passage, sentence, *bias = map(float, model.coef_[0])
    return PartWeights(
        whole, passage, sentence, np.array(bias, dtype=np.float32) + np.float32(model.intercept_[0])
    )


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
