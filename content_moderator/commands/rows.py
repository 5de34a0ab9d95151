"""Labelled rows for the commands that take them."""

from collections.abc import Sequence
from typing import BinaryIO, Final

import click

from content_moderator.evaluation.labelled import LabelledRow, read_rows

MAX_BAD_ROWS_SHOWN: Final = 20


def good_rows(rows: BinaryIO, names: Sequence[str], *, skip_bad: bool) -> list[LabelledRow]:
    """
    Read the rows, whose labels are of *names*, and list the bad ones.

    Raises:
        ClickException: There are bad ones, and they are not to be skipped.
    """
    good, bad = read_rows(rows, names)
    for each in bad[:MAX_BAD_ROWS_SHOWN]:
        click.echo(f"line {each.line}: {each.problem}", err=True)
    if len(bad) > MAX_BAD_ROWS_SHOWN:
        click.echo(f"... and {len(bad) - MAX_BAD_ROWS_SHOWN} more", err=True)
    if bad and not skip_bad:
        raise click.ClickException(f"{len(bad)} bad rows; mend them, or leave them out by --skip-bad-rows")
    return good
