"""Explanations of scores: the weight of each word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from content_moderator.domain.classification import ClassifierIdentity


@dataclass(frozen=True, slots=True)
class Contribution:
    """
    The contribution of one word to a score.

    Args:
        word: The normalized word.
        begin: First position in the text, in code points.
        end: The position after its end.
        weight: Added to the log-odds; negative if the word makes a violation less likely.
    """

    word: str
    begin: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    The explanation of one score.

    Args:
        label: A label, or ANY.
        log_odds: The score is the sigmoid of it.
        base: The log-odds without any word: ``log_odds`` is ``base`` plus the words' weights plus
            ``second_opinion``.
        words: The contributions of the words, in the order of the text.
        second_opinion: The contribution of a second model; 0 if it was not used.
    """

    label: str
    log_odds: float
    base: float
    words: tuple[Contribution, ...]
    second_opinion: float = 0.0


@runtime_checkable
class Explainer(Protocol):
    """A classifier that can explain its scores."""

    @property
    def identity(self) -> ClassifierIdentity:
        """The classifier whose scores it explains."""
        ...

    def explain(self, text: str, labels: Sequence[str]) -> list[Explanation]:
        """
        Explain the scores of one text.

        Args:
            text: The text as it was classified.
            labels: Labels other than OK, or ANY.
        Returns:
            One Explanation per label, in the same order.
        """
        ...
