"""The classifier that ships inside the package: no token, no network, no download."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from content_moderator.classifiers.embedded_explanation import explain
from content_moderator.classifiers.embedded_feature import count_features
from content_moderator.classifiers.embedded_model import (
    EmbeddedModel,
    merge_parts,
    probabilities,
    stack_any,
    wholes,
)
from content_moderator.classifiers.embedded_token import Lexicon
from content_moderator.core.classification import Classification, ClassifierIdentity, Outcome
from content_moderator.core.deadline import NEVER, Deadline
from content_moderator.core.explanation import Explanation
from content_moderator.core.label import Label
from content_moderator.core.text import Division, divide, normalise
from content_moderator.errors import DeadlineExceededError

NAME: Final = "embedded"

MAX_BATCH_CHARS: Final = 1 << 17
"""Bounds the memory of one pass: about 100 bytes for each character."""

MINOR_CERTAINTY: Final = 0.9
"""Factor on the sexual score when the text mentions a minor; the card tells why it is no measured head."""

MIN_SEXUAL: Final = 0.05
"""Below this nobody looks for a minor: the score stays far below any threshold either way."""

_MINOR: Final = re.compile(
    r"\b(?:child|children|kids?|minors?|under ?age[d]?|pre ?teens?|toddlers?|infants?|bab(?:y|ies)"
    r"|school ?(?:girls?|boys?)|(?:little|young|small) (?:girls?|boys?)"
    r"|(?:[1-9]|1[0-7])[ -]?(?:yo|yrs?|years?)(?:[ -]olds?)?)\b"
)


class EmbeddedClassifier:
    """
    Scores texts with the linear model in `content_moderator.models`.

    The scores are calibrated and independent: they do not sum to 1, unlike Koala's. ``OK`` is one
    minus the probability of any violation, to which a head of its own and the highest label speak.
    ``S3`` has no training text on purpose: it is the sexual score where the text also mentions a minor.
    """

    def __init__(self, model: EmbeddedModel) -> None:
        self._model = model
        self._labels = [Label(name) for name in model.heads[:-1]]
        self.identity = ClassifierIdentity(NAME, "content-moderator-embedded", model.revision)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """
        Load the model at *path*, or the one in the package.

        Raises:
            ConfigurationError: The file is missing or damaged.
        """
        return cls(EmbeddedModel.load(path))

    @property
    def lexicon(self) -> Lexicon:
        """The words that have a class, and which."""
        return self._model.lexicon

    def classify(self, texts: Sequence[str], deadline: Deadline = NEVER) -> list[Outcome]:
        """Score each text; see `Classifier.classify`. A pass over ``MAX_BATCH_CHARS`` is not interrupted."""
        outcomes: list[Outcome] = []
        for batch in _batches(texts):
            if deadline.passed:
                break
            outcomes += self._classify(batch)
        late = len(texts) - len(outcomes)
        return outcomes + [DeadlineExceededError("the texts take longer than there is time")] * late

    def explain(self, text: str, labels: Sequence[str]) -> list[Explanation]:
        """Take the scores of one text apart; see `Explainer.explain`."""
        return explain(self._model, text, labels)

    def _classify(self, texts: Sequence[str]) -> Iterator[Classification]:
        divisions = [divide(text) for text in texts]
        normalised = [normalise(part) for part in parts_of(texts, divisions)]
        odds = self._model.logits(count_features(normalised, self._model.lexicon), len(normalised))
        merged = merge_parts(odds, divisions, self._model.parts)
        scores = probabilities(stack_any(merged, self._model.stack)).tolist()
        for whole, row in zip(wholes(divisions), scores, strict=True):
            yield self._classification(normalised[whole], row)

    def _classification(self, normalised: str, scores: Sequence[float]) -> Classification:
        labels = dict(zip(self._labels, scores[:-1], strict=True))
        labels[Label.S3] = _minor_score(normalised, sexual=labels[Label.S])
        labels[Label.OK] = 1 - scores[-1]
        return Classification(labels, self.identity)


def parts_of(texts: Sequence[str], divisions: Sequence[Division]) -> Iterator[str]:
    """Yield all parts of the first text, then of the next."""
    for text, division in zip(texts, divisions, strict=True):
        for begin, end in division.spans:
            yield text[begin:end]


def _minor_score(normalised: str, *, sexual: float) -> float:
    if sexual < MIN_SEXUAL:
        return sexual * (1 - MINOR_CERTAINTY)
    return sexual * (MINOR_CERTAINTY if _MINOR.search(normalised) else 1 - MINOR_CERTAINTY)


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split *texts* so that no batch of several exceeds ``MAX_BATCH_CHARS``."""
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
