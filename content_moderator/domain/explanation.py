"""Explanations of scores: the weight of each word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from content_moderator.domain.classification import ClassifierIdentity


@dataclass(frozen=True, slots=True)
class Contribution:
    """
    What one word adds to a score.

    Args:
        word: As the model read it, after normalising.
        begin: Where it begins in the text, in code points.
        end: Where it ends.
        weight: What it adds to the log-odds; negative if it speaks for the text.
    """

    word: str
    begin: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    One label's score, taken apart.

    Args:
        label: A label, or ANY.
        log_odds: What the score is the sigmoid of.
        base: What it would be without any word: ``log_odds`` is ``base`` plus the words' weights plus
            ``second_opinion``.
        words: Their contributions, in the order of the text.
        second_opinion: By how much a second model moved it; 0 if none was asked.
    """

    label: str
    log_odds: float
    base: float
    words: tuple[Contribution, ...]
    second_opinion: float = 0.0


@runtime_checkable
class Explainer(Protocol):
    """A classifier that can take its scores apart."""

    @property
    def identity(self) -> ClassifierIdentity:
        """Whose scores it explains."""
        ...

    def explain(self, text: str, labels: Sequence[str]) -> list[Explanation]:
        """
        Take the scores of one text apart.

        Args:
            text: As it was classified.
            labels: Labels other than OK, or ANY.
        Returns:
            One Explanation per label, in the same order.
        """
        ...
