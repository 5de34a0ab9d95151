"""Finetunes the embedded model: choose the penalty, report, fit, write."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from scipy.special import expit

from content_moderator.classifiers.embedded.linear_model import EmbeddedModel, write_model
from content_moderator.classifiers.embedded.sentence_encoder import SentenceEncoder
from content_moderator.config.atomic_file import replacing
from content_moderator.domain.errors import TrainingError
from content_moderator.offline.evaluation.labelled import LabelledRow
from content_moderator.offline.finetuning.fit import (
    STRENGTHS,
    changed,
    fit,
    log_loss,
    odds_of,
    out_of_fold_odds,
    sample_of,
)
from content_moderator.offline.finetuning.report import compare

MIN_ROWS: Final = 10


def train(
    rows: Sequence[LabelledRow],
    base: EmbeddedModel,
    output: Path,
    *,
    false_alarms: float,
    encoder: SentenceEncoder | None = None,
) -> Iterator[str]:
    """
    Finetune *base* with *rows*, and write the model.

    Args:
        rows: At least ``MIN_ROWS`` rows with different beginnings.
        base: The model to finetune.
        output: The file of the new model; written completely or not at all.
        false_alarms: See `compare`.
        encoder: Gives the second opinion; None for none.
    Yields:
        The lines of a report; the file is written after the last.
    Raises:
        TrainingError: There are too few rows.
    """
    sample = sample_of(rows, base, encoder)
    if len(set(sample.groups)) < MIN_ROWS:
        raise TrainingError(
            f"{len(set(sample.groups))} rows that begin differently; at least {MIN_ROWS} are needed"
        )
    before = odds_of(sample, base)
    yield f"{len(rows)} rows, prior: model {base.revision}. Mean log loss, out of fold:"
    as_it_is = log_loss(before, sample.targets)
    yield f"  {as_it_is:.4f} as it is"
    tried = {strength: out_of_fold_odds(sample, base, strength) for strength in STRENGTHS}
    losses = {strength: log_loss(odds, sample.targets) for strength, odds in tried.items()}
    for strength, loss in losses.items():
        yield f"  {loss:.4f} retrained with strength {strength:g}"
    best = min(losses, key=losses.__getitem__)
    if losses[best] >= as_it_is:
        yield "These rows do not make the model better: there are too few, or they contradict each other."
    yield f"Strength {best:g} it is. Before -> after, on rows that the fit has not seen:"
    yield from compare(expit(before), expit(tried[best]), sample.targets, false_alarms)
    weights, header = changed(base, fit(sample, np.arange(len(rows)), best))
    header["retrained_on"] = {"rows": len(rows), "strength": best}
    with replacing(output) as fresh:
        write_model(
            fresh, header=header, idf=base.idf, weights=weights.astype(np.float32), second=base.second
        )
    revision = EmbeddedModel.load(output).revision
    yield f"{output} written, revision {revision}. To use it: classifier.model_path: {output.resolve()}"
    yield "and the thresholds that suit it under policy.embedded."
