"""content-moderator keys create | list | revoke."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Column, Table

from content_moderator.access.api_key import make_key
from content_moderator.access.api_keys import TENANT, ApiKeys
from content_moderator.cli.errors import plain_errors
from content_moderator.config.loader import load_settings
from content_moderator.domain.caller import SCOPES, Scope


@click.group()
def keys() -> None:
    """Create, list and revoke API keys, in the file that auth.keys_file names."""


@keys.command()
@click.option("--tenant", required=True, help="The tenant of the key, in printable ASCII without spaces.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=("classify",),
    show_default=True,
    help="A scope of the key; can be repeated.",
)
@plain_errors
def create(tenant: str, scopes: tuple[Scope, ...]) -> None:
    """Create a key and print it. It is shown only once: the file has its digest."""
    if not re.match(TENANT, tenant):
        raise click.UsageError("a tenant has 1 to 128 printable ASCII characters and no space")
    path = _path()
    secret, key = make_key(tenant, sorted(set(scopes)), created=f"{datetime.now(UTC):%Y-%m-%d}")
    with _alone(path):
        keyring = ApiKeys.load(path) if path.exists() else ApiKeys([])
        keyring.add(key)
        keyring.save(path)
    click.echo(secret)
    click.echo(
        f"key {key.id} of {tenant} is in {path}; it is good after: content-moderator config reload", err=True
    )


@keys.command(name="list")
@plain_errors
def show() -> None:
    """List the keys, without the keys themselves, which are not stored."""
    table = Table("id", Column("tenant", overflow="fold"), "scopes", "created", "")
    for key in ApiKeys.load(_path()).keys.values():
        state = "revoked" if key.revoked else ""
        table.add_row(key.id, key.tenant, " ".join(key.scopes), key.created, state)
    # The name of a tenant can be [bold] or :smile:, which is not markup here.
    Console(markup=False, emoji=False, highlight=False).print(table)


@keys.command()
@click.argument("identity", metavar="ID")
@plain_errors
def revoke(identity: str) -> None:
    """Revoke the key with this ID."""
    path = _path()
    with _alone(path):
        keyring = ApiKeys.load(path)
        try:
            keyring.revoke(identity)
        except KeyError as error:
            raise click.UsageError("there is no key of this id; see content-moderator keys list") from error
        keyring.save(path)
    click.echo(f"key {identity} is revoked after: content-moderator config reload")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lock the file: of two commands at the same time, one would overwrite the key of the other."""
    try:
        # The folder is locked, because the file itself is replaced.
        folder = os.open(path.absolute().parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written ({error.strerror})") from error


def _path() -> Path:
    named = load_settings().auth.keys_file
    if named is None:
        raise click.ClickException("auth.keys_file is not set: MODERATOR__AUTH__KEYS_FILE=keys.json")
    return Path(named)
