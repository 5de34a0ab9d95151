"""Counts and times the calls to a classifier."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from content_moderator import metrics
from content_moderator.core.classification import Classification, Classifier
from content_moderator.errors import ClassifierError


@contextmanager
def measure(name: str) -> Iterator[None]:
    """Count and time one call to the classifier *name*, by outcome: ``ok`` or the error's code."""
    started = time.perf_counter()
    outcome = "internal_error"
    try:
        yield
        outcome = "ok"
    except ClassifierError as error:
        outcome = error.code
        raise
    finally:
        metrics.CLASSIFIER_CALLS.labels(name, outcome).inc()
        metrics.CLASSIFIER_CALL_SECONDS.labels(name).observe(time.perf_counter() - started)


class Measured:
    """A classifier whose calls show in the metrics."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.identity = classifier.identity

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Pass the call on; see `Classifier.classify`."""
        with measure(self.identity.name):
            return self._classifier.classify(texts)
