"""Lets a stand-in answer if the chosen classifier cannot."""

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
    Answers with a stand-in if the chosen classifier fails; such answers are marked degraded.

    Args:
        primary: The chosen classifier.
        stand_in: Answers if the chosen one fails for any reason; must not fail itself.
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
            # The stand-in is fast, and answers even if no time is left.
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
