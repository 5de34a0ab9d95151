"""The embedded classifier. It needs no token, no network and no download."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from content_moderator.classifiers.embedded.explanation import explain
from content_moderator.classifiers.embedded.linear_model import EmbeddedModel, probabilities
from content_moderator.classifiers.embedded.second_opinion import Opinion, final_odds, opinions
from content_moderator.classifiers.embedded.sentence_encoder import SentenceEncoder
from content_moderator.classifiers.embedded.tokens import Lexicon
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, ClassifierIdentity, Outcome
from content_moderator.domain.errors import DeadlineExceededError
from content_moderator.domain.explanation import Explanation
from content_moderator.domain.label import Label
from content_moderator.text.language import ENGLISH

EMBEDDED: Final = "embedded"

MAX_BATCH_CHARS: Final = 1 << 17
"""Limits the memory of one pass, which is about 100 bytes for each character."""

MINOR_CERTAINTY: Final = 0.9
"""
Factor on the sexual score if the text mentions a minor; the model card says why S3 has no head of its own.
"""

MIN_SEXUAL: Final = 0.05
"""Below this sexual score, the text is not searched for mentions of minors: S3 is far below any threshold."""

_MINOR: Final = re.compile(
    r"\b(?:child|children|kids?|minors?|under ?age[d]?|pre ?teens?|toddlers?|infants?|bab(?:y|ies)"
    r"|school ?(?:girls?|boys?)|(?:little|young|small) (?:girls?|boys?)"
    r"|(?:[1-9]|1[0-7])[ -]?(?:yo|yrs?|years?)(?:[ -]olds?)?)\b"
)


class EmbeddedClassifier:
    """
    Scores texts with the models in `weights`: first with n-grams, then with a sentence encoder if they leave
    doubt.

    The scores are calibrated and independent: they do not sum to 1, unlike Koala's. ``OK`` is one minus the
    probability of any violation, which combines its own head and the highest label. ``S3`` has no training
    texts on purpose: it is the sexual score of texts that also mention a minor.

    Args:
        model: The model over n-grams, with the heads of the second opinion.
        encoder: Gives the second opinion. Without it (None), only English is judged.
    """

    def __init__(self, model: EmbeddedModel, encoder: SentenceEncoder | None = None) -> None:
        self._model = model
        self._encoder = encoder
        self._labels = [Label(name) for name in model.heads[:-1]]
        languages = frozenset({ENGLISH} if encoder is None else {ENGLISH, *model.languages})
        revision = model.revision if encoder is None else f"{model.revision}+{encoder.revision}"
        self.identity = ClassifierIdentity(
            EMBEDDED, "content-moderator-embedded", revision, languages, cautious=True
        )

    @classmethod
    def load(cls, path: Path | None = None, *, second_opinion: bool = True) -> Self:
        """
        Load the model at *path*, or the one in the package.

        Args:
            path: The file of the model over n-grams; the one in the package if None.
            second_opinion: Whether the sentence encoder is loaded as well.
        Raises:
            ConfigurationError: A file is missing or damaged.
        """
        return cls(EmbeddedModel.load(path), SentenceEncoder.load() if second_opinion else None)

    @property
    def lexicon(self) -> Lexicon:
        """The words that have a class, and their classes."""
        return self._model.lexicon

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Score each text; see `Classifier.classify`. A pass over ``MAX_BATCH_CHARS`` is not interrupted."""
        outcomes: list[Outcome] = []
        for batch in _batches(texts):
            if context.deadline.passed:
                break
            outcomes += self._classify(batch)
        late = len(texts) - len(outcomes)
        return outcomes + [DeadlineExceededError("the texts take longer than the deadline allows")] * late

    def explain(self, text: str, labels: Sequence[str]) -> list[Explanation]:
        """Explain the scores of one text; see `Explainer.explain`."""
        return explain(self._model, self._encoder, text, labels)

    def _classify(self, texts: Sequence[str]) -> Iterator[Classification]:
        for opinion in opinions(self._model, self._encoder, texts):
            scores = probabilities(final_odds(self._model, opinion)).tolist()
            yield self._classification(opinion, scores)

    def _classification(self, opinion: Opinion, scores: Sequence[float]) -> Classification:
        labels = dict(zip(self._labels, scores[:-1], strict=True))
        labels[Label.S3] = _minor_score(opinion.parts[0].words, sexual=labels[Label.S])
        labels[Label.OK] = 1 - scores[-1]
        return Classification(labels, self.identity, language=opinion.language)


def _minor_score(words: Sequence[str], *, sexual: float) -> float:
    if sexual < MIN_SEXUAL:
        return sexual * (1 - MINOR_CERTAINTY)
    return sexual * (MINOR_CERTAINTY if _MINOR.search(" ".join(words)) else 1 - MINOR_CERTAINTY)


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split *texts* into batches of at most ``MAX_BATCH_CHARS``, or of one longer text."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and size + len(text) > MAX_BATCH_CHARS:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
