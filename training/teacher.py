"""What another model knows: used when fitting only, never shipped."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def teach_any(texts: Sequence[str]) -> NDArray[np.float64]:
    """
    Give the probability that each text is offensive, by a model that was fitted to far more data.

    Source:
        alt-profanity-check (MIT), whose weights were fitted to Jigsaw's and Davidson's comments. As a
        teacher for "any violation" it lifted the out-of-fold AUPRC by about .015; the single labels
        became worse (macro .500 to .441), so it is not asked about them.
    """
    from profanity_check import predict_prob  # noqa: PLC0415  (loads its model when imported)

    return np.asarray(predict_prob(list(texts)), dtype=np.float64)
