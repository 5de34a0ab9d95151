"""Has long texts scored in parts."""

from collections.abc import Sequence

from content_moderator import metrics
from content_moderator.core.chunk import chunks
from content_moderator.core.classification import Classification, Classifier, strictest
from content_moderator.errors import BadReplyError


class Divided:
    """
    A classifier for texts of any length, around one that reads only so much.

    What a model does not read it cannot find: servers cut longer texts in silence, or score them far outside
    of what the model was trained on. So they are divided at the ends of sentences, all parts are asked about
    at once, and of each harm the highest score counts.

    Args:
        classifier: Scores the parts.
        max_tokens: What it reads at once; see `content_moderator.core.chunk.tokens`.
    """

    def __init__(self, classifier: Classifier, *, max_tokens: int) -> None:
        self._classifier = classifier
        self._max_tokens = max_tokens
        self.identity = classifier.identity

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Score each text; see `Classifier.classify`."""
        parts = [
            [text[begin:end] for begin, end in chunks(text, max_tokens=self._max_tokens)] for text in texts
        ]
        flat = [part for each in parts for part in each]
        found = self._classifier.classify(flat)
        if len(found) != len(flat):
            raise BadReplyError("the number of answers differs from the number of parts")
        metrics.DIVIDED.inc(sum(len(each) > 1 for each in parts))
        answers = iter(found)
        return [strictest([next(answers) for _ in each]) for each in parts]
