"""content-moderator scan."""

import dataclasses
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, Final

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from content_moderator.classifiers.pipeline import build_pipeline
from content_moderator.cli.errors import os_error_message, plain_errors
from content_moderator.cli.tenant import policy_of, tenant_option
from content_moderator.config.loader import load_settings
from content_moderator.config.settings import Settings
from content_moderator.domain.action import Action
from content_moderator.domain.classification import ClassifierIdentity
from content_moderator.domain.errors import ClassifierError
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.policy import Policy
from content_moderator.offline.scanning.row import FORMS, NOT_UTF8, Form
from content_moderator.offline.scanning.scan import Job, Scan, check_apart, discard
from content_moderator.offline.scanning.source import as_utf8, inner_name, known_encoding

DEADLINE_SECONDS: Final = 60.0
"""A batch can take longer than a request, because no caller waits."""

MAX_WAITING: Final = 100_000
"""There are no other callers, so a batch is never refused because the queue is full."""

MAX_PROBLEMS: Final = 5
INTERRUPTED: Final = 130
DECISIONS: Final = tuple(action.value for action in Action)


@click.command()
@click.argument("source", type=click.Path(allow_dash=True, dir_okay=False, exists=True), metavar="IN")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    required=True,
    help="Output file: CSV if it ends in .csv, otherwise JSON Lines.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "tsv", "lines"]),
    help="Format of IN. Default: by its file name extension.",
)
@click.option(
    "--text-field", default="text", show_default=True, help="Field or column of the text; a.b for b in a."
)
@click.option("--encoding", help="Encoding of IN. Default: by the byte order mark, or UTF-8.")
@click.option(
    "--keep", multiple=True, metavar="FIELD", help="Copy this field of IN to the output; can be repeated."
)
@click.option(
    "--batch", default=256, show_default=True, type=click.IntRange(1, 10_000), help="Rows in a call."
)
@click.option(
    "--patience",
    default=300.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds to wait for an unavailable classifier.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if any row could not be judged.")
@click.option("--restart", is_flag=True, help="Start from the beginning, and overwrite the output.")
@tenant_option
@plain_errors
def scan(  # noqa: PLR0917  (click passes them by name)
    source: str,
    output: Path,
    form: Form | None,
    text_field: str,
    encoding: str | None,
    keep: tuple[str, ...],
    batch: int,
    patience: float,
    strict: bool,
    restart: bool,
    tenant: str | None,
) -> None:
    """
    Judge every row of IN, a file or - for standard input.

    Rows are JSON Lines ({"text": "..."} or "..."), CSV with a header, or plain lines, also in UTF-16 or
    compressed by gzip. The output has the line, the decision, the reasons and the scores of each row; the
    text itself only with --keep text. Rows that cannot be judged are copied to OUTPUT.bad.jsonl, with their
    line and the problem. If a scan ended early, the same command continues it.
    """
    encoding = known_encoding(encoding) if encoding else None
    job = Job(output, form or form_of(source), text_field, keep, encoding, batch, patience)
    settings = _for_batches(load_settings())
    pipeline = build_pipeline(settings)
    with _opened(source) as stream:
        check_apart(job, stream)
    if restart:
        discard(job)
    policy = policy_of(settings, tenant)
    work = Scan(
        job,
        Moderator(pipeline.classifier, policy),
        deadline_seconds=settings.classifier.deadline_seconds,
        terms=_terms(pipeline.classifier.identity, policy),
        max_chars=settings.http.max_text_chars,
    )
    console = Console(stderr=True)
    if work.began.line:
        console.print(f"going on after line {work.began.line}")
    try:
        with _ended_politely(), _opened(source) as stream:
            seconds = _run(work, as_utf8(stream, source, encoding), console, _size(source))
    except KeyboardInterrupt:
        console.print(f"\nended at line {work.line}; the same command goes on from there")
        sys.exit(INTERRUPTED)
    except OSError as error:
        raise click.ClickException(
            f"{os_error_message(error)}. Ended at line {work.line}; the same command goes on from there."
        ) from error
    except ClassifierError as error:
        raise click.ClickException(
            f"{error.code}: {error.detail} Ended at line {work.line}; the same command goes on from there."
        ) from error
    _summarise(work, job, seconds)
    if work.counts["bad"] and (strict or work.counts["bad"] == work.counts["rows"]):
        sys.exit(1)


def _terms(identity: ClassifierIdentity, policy: Policy) -> dict[str, Any]:
    """Return what must not change during a scan."""
    return {"classifier": identity.as_dict(), "policy": policy.version}


def form_of(source: str) -> Form:
    """Return the format of a file by its name."""
    return FORMS.get(Path(inner_name(source)).suffix.lower(), "lines")


def _for_batches(settings: Settings) -> Settings:
    chosen = settings.classifier
    chosen = dataclasses.replace(
        chosen,
        deadline_seconds=max(chosen.deadline_seconds, DEADLINE_SECONDS),
        batching=dataclasses.replace(chosen.batching, max_waiting=MAX_WAITING),
    )
    return dataclasses.replace(settings, classifier=chosen)


def _opened(source: str) -> "nullcontext[BinaryIO] | BinaryIO":
    if source != "-":
        return Path(source).open("rb")
    if sys.stdin is None:
        raise click.UsageError("standard input is closed")
    return nullcontext(sys.stdin.buffer)


def _size(source: str) -> int | None:
    path = Path(source)
    packed = inner_name(source) != source
    return path.stat().st_size if source != "-" and path.is_file() and not packed else None


@contextmanager
def _ended_politely() -> Iterator[None]:
    """Handle SIGTERM, which service managers send, like Ctrl+C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(work: Scan, stream: BinaryIO, console: Console, size: int | None) -> float:
    """Run the scan with a progress bar; return its duration in seconds."""
    began = time.monotonic()
    with Progress(
        TextColumn("{task.fields[rows]:,} rows"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("", total=size, completed=work.offset, rows=work.counts["rows"], rate=0.0)
        done = 0
        for rows in work.run(stream):
            done += rows
            rate = done / (time.monotonic() - began)
            progress.update(task, completed=work.offset, rows=work.counts["rows"], rate=rate)
    return time.monotonic() - began


def _summarise(work: Scan, job: Job, seconds: float) -> None:
    counts = work.counts
    console = Console()
    table = Table("", "rows", "share", title=f"{counts['rows']:,} rows in {job.output}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for decision in DECISIONS:
        table.add_row(decision, *_share(counts, decision))
    table.add_section()
    reasons = counts.keys() - {*DECISIONS, "rows", "bad", "degraded"}
    for name in sorted(reasons, key=lambda name: (-counts[name], name)):
        table.add_row(f"  {name}", *_share(counts, name))
    table.add_section()
    table.add_row("bad", *_share(counts, "bad"))
    if counts["degraded"]:
        table.add_row("degraded", *_share(counts, "degraded"))
    console.print(table)
    if counts["bad"]:
        console.print(f"what could not be judged, and why: {job.bad}")
        for problem, rows in work.problems.most_common(MAX_PROBLEMS):
            console.print(f"  {rows:,}: {problem}", highlight=False)
        if work.problems[NOT_UTF8] and job.encoding is None:
            console.print("  --encoding says in what IN is written: cp1252 is usual for Excel's CSV")
        if counts["bad"] == counts["rows"]:
            console.print("nothing could be judged")
    console.print(f"{seconds:.1f} s, from line {work.began.line + 1} on", highlight=False)


def _share(counts: Mapping[str, int], name: str) -> tuple[str, str]:
    rows = counts.get("rows", 0)
    return f"{counts.get(name, 0):,}", f"{counts.get(name, 0) / rows:.1%}" if rows else "-"
