"""Scores disguised texts twice: as written, and deobfuscated."""

from collections.abc import Sequence

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classifier, Outcome, strictest
from content_moderator.observability import metrics
from content_moderator.text.deobfuscation import deobfuscated


class Deobfuscating:
    """
    A classifier that disguises do not mislead, around one that reads what is written.

    A text whose words are disguised is asked about together with its plain view, and of each harm the higher
    score counts: undoing what was no disguise can raise a score, but takes nothing from what the model makes
    of the text as it is.

    Args:
        classifier: Scores the texts and their views.
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
