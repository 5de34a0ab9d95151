"""content-moderator evaluate."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click
import orjson
from rich.console import Console
from rich.progress import track
from rich.table import Table

from content_moderator.classifiers.pipeline import build_pipeline
from content_moderator.cli.errors import plain_errors
from content_moderator.cli.rows import good_rows, refuse_the_input, row_options
from content_moderator.cli.tenant import policy_of, tenant_option
from content_moderator.config.extras import extra
from content_moderator.config.loader import load_settings
from content_moderator.domain.action import CONSEQUENCES
from content_moderator.domain.call_context import CacheMode, CallContext
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.verdict import RULE_NAMES, Verdict
from content_moderator.offline.evaluation.labelled import LabelledRow, harmful

if TYPE_CHECKING:
    from content_moderator.offline.evaluation.plot import Curves
    from content_moderator.offline.evaluation.report import LabelReport

BATCH_ROWS: Final = 64
COLUMNS: Final = ("label", "rows", "with", "AUPRC", "AUROC", "calibration", "review from", "block from")


@click.command()
@click.argument("rows", type=click.File("rb"), metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Draw precision by recall, and calibration, into this PNG file.",
)
@click.option("--skip-bad-rows", is_flag=True, help="Skip invalid rows.")
@click.option(
    "--errors",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write the rows with a wrong decision to this file, as JSON Lines with the texts.",
)
@row_options
@tenant_option
@plain_errors
def evaluate(  # noqa: PLR0917  (click passes them by name)
    rows: BinaryIO,
    as_json: bool,
    plot: Path | None,
    skip_bad_rows: bool,
    errors: Path | None,
    text_field: str | None,
    maps: str,
    encoding: str | None,
    tenant: str | None,
) -> None:
    """
    Compare the configured classifier with rows that people have labelled.

    FILE has JSON Lines or CSV with a header, as for train:

        {"text": "...", "labels": {"HR": true, "S": false}}

    Labels can also be next to the text, as in OpenAI's set, or in columns; those of Jigsaw and HateCheck are
    known, use --map for others. Labels are S, H, V, HR, SH, S3, H2, V2 and ANY, or their categories. A label
    that is absent is unknown, and ANY is derived from the others where possible.

    AUPRC is the average precision (chance: the share of rows with the label), AUROC the area under the ROC
    curve (chance: 0.5), calibration the expected calibration error (best: 0). "review from" and "block from"
    are the policy's thresholds, with their precision and recall. The last lines describe the decision as a
    whole: flagged and blocked texts among rows with and without a label.
    """
    refuse_the_input(rows, errors, plot)
    with extra("evaluate", needed_by="content-moderator evaluate"):
        from content_moderator.offline.evaluation.report import decisions, reports  # noqa: PLC0415

        if plot is not None:
            from content_moderator.offline.evaluation.plot import Curves  # noqa: PLC0415
    good = good_rows(
        rows, RULE_NAMES, skip_bad=skip_bad_rows, text_field=text_field, maps=maps, encoding=encoding
    )
    if not good:
        raise click.UsageError("there are no rows")
    settings = load_settings()
    pipeline = build_pipeline(settings)
    identity = pipeline.classifier.identity
    policy = policy_of(settings, tenant)
    verdicts = _judge(Moderator(pipeline.classifier, policy), good, settings.classifier.deadline_seconds)
    if any(verdict.classification.degraded for verdict in verdicts):
        raise click.ClickException("a stand-in answered some rows; set classifier.on_unavailable to error")
    found = list(reports(good, verdicts, policy.rules[identity.name]))
    decided = decisions(good, verdicts)
    if as_json:
        measured = {report.label: _as_dict(report) for report in found}
        whole = {name: asdict(each) for name, each in decided.items()}
        click.echo(json.dumps({"classifier": identity.as_dict(), "labels": measured, "decisions": whole}))
    else:
        _print(found, f"{identity.name}: {identity.model}, revision {identity.revision}")
        for name, each in decided.items():
            click.echo(
                f"{name}: precision {_number(each.precision)}, recall {_number(each.recall)}, false alarms"
                f" {_number(each.false_alarms)}"
                f" ({each.positives:,} rows with a label, {each.negatives:,} without)"
            )
    if errors is not None:
        errors.write_bytes(b"".join(_wrong(good, verdicts)))
    if plot is not None:
        _draw(Curves(), found, plot)


def _draw(curves: "Curves", found: "Sequence[LabelReport]", path: Path) -> None:
    for report in found:
        if report.auprc is not None:
            curves.add(report.label, report.truth, report.scores)
    curves.save(path)


def _wrong(rows: Sequence[LabelledRow], verdicts: Sequence[Verdict]) -> Iterator[bytes]:
    """Yield the rows with a wrong decision: flagged without a label, or not flagged with one."""
    for row, verdict in zip(rows, verdicts, strict=True):
        if verdict.flagged == harmful(row):
            continue
        fields = {
            "line": row.line,
            "id": row.name,
            "text": row.text,
            "labels": row.labels,
            "decision": verdict.decision,
            "reasons": [f"{reason.label}:{reason.action}" for reason in verdict.reasons],
            "scores": {each.label: round(each.score, 4) for each in verdict.classification.ranked},
        }
        yield orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _judge(moderator: Moderator, rows: Sequence[LabelledRow], deadline_seconds: float) -> list[Verdict]:
    """Judge all rows without the cache."""
    starts = range(0, len(rows), BATCH_ROWS)
    progress = track(starts, "judging", console=Console(stderr=True), transient=True)
    return [
        verdict
        for start in progress
        for verdict in moderator.moderate(
            [row.text for row in rows[start : start + BATCH_ROWS]],
            CallContext(Deadline.after(deadline_seconds), CacheMode.BYPASS),
        )
    ]


def _print(found: "Sequence[LabelReport]", title: str) -> None:
    caption = "of a threshold: precision / recall"
    table = Table(*COLUMNS, title=title, title_justify="left", caption=caption, caption_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for report in found:
        measures = [_number(each) for each in (report.auprc, report.auroc, report.calibration)]
        actions = [_action(report, action) for action in CONSEQUENCES]
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
