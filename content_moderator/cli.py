"""The command line: content-moderator serve | classify | train | config."""

import dataclasses
import json
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO

import click

from content_moderator import __version__
from content_moderator.classifiers.embedded_model import EmbeddedModel
from content_moderator.classifiers.factory import build_line
from content_moderator.config import DEFAULTS, MAIN_FILE, config_directory, dump_settings, load_settings
from content_moderator.core.explanation import Explanation
from content_moderator.core.moderator import Moderator
from content_moderator.core.policy import Verdict
from content_moderator.errors import AnswerableError, ConfigurationError, TrainingError
from content_moderator.retraining.row import read_rows

BAR_WIDTH = 20
MAX_BAD_ROWS_SHOWN = 20
MAX_WORDS_SHOWN = 8


def _plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Show our own errors as one line instead of a traceback."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except TrainingError as error:
            raise click.ClickException(str(error)) from error
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
@click.option("--explain", is_flag=True, help="Also say which words weighed how much.")
@_plain_errors
def classify(text: str | None, as_json: bool, explain: bool) -> None:
    """Classify TEXT, or all of standard input as one text."""
    settings = load_settings()
    text = _standard_input() if text is None else text
    if not text.strip():
        raise click.UsageError("the text is empty")
    if len(text) > settings.http.max_text_chars:
        raise click.UsageError(
            f"the text has {len(text)} characters; http.max_text_chars is {settings.http.max_text_chars}"
        )
    line = build_line(settings)
    moderator = Moderator(line.classifier, settings.policy.policies(), line.explainer)
    [verdict] = moderator.moderate([text])
    answer = _as_dict(verdict)
    lines = _as_bars(verdict)
    if explain:
        explanation = moderator.explain(text, verdict)
        answer["explanation"] = explanation and [dataclasses.asdict(each) for each in explanation]
        lines += _as_words(explanation)
    click.echo(json.dumps(answer) if as_json else "\n".join(lines))


@main.command()
@click.argument("rows", type=click.File("rb"))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    default=Path("retrained.bin"),
    show_default=True,
    help="Where to write the model.",
)
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--skip-bad-rows", is_flag=True, help="Fit to the good rows although there are bad ones.")
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="Share of the rows without a label that a suggested threshold may send to review.",
)
@_plain_errors
def train(rows: BinaryIO, output: Path, force: bool, skip_bad_rows: bool, false_alarms: float) -> None:
    """
    Fit the embedded model to your own labels.

    ROWS is a file of JSON Lines, or - for standard input:

        {"text": "...", "labels": {"HR": true, "S": false}}

    Labels are S, H, V, HR, SH, H2, V2 and ANY; one that is absent is unknown. What the rows do not speak of
    stays as in the model that classifier.model_path names, or in the shipped one.
    """
    if output.exists() and not force:
        raise click.UsageError(f"{output} exists; --force overwrites it")
    try:
        from content_moderator.retraining import train as retrain  # noqa: PLC0415  (an extra: scikit-learn)
    except ImportError as error:
        raise click.ClickException(
            f"training needs more packages: pip install 'content-moderator[train]' ({error.name} is missing)"
        ) from error
    good, bad = read_rows(rows)
    for each in bad[:MAX_BAD_ROWS_SHOWN]:
        click.echo(f"line {each.line}: {each.problem}", err=True)
    if len(bad) > MAX_BAD_ROWS_SHOWN:
        click.echo(f"... and {len(bad) - MAX_BAD_ROWS_SHOWN} more", err=True)
    if bad and not skip_bad_rows:
        raise click.ClickException(f"{len(bad)} bad rows; mend them, or leave them out by --skip-bad-rows")
    path = load_settings().classifier.model_path
    base = EmbeddedModel.load(Path(path) if path else None)
    for line in retrain.train(good, base, output, false_alarms=false_alarms):
        click.echo(line)


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
    line = build_line(settings)
    if freeze is not None:
        freeze.mkdir(parents=True, exist_ok=True)
        fresh = freeze / f"{MAIN_FILE}.new"
        fresh.write_text(dump_settings(settings), encoding="utf-8")
        fresh.replace(freeze / MAIN_FILE)
    click.echo(f"ok: {config_directory(os.environ)}, classifier {line.classifier.identity.name}")


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


def _as_bars(verdict: Verdict) -> list[str]:
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
    return lines


def _as_words(explanation: Sequence[Explanation] | None) -> Iterator[str]:
    """The words that weighed most, and the rest summed up."""
    if explanation is None:
        yield "the classifier that answered cannot say which words weighed"
    for each in explanation or ():
        ordered = sorted(each.words, key=lambda word: -abs(word.weight))
        shown = ", ".join(f"{word.word} {word.weight:+.1f}" for word in ordered[:MAX_WORDS_SHOWN])
        rest = each.base + sum(word.weight for word in ordered[MAX_WORDS_SHOWN:])
        yield f"{each.label}: log-odds {each.log_odds:+.1f} = {shown}, and {rest:+.1f} for all else"
