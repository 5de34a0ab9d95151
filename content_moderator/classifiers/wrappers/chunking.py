"""Scores long texts in parts."""

from collections.abc import Callable, Sequence
from itertools import islice

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classifier, Outcome, strictest

Split = Callable[[str], list[str]]
"""Returns the parts of a text, at least one."""


class Chunking:
    """
    A classifier for texts of any length, around one that reads only so much.

    What a model does not read it cannot find: servers cut longer texts in silence, or score them far outside
    of what the model was trained on. So they are split at the ends of sentences, all parts are asked about
    at once, and of each harm the highest score counts.

    Args:
        classifier: Scores the parts.
        split: Splits a text.
        on_split: Told how many texts had more than one part.
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
        flat = [part for each in parts for part in each]
        outcomes = self._classifier.classify(flat, context)
        self._on_split(sum(len(each) > 1 for each in parts))
        left = iter(outcomes)
        return [strictest(list(islice(left, len(each)))) for each in parts]
