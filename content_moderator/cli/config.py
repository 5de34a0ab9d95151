"""content-moderator config check | show | reload."""

import dataclasses
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Final

import click

from content_moderator.access.api_keys import ApiKeys
from content_moderator.access.authenticator import build_authenticator
from content_moderator.access.rate_limits import build_rate_limiter
from content_moderator.access.tenants import Tenants, load_tenants
from content_moderator.classifiers.pipeline import build_pipeline
from content_moderator.cli.errors import plain_errors
from content_moderator.config.atomic_file import replacing
from content_moderator.config.loader import (
    MAIN_FILE,
    config_directory,
    dump_settings,
    load_settings,
    warnings_of,
)
from content_moderator.config.settings import SECRETS, Settings
from content_moderator.observability.audit import build_audit
from content_moderator.server.reload_status import ReloadStatus, read_reload_status

RELOAD_SECONDS: Final = 60
"""Longer than two checks can take (see gunicorn.conf.py): one may already be running."""


@click.group()
def config() -> None:
    """Check, show and reload the settings."""


@config.command()
@click.option(
    "--freeze",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the settings in force, without secrets, to this folder.",
)
@plain_errors
def check(freeze: Path | None) -> None:
    """Check whether the service would start with these settings, without starting it."""
    settings = load_settings()
    for warning in warnings_of(settings):
        click.echo(f"Warning: {warning}", err=True)
    line = build_pipeline(settings)
    build_authenticator(settings.auth)
    tenants = load_tenants(settings)
    build_rate_limiter(settings.limits, settings.limits_password)
    build_audit(settings.audit, settings.audit_secret)
    if freeze is not None:
        try:
            _freeze(settings, tenants, freeze)
        except OSError as error:
            raise click.ClickException(f"{freeze} cannot be written ({error.strerror})") from error
    click.echo(f"ok: {config_directory(os.environ)}, classifier {line.classifier.identity.name}")


def _freeze(settings: Settings, tenants: Tenants, freeze: Path) -> None:
    freeze.mkdir(parents=True, exist_ok=True)
    settings = _with_frozen_tenants(_with_frozen_keys(settings, freeze), tenants, freeze)
    with replacing(freeze / MAIN_FILE) as fresh:
        fresh.write_text(dump_settings(settings), encoding="utf-8")


def _with_frozen_keys(settings: Settings, freeze: Path) -> Settings:
    """Copy the keys, so that a worker that starts later does not read a file that has changed since."""
    auth = settings.auth
    if auth.mode in {"api_key", "any"} and auth.keys_file is not None:
        copy = freeze / "keys.json"
        ApiKeys.load(Path(auth.keys_file)).save(copy)
        auth = dataclasses.replace(auth, keys_file=str(copy.absolute()))
    if auth.mode in {"jwt", "any"} and auth.jwt.public_key_file is not None:
        copy = freeze / "jwt.pem"
        with replacing(copy) as fresh:
            fresh.write_bytes(Path(auth.jwt.public_key_file).read_bytes())
        jwt = dataclasses.replace(auth.jwt, public_key_file=str(copy.absolute()))
        auth = dataclasses.replace(auth, jwt=jwt)
        build_authenticator(auth)
    return dataclasses.replace(settings, auth=auth)


def _with_frozen_tenants(settings: Settings, tenants: Tenants, freeze: Path) -> Settings:
    """Copy the policies that were checked, for the same reason."""
    if settings.tenants.file is None:
        return settings
    copy = freeze / "tenants.yml"
    with replacing(copy) as fresh:
        fresh.write_text(tenants.source, encoding="utf-8")
    return dataclasses.replace(
        settings, tenants=dataclasses.replace(settings.tenants, file=str(copy.absolute()))
    )


@config.command()
@click.option("--pid", type=int, help="Process id of gunicorn's master, if several services run here.")
@plain_errors
def reload(pid: int | None) -> None:
    """Load new settings, keys and policies into the running service. If they are invalid, keep the old."""
    folder, before = _running(pid)
    asked = time.monotonic()
    os.kill(before["pid"], signal.SIGHUP)
    # A reload that was already running may have read a file before it was changed.
    while (word := read_reload_status(str(folder))) and word["begun"] < asked:
        if time.monotonic() > asked + RELOAD_SECONDS:
            raise click.ClickException(f"process {before['pid']} did not answer in {RELOAD_SECONDS} seconds")
        time.sleep(0.1)
    if word is None:
        raise click.ClickException(f"process {before['pid']} has ended")
    if word["problem"]:
        raise click.ClickException(f"refused, the old settings stay: {word['problem']}")
    click.echo(f"ok: process {before['pid']} has new workers")


def _running(pid: int | None) -> tuple[Path, ReloadStatus]:
    """Return the folder of the running service, and the status of its last reload."""
    named = os.environ.get("MODERATOR_RUN_PARENT")
    parents = dict.fromkeys(filter(None, (named, "/dev/shm", tempfile.gettempdir())))  # noqa: S108
    folders = (folder for parent in parents for folder in Path(parent).glob("content-moderator-*"))
    # Only the user's own folder: anybody can create one that names another process.
    said = [(folder, read_reload_status(str(folder))) for folder in folders if _is_own(folder)]
    found = [
        (folder, word) for folder, word in said if word and pid in {None, word["pid"]} and _lives(word["pid"])
    ]
    if not found:
        raise click.ClickException("no service of this user runs here" + (f" as {pid}" if pid else ""))
    if len(found) > 1:
        pids = ", ".join(str(word["pid"]) for _, word in found)
        raise click.ClickException(f"several services run here; name one with --pid (there are: {pids})")
    return found[0]


def _is_own(folder: Path) -> bool:
    try:
        return folder.stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@config.command()
@plain_errors
def show() -> None:
    """Print the settings that are in force, without secrets."""
    settings = load_settings()
    click.echo(dump_settings(settings), nl=False)
    for name in SECRETS:
        click.echo(f"# {name.upper()} is {'set' if getattr(settings, name) else 'not set'}")
