"""content-moderator train."""

from pathlib import Path
from typing import BinaryIO

import click

from content_moderator.classifiers.embedded.linear_model import HEADS, EmbeddedModel
from content_moderator.classifiers.embedded.sentence_encoder import SentenceEncoder
from content_moderator.cli.errors import plain_errors
from content_moderator.cli.rows import good_rows, refuse_the_input, row_options
from content_moderator.config.extras import extra
from content_moderator.config.loader import load_settings


@click.command()
@click.argument("rows", type=click.File("rb"))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    default=Path("retrained.bin"),
    show_default=True,
    help="The file of the new model.",
)
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--skip-bad-rows", is_flag=True, help="Skip invalid rows.")
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="Share of the rows without a label that a suggested threshold sends to review.",
)
@row_options
@plain_errors
def train(  # noqa: PLR0917  (click passes them by name)
    rows: BinaryIO,
    output: Path,
    force: bool,
    skip_bad_rows: bool,
    false_alarms: float,
    text_field: str | None,
    maps: str,
    encoding: str | None,
) -> None:
    """
    Finetune the embedded model with your own labels.

    ROWS is a file of JSON Lines or CSV, or - for standard input; see evaluate for the formats:

        {"text": "...", "labels": {"HR": true, "S": false}}

    Labels are S, H, V, HR, SH, H2, V2 and ANY, or their categories; a label that is absent is unknown. Words
    that the rows do not contain keep their weights in the model that classifier.model_path names, or in the
    shipped one.
    """
    refuse_the_input(rows, output)
    if output.exists() and not force:
        raise click.UsageError(f"{output} exists; --force overwrites it")
    with extra("train", needed_by="content-moderator train"):
        from content_moderator.offline.finetuning import train as retrain  # noqa: PLC0415
    good = good_rows(rows, HEADS, skip_bad=skip_bad_rows, text_field=text_field, maps=maps, encoding=encoding)
    settings = load_settings().classifier
    base = EmbeddedModel.load(Path(settings.model_path) if settings.model_path else None)
    encoder = SentenceEncoder.load() if settings.second_opinion else None
    for line in retrain.train(good, base, output, false_alarms=false_alarms, encoder=encoder):
        click.echo(line)
