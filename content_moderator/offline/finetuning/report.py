"""Measures the gain of finetuning, on rows that the fitted model has not seen."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from content_moderator.classifiers.embedded.linear_model import HEADS
from content_moderator.offline.evaluation.measure import Floats, calibration_error

MIN_NEGATIVES: Final = 100
"""With fewer rows, a rate of false alarms of one in a hundred cannot be measured."""


def compare(before: Floats, after: Floats, targets: Floats, false_alarms: float) -> Iterator[str]:
    """
    Yield a table with one line for each head: the shipped model and the finetuned one, out of fold.

    Args:
        before: Probabilities of the shipped model, shape (texts, heads).
        after: Probabilities of models that have not seen the text, shape (texts, heads).
        targets: 1, 0 or NaN for unknown, shape (texts, heads).
        false_alarms: Share of the rows without a label that the threshold sends to review.
    """
    yield (
        f"{'':4} {'rows':>6} {'with':>6}   {'AUPRC':^15}   {'AUROC':^15}   {'calibration':^15}"
        f"   review from (false alarms {false_alarms:.1%})"
    )
    for head, name in enumerate(HEADS):
        known = ~np.isnan(targets[:, head])
        if not known.any():
            continue
        y = targets[known, head]
        columns = [_change(measure, y, before[known, head], after[known, head]) for measure in MEASURES]
        limit = threshold(after[known, head][y == 0], false_alarms)
        yield (
            f"{name:4} {known.sum():6} {int(y.sum()):6}   {'   '.join(columns)}"
            f"   {'-' if limit is None else f'{limit:.2f}'}"
        )


def threshold(negatives: Floats, false_alarms: float) -> float | None:
    """Return the lowest threshold, rounded up, that at most this share of *negatives* reaches."""
    if len(negatives) < MIN_NEGATIVES:
        return None
    return min(float(np.ceil(np.quantile(negatives, 1 - false_alarms) * 100 + 1e-9) / 100), 1.0)


MEASURES: Final[tuple[Callable[[Floats, Floats], float], ...]] = (
    average_precision_score,
    roc_auc_score,
    calibration_error,
)


def _change(measure: Callable[[Floats, Floats], float], y: Floats, before: Floats, after: Floats) -> str:
    if y.all() or not y.any():
        return f"{'-':^15}"
    return f"{measure(y, before):5.3f} -> {measure(y, after):5.3f}"
