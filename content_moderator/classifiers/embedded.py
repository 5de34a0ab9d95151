"""The classifier that ships inside the package: no token, no network, no download."""

import re
from collections.abc import Iterator, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, Self

from content_moderator.classifiers.embedded_feature import count_features
from content_moderator.classifiers.embedded_model import ANY, EmbeddedModel
from content_moderator.core.classification import Classification, ClassifierIdentity
from content_moderator.core.label import Label
from content_moderator.core.text import normalise

NAME: Final = "embedded"

MAX_BATCH_CHARS: Final = 1 << 17
"""Bounds the memory of one pass: about 100 bytes for each character."""

MINOR_CERTAINTY: Final = 0.9
"""Factor on the sexual score when the text mentions a minor; the card tells why it is no measured head."""

_MINOR: Final = re.compile(
    r"\b(?:child|children|kids?|minors?|under ?age[d]?|pre ?teens?|toddlers?|infants?|bab(?:y|ies)"
    r"|school ?(?:girls?|boys?)|(?:little|young|small) (?:girls?|boys?)"
    r"|(?:[1-9]|1[0-7])[ -]?(?:yo|yrs?|years?)(?:[ -]olds?)?)\b"
)


class EmbeddedClassifier:
    """
    Scores texts with the linear model in `content_moderator.models`.

    The scores are calibrated and independent: they do not sum to 1, unlike Koala's. ``OK`` is one
    minus the highest of the scores, the any-violation head included. ``S3`` has no training text on
    purpose: it is the sexual score where the text also mentions a minor.
    """

    def __init__(self, model: EmbeddedModel) -> None:
        self._model = model
        self.identity = ClassifierIdentity(NAME, "content-moderator-embedded", model.revision)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """
        Load the model at *path*, or the one in the package.

        Raises:
            ConfigurationError: The file is missing or damaged.
        """
        if path is not None:
            return cls(EmbeddedModel.load(path))
        with as_file(files("content_moderator.models").joinpath("embedded.bin")) as packaged:
            return cls(EmbeddedModel.load(packaged))

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Score each text; see `Classifier.classify`."""
        return [answer for batch in _batches(texts) for answer in self._classify(batch)]

    def _classify(self, texts: Sequence[str]) -> Iterator[Classification]:
        normalised = [normalise(text) for text in texts]
        rows = self._model.probabilities(count_features(normalised), len(texts)).tolist()
        for text, row in zip(normalised, rows, strict=True):
            heads = dict(zip(self._model.heads, row, strict=True))
            any_violation = heads.pop(ANY)
            scores = {Label(name): score for name, score in heads.items()}
            scores[Label.S3] = _minor_score(text, sexual=scores[Label.S])
            scores[Label.OK] = 1 - max(any_violation, *scores.values())
            yield Classification(scores, self.identity)


def _minor_score(normalised: str, *, sexual: float) -> float:
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
