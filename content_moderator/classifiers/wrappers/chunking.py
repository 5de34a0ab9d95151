"""Has long texts scored in parts."""

from collections.abc import Callable, Sequence
from itertools import islice

from content_moderator.domain.classification import Classifier, Outcome, strictest
from content_moderator.domain.deadline import NEVER, Deadline
from content_moderator.domain.errors import BadReplyError

Divide = Callable[[str], list[str]]
"""Gives the parts of a text, at least one."""


class Divided:
    """
    A classifier for texts of any length, around one that reads only so much.

    What a model does not read it cannot find: servers cut longer texts in silence, or score them far outside
    of what the model was trained on. So they are divided at the ends of sentences, all parts are asked about
    at once, and of each harm the highest score counts.

    Args:
        classifier: Scores the parts.
        divide: Divides a text.
        on_divided: Told how many texts had more than one part.
    """

    def __init__(
        self, classifier: Classifier, divide: Divide, *, on_divided: Callable[[int], object] = lambda _: None
    ) -> None:
        self._classifier = classifier
        self._divide = divide
        self._on_divided = on_divided
        self.identity = classifier.identity

    def classify(self, texts: Sequence[str], deadline: Deadline = NEVER) -> list[Outcome]:
        """Score each text; see `Classifier.classify`."""
        parts = [self._divide(text) for text in texts]
        flat = [part for each in parts for part in each]
        outcomes = self._classifier.classify(flat, deadline)
        if len(outcomes) != len(flat):
            raise BadReplyError("the number of answers differs from the number of parts")
        self._on_divided(sum(len(each) > 1 for each in parts))
        left = iter(outcomes)
        return [strictest(list(islice(left, len(each)))) for each in parts]
