"""Counts verdicts: by classifier and decision, by language, and by the rules that texts met."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from content_moderator.domain.action import Action
from content_moderator.domain.verdict import Verdict
from content_moderator.observability import metrics


def count_verdict(verdict: Verdict) -> None:
    """Add a verdict to all counters that it concerns."""
    for increment in counts_of(verdict):
        increment()


def counts_of(verdict: Verdict) -> Sequence[Callable[[], None]]:
    """Return the functions to call for each verdict with the same result as this one."""
    reasons = tuple((each.label, each.action) for each in verdict.reasons)
    name, language = verdict.classification.classifier.name, verdict.language
    return _counts(name, verdict.decision, metrics.counted_language(language.code), language.judged, reasons)


@lru_cache(maxsize=1024)
def _counts(
    classifier: str, decision: Action, language: str, judged: bool, reasons: tuple[tuple[str, Action], ...]
) -> Sequence[Callable[[], None]]:
    """Return the counters; looking them up by label takes longer than counting."""
    counters = (
        metrics.DECISIONS.labels(classifier, decision.value),
        metrics.LANGUAGES.labels(language, str(judged).lower()),
        *(metrics.REASONS.labels(classifier, label, action.value) for label, action in reasons),
    )
    return [counter.inc for counter in counters]
