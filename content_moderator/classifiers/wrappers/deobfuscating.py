"""Scores disguised texts twice: as written, and deobfuscated."""

from collections.abc import Sequence

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classifier, Outcome, strictest
from content_moderator.observability import metrics
from content_moderator.text.deobfuscation import deobfuscated


class Deobfuscating:
    """
    Scores disguised texts with a classifier that does not know disguises.

    A text with disguised words is scored as written and deobfuscated, and the higher score of each harm
    counts. If a word was no disguise, the second form can raise a score, but never lowers that of the text as
    written.

    Args:
        classifier: Scores both forms.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.identity = classifier.identity

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Score each text; see `Classifier.classify`."""
        views = {place: view for place, text in enumerate(texts) if (view := deobfuscated(text))}
        metrics.DEOBFUSCATED.inc(len(views))
        found = self._classifier.classify([*texts, *views.values()], context)
        answers = found[: len(texts)]
        for place, of_the_view in zip(views, found[len(texts) :], strict=True):
            answers[place] = strictest([answers[place], of_the_view])
        return answers
