"""Lets another classifier answer when the chosen one cannot."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import structlog

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, Classifier, Outcome
from content_moderator.domain.deadline import NEVER
from content_moderator.domain.errors import ClassifierError
from content_moderator.observability import metrics

_log = structlog.get_logger(__name__)


class Fallback:
    """
    Two classifiers that look like one; what the second answers is marked degraded.

    Args:
        primary: Is asked first.
        stand_in: Answers when the first fails, whatever the reason; must not fail itself.
    """

    def __init__(self, primary: Classifier, stand_in: Classifier) -> None:
        self._primary = primary
        self._stand_in = stand_in
        self.identity = primary.identity

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Score each text; see `Classifier.classify`."""
        outcomes = self._primary.classify(texts, context)
        failed = {
            place: outcome for place, outcome in enumerate(outcomes) if isinstance(outcome, ClassifierError)
        }
        if failed:
            self._tell(failed.values())
            # It is fast, and answers even if no time is left: that is what it is for.
            unbounded = replace(context, deadline=NEVER)
            instead = self._stand_in.classify([texts[place] for place in failed], unbounded)
            for place, outcome in zip(failed, instead, strict=True):
                outcomes[place] = _degraded(outcome)
        return outcomes

    def _tell(self, errors: Collection[ClassifierError]) -> None:
        by_code = {error.code: error for error in errors}
        counts = Counter(error.code for error in errors)
        for code, error in by_code.items():
            metrics.DEGRADED.labels(code).inc(counts[code])
            _log.warning("degraded", code=code, reason=str(error), texts=counts[code])


def _degraded(outcome: Outcome) -> Outcome:
    return replace(outcome, degraded=True) if isinstance(outcome, Classification) else outcome
