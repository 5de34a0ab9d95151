"""content-moderator config check | show."""

import dataclasses
import os
from pathlib import Path

import click

from content_moderator.access.gate import build_gate
from content_moderator.access.keyring import Keyring
from content_moderator.classifiers.factory import build_line
from content_moderator.commands.error import plain_errors
from content_moderator.config import MAIN_FILE, config_directory, dump_settings, load_settings
from content_moderator.replacing import replacing
from content_moderator.settings import Settings


@click.group()
def config() -> None:
    """Check and show the settings."""


@config.command()
@click.option(
    "--freeze",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write what is in force, without secrets, to this folder.",
)
@plain_errors
def check(freeze: Path | None) -> None:
    """Say whether the service would start with these settings, without starting it."""
    settings = load_settings()
    line = build_line(settings)
    build_gate(settings.auth)
    if freeze is not None:
        freeze.mkdir(parents=True, exist_ok=True)
        settings = _with_frozen_keys(settings, freeze)
        with replacing(freeze / MAIN_FILE) as fresh:
            fresh.write_text(dump_settings(settings), encoding="utf-8")
    click.echo(f"ok: {config_directory(os.environ)}, classifier {line.classifier.identity.name}")


def _with_frozen_keys(settings: Settings, freeze: Path) -> Settings:
    """Copy the keys: a worker that starts later must not stumble over a file that was changed since."""
    if settings.auth.mode == "none" or settings.auth.keys_file is None:
        return settings
    copy = freeze / "keys.json"
    Keyring.load(Path(settings.auth.keys_file)).save(copy)
    return dataclasses.replace(
        settings, auth=dataclasses.replace(settings.auth, keys_file=str(copy.absolute()))
    )


@config.command()
@plain_errors
def show() -> None:
    """Print the settings that are in force, secrets hidden."""
    settings = load_settings()
    click.echo(dump_settings(settings), nl=False)
    click.echo(f"# BEARER_TOKEN is {'set' if settings.bearer_token else 'not set'}")
