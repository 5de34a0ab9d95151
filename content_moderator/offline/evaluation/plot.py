"""Plots of precision by recall and of calibration."""

from pathlib import Path
from typing import Final

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import precision_recall_curve

from content_moderator.offline.evaluation.measure import Floats, bins_of

MIN_POINT: Final = 10
"""The least number of rows for a point of the calibration plot."""


class Curves:
    """Plots of precision by recall and of calibration, one line for each label."""

    def __init__(self) -> None:
        mpl.use("agg")
        self._figure, (self._ranking, self._calibration) = plt.subplots(1, 2, figsize=(11, 4.5))

    def add(self, label: str, y: Floats, p: Floats) -> None:
        """Draw the lines of one label."""
        precision, recall, _ = precision_recall_curve(y, p)
        self._ranking.step(recall, precision, where="post", label=label)
        bins = bins_of(p)
        points = [
            (p[bins == b].mean(), y[bins == b].mean())
            for b in np.unique(bins)
            if (bins == b).sum() >= MIN_POINT
        ]
        # Drawn even without a point, because this legend explains the colours of both plots.
        self._calibration.plot(*(zip(*points, strict=True) if points else ([], [])), marker="o", label=label)

    def save(self, path: Path) -> None:
        """Write the plots as a PNG."""
        self._ranking.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
        self._calibration.plot([0, 1], [0, 1], color="grey", linestyle=":")
        self._calibration.set(xlabel="mean score", ylabel="share that applies", xlim=(0, 1), ylim=(0, 1))
        self._calibration.legend(title=f"bins of {MIN_POINT} rows\nand more")
        self._figure.tight_layout()
        self._figure.savefig(path, dpi=100, format="png", metadata={"Software": None})
