"""Labelled rows for the commands that read them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from content_moderator.offline.evaluation.labelled import LabelledRow, parse_maps, read_rows
from content_moderator.offline.scanning.source import as_utf8, known_encoding

MAX_BAD_ROWS_SHOWN: Final = 20


def row_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for reading rows."""
    for option in (
        click.option(
            "--text-field", help="Field or column of the text. Default: text, comment_text, prompt ..."
        ),
        click.option(
            "--map",
            "maps",
            default="",
            metavar="COLUMN=LABEL,...",
            help="Labels of columns: toxic=ANY,threat=V",
        ),
        click.option("--encoding", help="Encoding of the rows. Default: by the byte order mark, or UTF-8."),
    ):
        command = option(command)
    return command


def refuse_the_input(rows: BinaryIO, *outputs: Path | None) -> None:
    """
    Check that no output file is the input file.

    Raises:
        UsageError: It is.
    """
    name = getattr(rows, "name", None)
    if not isinstance(name, str) or not Path(name).exists():
        return
    for output in filter(None, outputs):
        if output.exists() and output.samefile(name):
            raise click.UsageError(f"{output} is the input itself; nothing was changed")


def good_rows(
    rows: BinaryIO,
    names: Sequence[str],
    *,
    skip_bad: bool,
    text_field: str | None = None,
    maps: str = "",
    encoding: str | None = None,
) -> list[LabelledRow]:
    """
    Return the rows, with labels among *names*, and list the bad ones.

    Raises:
        ClickException: There are bad rows that must not be skipped.
        ScanError: The rows cannot be read at all.
    """
    stream = as_utf8(rows, getattr(rows, "name", "the input"), known_encoding(encoding) if encoding else None)
    parsed = parse_maps(maps, names)
    good, bad = read_rows(stream, names, text_field=text_field, maps=parsed)
    for each in bad[:MAX_BAD_ROWS_SHOWN]:
        named = f" (id {each.name})" if each.name else ""
        click.echo(f"line {each.line}{named}: {each.problem}", err=True)
    if len(bad) > MAX_BAD_ROWS_SHOWN:
        click.echo(f"... and {len(bad) - MAX_BAD_ROWS_SHOWN} more", err=True)
    for mapped in parsed:
        if good and not any(row.labels.get(mapped.label) for row in good):
            what = f"{mapped.column}:{mapped.value}" if mapped.value else mapped.column
            click.echo(f"--map {what}={mapped.label}: no row has that label", err=True)
    if bad and not skip_bad:
        raise click.ClickException(f"{len(bad)} bad rows; mend them, or leave them out by --skip-bad-rows")
    return good
