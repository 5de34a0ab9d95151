"""Lets a stand-in answer when the chosen classifier cannot."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from content_moderator import metrics
from content_moderator.core.classification import Classification, Classifier
from content_moderator.errors import ClassifierError

_log = structlog.get_logger(__name__)


class WithFallback:
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

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Score each text; see `Classifier.classify`."""
        try:
            return self._primary.classify(texts)
        except ClassifierError as error:
            metrics.DEGRADED.labels(error.code).inc(len(texts))
            _log.warning("degraded", code=error.code, reason=str(error))
            return [replace(each, degraded=True) for each in self._stand_in.classify(texts)]
