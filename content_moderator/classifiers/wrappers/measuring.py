"""Counts and times the calls to a classifier."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classifier, Outcome, succeeded
from content_moderator.domain.errors import BadReplyError, ClassifierError
from content_moderator.observability import metrics


@contextmanager
def measure(name: str) -> Iterator[None]:
    """Count and time one call to the classifier *name* by its result: ``ok`` or the code of the error."""
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


class Measuring:
    """Counts and times the calls to a classifier, and checks the number of its answers."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.identity = classifier.identity

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Pass the call on; see `Classifier.classify`."""
        outcomes: list[Outcome] = []
        with suppress(ClassifierError), measure(self.identity.name):
            outcomes = self._classifier.classify(texts, context)
            if len(outcomes) != len(texts):
                outcomes = [BadReplyError("the number of answers differs from the number of texts")] * len(
                    texts
                )
            # A call counts as failed if one of its texts failed.
            succeeded(outcomes)
        return outcomes
