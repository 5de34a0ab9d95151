"""The command line: content-moderator serve | classify | config."""

import dataclasses
import json
import os
import sys
import sysconfig
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from content_moderator import __version__
from content_moderator.classifiers.factory import build_classifier
from content_moderator.config import DEFAULTS, MAIN_FILE, config_directory, dump_settings, load_settings
from content_moderator.core.moderator import Moderator
from content_moderator.core.policy import Verdict
from content_moderator.errors import AnswerableError, ConfigurationError

BAR_WIDTH = 20


def _plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Show our own errors as one line instead of a traceback."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ConfigurationError as error:
            raise click.ClickException(f"configuration: {error}") from error
        except AnswerableError as error:
            raise click.ClickException(f"{error.code}: {error.detail}") from error

    return wrapper


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Classify texts and serve the moderation API. See config/app_conf.yml for the settings."""


@main.command()
@click.option("--host", envvar="HOST", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", envvar="PORT", default=8000, show_default=True, type=click.IntRange(1, 65535))
def serve(host: str, port: int) -> None:
    """Serve the API under gunicorn until stopped."""
    environ = os.environ | {"HOST": host, "PORT": str(port)}
    # The script and not "-m gunicorn": a binary upgrade (SIGUSR2) starts again what was started.
    gunicorn = Path(sysconfig.get_path("scripts")) / "gunicorn"
    command = [
        sys.executable,
        str(gunicorn),
        "-c",
        str(DEFAULTS / "gunicorn.conf.py"),
        "content_moderator.app:create_app()",
    ]
    sys.stdout.flush()
    os.execve(sys.executable, command, environ)  # noqa: S606  (replaces this process; there is no shell)


@main.command()
@click.argument("text", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of bars.")
@_plain_errors
def classify(text: str | None, as_json: bool) -> None:
    """Classify TEXT, or all of standard input as one text."""
    settings = load_settings()
    text = _standard_input() if text is None else text
    if not text.strip():
        raise click.UsageError("the text is empty")
    if len(text) > settings.http.max_text_chars:
        raise click.UsageError(
            f"the text has {len(text)} characters; http.max_text_chars is {settings.http.max_text_chars}"
        )
    moderator = Moderator(build_classifier(settings), settings.policy.policies())
    [verdict] = moderator.moderate([text])
    click.echo(json.dumps(_as_dict(verdict)) if as_json else _as_bars(verdict))


@main.group()
def config() -> None:
    """Check and show the settings."""


@config.command()
@click.option(
    "--freeze",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write what is in force, without secrets, to this folder.",
)
@_plain_errors
def check(freeze: Path | None) -> None:
    """Say whether the service would start with these settings, without starting it."""
    settings = load_settings()
    classifier = build_classifier(settings)
    if freeze is not None:
        freeze.mkdir(parents=True, exist_ok=True)
        fresh = freeze / f"{MAIN_FILE}.new"
        fresh.write_text(dump_settings(settings), encoding="utf-8")
        fresh.replace(freeze / MAIN_FILE)
    click.echo(f"ok: {config_directory(os.environ)}, classifier {classifier.identity.name}")


@config.command()
@_plain_errors
def show() -> None:
    """Print the settings that are in force, secrets hidden."""
    settings = load_settings()
    click.echo(dump_settings(settings), nl=False)
    click.echo(f"# BEARER_TOKEN is {'set' if settings.bearer_token else 'not set'}")


def _standard_input() -> str:
    if sys.stdin.isatty():
        raise click.UsageError("give a TEXT, or pipe one in")
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is not UTF-8 (byte {error.start})") from error


def _as_dict(verdict: Verdict) -> dict[str, Any]:
    classification = verdict.classification
    return {
        "labels": [dataclasses.asdict(each) for each in classification.ranked],
        "flagged": verdict.flagged,
        "decision": verdict.decision,
        "reasons": [dataclasses.asdict(reason) for reason in verdict.reasons],
        "classifier": dataclasses.asdict(classification.classifier),
        "degraded": classification.degraded,
    }


def _as_bars(verdict: Verdict) -> str:
    lines: list[str] = [verdict.decision]
    lines += [
        f"  because {reason.category} scores {reason.score:.3f} (from {reason.threshold} on: {reason.action})"
        for reason in verdict.reasons
    ]
    for each in verdict.classification.ranked:
        bar = "█" * round(each.score * BAR_WIDTH)
        lines.append(f"{each.score:6.3f} {bar:<{BAR_WIDTH}} {each.label:2} {each.category}")
    who = verdict.classification.classifier
    lines.append(f"scored by {who.name}: {who.model}, revision {who.revision}")
    return "\n".join(lines)
