"""The whole of moderation in one line: clean, classify, judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from content_moderator.core.classification import Classification, Classifier
from content_moderator.core.policy import Policy, Verdict
from content_moderator.core.text import clean
from content_moderator.errors import BadReplyError


@dataclass(frozen=True, slots=True)
class Moderator:
    """
    Answers what should happen to texts.

    Args:
        classifier: Scores the texts.
        policies: The policy for each classifier name that may answer: a stand-in is judged by its own.
    """

    classifier: Classifier
    policies: Mapping[str, Policy]

    def moderate(self, texts: Sequence[str]) -> list[Verdict]:
        """
        Judge each text.

        Args:
            texts: Validated texts, not empty and not only white space.
        Returns:
            One Verdict per text, in the same order.
        Raises:
            ClassifierError: No complete, sane answer could be had; there is no partial one.
        """
        classifications = self.classifier.classify([clean(text) for text in texts])
        if len(classifications) != len(texts):
            raise BadReplyError("the number of answers differs from the number of texts")
        return [self._judge(classification) for classification in classifications]

    def _judge(self, classification: Classification) -> Verdict:
        return self.policies[classification.classifier.name].judge(classification)
