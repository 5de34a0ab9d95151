"""Measures a classifier on labelled rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from content_moderator.domain.policy import Rule, score_of
from content_moderator.domain.verdict import RULE_NAMES, Verdict
from content_moderator.offline.evaluation.labelled import LabelledRow, harmful
from content_moderator.offline.evaluation.measure import Floats, calibration_error

MIN_OF_EACH: Final = 5
"""The least number of rows with a label, and of rows without, for a measurement."""


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """Precision and recall at a threshold."""

    threshold: float
    precision: float | None
    recall: float


@dataclass(frozen=True, slots=True)
class LabelReport:
    """
    The measurements of one label.

    Args:
        label: The label, or ANY.
        rows: Rows for which the label is known.
        positives: Rows with the label.
        auprc: Area under the precision-recall curve, by average precision; chance is positives / rows.
        auroc: Area under the ROC curve; chance is 0.5.
        calibration: Expected calibration error; 0 is best.
        at: Precision and recall at the policy's thresholds, by action.
        truth: 1 or 0 for each row.
        scores: The score of each row.
    """

    label: str
    rows: int
    positives: int
    auprc: float | None
    auroc: float | None
    calibration: float
    at: dict[str, AtThreshold]
    truth: Floats
    scores: Floats


@dataclass(frozen=True, slots=True)
class DecisionReport:
    """
    The measurements of decisions, over all labels.

    Args:
        positives: Rows with a label.
        negatives: Rows without a known label.
        precision: Share of the affected rows that have a label; None if no row is affected.
        recall: Share of the rows with a label that are affected; None if there are none.
        false_alarms: Share of the rows without a label that are affected; None if there are none.
    """

    positives: int
    negatives: int
    precision: float | None
    recall: float | None
    false_alarms: float | None


def decisions(rows: Sequence[LabelledRow], verdicts: Sequence[Verdict]) -> dict[str, DecisionReport]:
    """Measure the decisions: flagged (reviewed or blocked), and blocked."""
    truth = np.array([harmful(row) for row in rows])
    stopped = {
        "flagged": np.array([verdict.flagged for verdict in verdicts]),
        "blocked": np.array([verdict.decision == "block" for verdict in verdicts]),
    }
    return {
        name: DecisionReport(
            positives=int(truth.sum()),
            negatives=int((~truth).sum()),
            precision=float(truth[each].mean()) if each.any() else None,
            recall=float(each[truth].mean()) if truth.any() else None,
            false_alarms=float(each[~truth].mean()) if (~truth).any() else None,
        )
        for name, each in stopped.items()
    }


def reports(
    rows: Sequence[LabelledRow], verdicts: Sequence[Verdict], rules: Mapping[str, Rule]
) -> Iterator[LabelReport]:
    """
    Measure every label that is known for some row.

    Args:
        rows: The labelled rows.
        verdicts: The verdicts, in the same order.
        rules: The thresholds of the classifier.
    """
    for name in RULE_NAMES:
        known = [
            (row.labels[name], score_of(verdict.classification, name))
            for row, verdict in zip(rows, verdicts, strict=True)
            if name in row.labels
        ]
        if known:
            truth, scores = np.array(known, dtype=np.float64).T
            yield _report(name, truth, scores, rules.get(name, Rule()))


def _report(name: str, truth: Floats, scores: Floats, rule: Rule) -> LabelReport:
    positives = int(truth.sum())
    enough = min(positives, len(truth) - positives) >= MIN_OF_EACH
    return LabelReport(
        label=name,
        rows=len(truth),
        positives=positives,
        auprc=float(average_precision_score(truth, scores)) if enough else None,
        auroc=float(roc_auc_score(truth, scores)) if enough else None,
        calibration=calibration_error(truth, scores),
        at={action: _at(value, truth, scores) for action, value in asdict(rule).items() if value is not None},
        truth=truth,
        scores=scores,
    )


def _at(threshold: float, truth: Floats, scores: Floats) -> AtThreshold:
    stopped = scores >= threshold
    right = float(truth[stopped].sum())
    precision = right / float(stopped.sum()) if stopped.any() else None
    return AtThreshold(threshold, precision, right / truth.sum() if truth.any() else 0.0)
