"""The classifier that ships inside the package: no token, no network, no download."""

import re
from collections.abc import Iterator, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, Self

import numpy as np

from content_moderator.classifiers.embedded_feature import count_features
from content_moderator.classifiers.embedded_model import EmbeddedModel, Floats, probabilities, stack_any
from content_moderator.core.classification import Classification, ClassifierIdentity
from content_moderator.core.label import Label
from content_moderator.core.policy import ANY
from content_moderator.core.text import normalise, sentences

NAME: Final = "embedded"

MAX_BATCH_CHARS: Final = 1 << 17
"""Bounds the memory of one pass: about 100 bytes for each character."""

MIN_CHARS_TO_SPLIT: Final = 240
"""Shorter texts are scored whole: a violation cannot hide in so little padding."""

SENTENCE_LOG_ODDS: Final = 3.0
"""From which log-odds on a sentence speaks for its text: 95 %."""

SENTENCE_PENALTY: Final = 0.6
"""
Power of the number of sentences by which their odds are divided. Out of fold these two keep 70 % of the
recall of padded violations (20 % without sentences) at 2.8 % false alarms on long benign texts. A power of
0.85 without a limit keeps as much at 4.7 %, and costs more of the ranking of sexual texts.
"""

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
        parts = [_parts(text) for text in texts]
        normalised = [normalise(part) for each in parts for part in each]
        rows = self._model.logits(count_features(normalised, self._model.lexicon), len(normalised))
        start = 0
        for each in parts:
            text, own = normalised[start], rows[start : start + len(each)]
            start += len(each)
            merged = stack_any(merge(own)[np.newaxis], self._model.stack)[0]
            heads = dict(zip(self._model.heads, probabilities(merged).tolist(), strict=True))
            any_violation = heads.pop(ANY)
            scores = {Label(name): score for name, score in heads.items()}
            scores[Label.S3] = _minor_score(text, sexual=scores[Label.S])
            scores[Label.OK] = 1 - any_violation
            yield Classification(scores, self.identity)


def merge(logits: Floats) -> Floats:
    """
    Merge the log-odds of a text and of its sentences.

    Each head takes the highest, so that less hides in padding. Only sentences that are all but certain
    count, and their odds are divided by a power of their number, as Bonferroni divides a level, so that
    many harmless ones add up to few alarms.

    Args:
        logits: The whole text first, then its sentences, if it has several, shape (1 + n, heads).
    Returns:
        Shape (heads,).
    """
    merged = logits[0]
    if len(logits) > 1:
        loudest = logits[1:].max(axis=0)
        penalised = loudest - np.float32(SENTENCE_PENALTY * np.log(len(logits) - 1))
        merged = np.where(loudest >= SENTENCE_LOG_ODDS, np.maximum(merged, penalised), merged)
    return np.asarray(merged)


def _parts(text: str) -> list[str]:
    """Give the whole text and, if it is long, its sentences."""
    if len(text) < MIN_CHARS_TO_SPLIT:
        return [text]
    return [text, *(text[begin:end] for begin, end in sentences(text))]


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
