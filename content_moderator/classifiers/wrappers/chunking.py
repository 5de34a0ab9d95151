"""Scores long texts in parts."""

from collections.abc import Callable, Sequence

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classifier, Outcome, strictest

Split = Callable[[str], list[str]]
"""Returns the parts of a text, at least one."""


class Chunking:
    """
    Scores texts of any length with a classifier that reads a limited length.

    Servers truncate longer texts silently, or score them far outside of the length that the model was trained
    with. So texts are split at the ends of sentences, all distinct parts are scored in one call, and the
    highest score of each harm counts.

    Args:
        classifier: Scores the parts.
        split: Splits a text.
        on_split: Called with the number of texts that had more than one part.
    """

    def __init__(
        self, classifier: Classifier, split: Split, *, on_split: Callable[[int], object] = lambda _: None
    ) -> None:
        self._classifier = classifier
        self._split = split
        self._on_split = on_split
        self.identity = classifier.identity

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Score each text; see `Classifier.classify`."""
        parts = [self._split(text) for text in texts]
        distinct = list(dict.fromkeys(part for each in parts for part in each))
        outcomes = dict(zip(distinct, self._classifier.classify(distinct, context), strict=True))
        self._on_split(sum(len(each) > 1 for each in parts))
        return [strictest([outcomes[part] for part in each]) for each in parts]
