"""content-moderator classify."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import click

from content_moderator.classifiers.pipeline import build_pipeline
from content_moderator.cli.errors import plain_errors
from content_moderator.cli.tenant import policy_of, tenant_option
from content_moderator.config.loader import load_settings
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.explanation import Explanation
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.verdict import Reason, Verdict
from content_moderator.text.normalization import is_unicode

BAR_WIDTH: Final = 20
MAX_WORDS_SHOWN: Final = 8


@click.command()
@click.argument("text", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of bars.")
@click.option("--explain", is_flag=True, help="Also return the weight of each word.")
@tenant_option
@plain_errors
def classify(text: str | None, as_json: bool, explain: bool, tenant: str | None) -> None:
    """Classify TEXT, or all of standard input as one text."""
    settings = load_settings()
    text = _standard_input() if text is None else text
    if not is_unicode(text):
        raise click.UsageError("TEXT is not UTF-8")
    if not text.strip():
        raise click.UsageError("the text is empty")
    if len(text) > settings.http.max_text_chars:
        raise click.UsageError(
            f"the text has {len(text)} characters; http.max_text_chars is {settings.http.max_text_chars}"
        )
    pipeline = build_pipeline(settings)
    moderator = Moderator(pipeline.classifier, policy_of(settings, tenant), pipeline.explainer)
    context = CallContext(Deadline.after(settings.classifier.deadline_seconds))
    [verdict] = moderator.moderate([text], context)
    answer = verdict.as_dict()
    lines = _as_bars(verdict)
    if explain:
        explanation = moderator.explain(text, verdict)
        answer["explanation"] = explanation and [dataclasses.asdict(each) for each in explanation]
        lines += _as_words(explanation)
    click.echo(json.dumps(answer) if as_json else "\n".join(lines))


def _standard_input() -> str:
    if sys.stdin is None:
        raise click.UsageError("standard input is closed")
    if sys.stdin.isatty():
        raise click.UsageError("give a TEXT, or pipe one in")
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is not UTF-8 (byte {error.start})") from error


def _because(reason: Reason) -> str:
    if reason.term is not None:
        return f"the term {reason.term!r} is listed ({reason.action})"
    if reason.rule == "language":
        return f"its language is not judged ({reason.action})"
    return f"{reason.category} scores {reason.score:.3f} (from {reason.threshold} on: {reason.action})"


def _as_bars(verdict: Verdict) -> list[str]:
    lines: list[str] = [verdict.decision]
    lines += [f"  because {_because(reason)}" for reason in verdict.reasons]
    for each in verdict.classification.ranked:
        bar = "█" * round(each.score * BAR_WIDTH)
        lines.append(f"{each.score:6.3f} {bar:<{BAR_WIDTH}} {each.label:2} {each.category}")
    who = verdict.classification.classifier
    lines.append(f"scored by {who.name}: {who.model}, revision {who.revision}")
    language = verdict.language
    known = "judged" if language.judged else "not judged"
    lines.append(f"language {language.code}{'' if language.certain else ', not certain'}: {known}")
    lines.append(f"decided by policy {verdict.policy.name}, version {verdict.policy.version}")
    return lines


def _as_words(explanation: Sequence[Explanation] | None) -> Iterator[str]:
    """Return the words with the largest weights, and the sum of the others."""
    if explanation is None:
        yield "the classifier that answered cannot say which words weighed"
    for each in explanation or ():
        ordered = sorted(each.words, key=lambda word: -abs(word.weight))
        parts = [f"{word.word} {word.weight:+.1f}" for word in ordered[:MAX_WORDS_SHOWN]]
        rest = each.base + sum(word.weight for word in ordered[MAX_WORDS_SHOWN:])
        if each.second_opinion:
            parts.append(f"second opinion {each.second_opinion:+.1f}")
        shown = ", ".join([*parts, f"and {rest:+.1f} for all else"])
        yield f"{each.label}: log-odds {each.log_odds:+.1f} = {shown}"
