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
"""Rows with a label, and rows without, below which nothing is measured."""


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """The share of what a threshold stops that is right, and the share of what is right that it stops."""

    threshold: float
    precision: float | None
    recall: float


@dataclass(frozen=True, slots=True)
class LabelReport:
    """
    How well one label's scores do.

    Args:
        label: The label, or ANY.
        rows: Rows of which it is known.
        positives: Those that have it.
        auprc: Area under the precision-recall curve, by average precision; chance is positives / rows.
        auroc: Area under the ROC curve; chance is 0.5.
        calibration: Expected calibration error; 0 is best.
        at: What the policy's thresholds do, by action.
        truth: 1 or 0 for each row.
        scores: For each row.
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
    What the policy decides, over all labels.

    Args:
        positives: Rows that have a label.
        negatives: Rows that have none, as far as is known.
        precision: Share of what is stopped that has a label; None if nothing is.
        recall: Share of the rows with a label that are stopped; None if there are none.
        false_alarms: Share of the rows without that are; None if there are none.
    """

    positives: int
    negatives: int
    precision: float | None
    recall: float | None
    false_alarms: float | None


def decisions(rows: Sequence[LabelledRow], verdicts: Sequence[Verdict]) -> dict[str, DecisionReport]:
    """Measure what is flagged, that is reviewed or blocked, and what is blocked."""
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
    Measure every label of which some row knows something.

    Args:
        rows: What is true.
        verdicts: What was judged, in the same order.
        rules: The thresholds of the classifier that judged.
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
