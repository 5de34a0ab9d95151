"""Measures the calibration of probabilities."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

CALIBRATION_BINS: Final = 10

Floats = NDArray[np.float64]


def bins_of(p: Floats) -> NDArray[np.int64]:
    """Return the index of the bin of each probability, among ``CALIBRATION_BINS`` bins of equal width."""
    return np.minimum((p * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def calibration_error(y: Floats, p: Floats) -> float:
    """
    Return the expected calibration error.

    Source:
        Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
    """
    bins = bins_of(p)
    gaps = [abs(y[bins == b].mean() - p[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(sum(gaps))
