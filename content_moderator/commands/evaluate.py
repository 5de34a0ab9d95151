"""content-moderator evaluate."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from content_moderator.classifiers.factory import build_line
from content_moderator.commands.error import plain_errors
from content_moderator.commands.rows import good_rows
from content_moderator.commands.tenant import policy_of, tenant_option
from content_moderator.config import load_settings
from content_moderator.core.moderator import Moderator
from content_moderator.core.policy import RULE_NAMES, Verdict
from content_moderator.evaluation.labelled import LabelledRow
from content_moderator.extras import extra

if TYPE_CHECKING:
    from content_moderator.evaluation.report import LabelReport

BATCH_ROWS: Final = 64
COLUMNS: Final = ("label", "rows", "with", "AUPRC", "AUROC", "calibration", "review from", "block from")


@click.command()
@click.argument("rows", type=click.File("rb"), metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Draw precision by recall, and calibration, to this PNG.",
)
@click.option("--skip-bad-rows", is_flag=True, help="Measure the good rows although there are bad ones.")
@tenant_option
@plain_errors
def evaluate(
    rows: BinaryIO, as_json: bool, plot: Path | None, skip_bad_rows: bool, tenant: str | None
) -> None:
    """
    Measure the classifier that is set against rows that people have judged.

    FILE has JSON Lines, as for train:

        {"text": "...", "labels": {"HR": true, "S": false}}

    Labels are S, H, V, HR, SH, S3, H2, V2 and ANY; one that is absent is unknown, and ANY is filled in where
    it follows. AUPRC is the average precision (chance: the share of rows with the label), AUROC the area
    under the ROC curve (chance: 0.5), calibration the expected calibration error (best: 0). "review from" and
    "block from" are the policy's thresholds, with the precision and recall that they have.
    """
    with extra("evaluate", needed_by="content-moderator evaluate"):
        from content_moderator.evaluation.report import reports  # noqa: PLC0415

        if plot is not None:
            from content_moderator.evaluation.plot import Curves  # noqa: PLC0415
    good = good_rows(rows, RULE_NAMES, skip_bad=skip_bad_rows)
    if not good:
        raise click.UsageError("there are no rows")
    settings = load_settings()
    line = build_line(settings)
    identity = line.classifier.identity
    policy = policy_of(settings, tenant)
    verdicts = _judge(Moderator(line.unremembered, policy), good)
    if any(verdict.classification.degraded for verdict in verdicts):
        raise click.ClickException("a stand-in answered some rows; set classifier.on_unavailable to error")
    found = list(reports(good, verdicts, policy.rules[identity.name]))
    if as_json:
        measured = {report.label: _as_dict(report) for report in found}
        click.echo(json.dumps({"classifier": asdict(identity), "labels": measured}))
    else:
        _print(found, f"{identity.name}: {identity.model}, revision {identity.revision[:12]}")
    if plot is not None:
        curves = Curves()
        for report in found:
            if report.auprc is not None:
                curves.add(report.label, report.truth, report.scores)
        curves.save(plot)


def _judge(moderator: Moderator, rows: Sequence[LabelledRow]) -> list[Verdict]:
    starts = range(0, len(rows), BATCH_ROWS)
    progress = track(starts, "judging", console=Console(stderr=True), transient=True)
    return [
        verdict
        for start in progress
        for verdict in moderator.moderate([row.text for row in rows[start : start + BATCH_ROWS]])
    ]


def _print(found: "Sequence[LabelReport]", title: str) -> None:
    caption = "of a threshold: precision / recall"
    table = Table(*COLUMNS, title=title, title_justify="left", caption=caption, caption_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for report in found:
        measures = [_number(each) for each in (report.auprc, report.auroc, report.calibration)]
        actions = [_action(report, action) for action in ("review", "block")]
        table.add_row(report.label, f"{report.rows:,}", f"{report.positives:,}", *measures, *actions)
    Console(width=max(Console().width, 100)).print(table)


def _action(report: "LabelReport", action: str) -> str:
    at = report.at.get(action)
    if at is None:
        return "never"
    return f"{at.threshold}: {_number(at.precision)} / {_number(at.recall)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _as_dict(report: "LabelReport") -> dict[str, Any]:
    return {
        "rows": report.rows,
        "positives": report.positives,
        "auprc": report.auprc,
        "auroc": report.auroc,
        "calibration": report.calibration,
        "at": {action: asdict(at) for action, at in report.at.items()},
    }
