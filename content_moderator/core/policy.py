"""Turns scores into a decision: thresholds belong to a classifier, never to the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from content_moderator.core.classification import Classification
from content_moderator.core.label import HARMS, Label

Action = Literal["review", "block"]
Decision = Literal["allow", "review", "block"]

ANY: Final = "ANY"
"""The rule name for "anything at all", scored 1 - P(OK)."""

RULE_NAMES: Final = (*(label.value for label in HARMS), ANY)


def score_of(classification: Classification, name: str) -> float:
    """Give the score that the rule *name*, of ``RULE_NAMES``, looks at."""
    return classification.unsafe if name == ANY else classification.scores[Label(name)]


@dataclass(frozen=True, slots=True)
class Rule:
    """
    From which score on a label is reviewed, and from which it is blocked.

    Args:
        review: Lowest score in [0, 1] that a person should look at; None for never.
        block: Lowest score in [0, 1] that is refused outright; None for never.
    """

    review: float | None = None
    block: float | None = None

    def apply(self, score: float) -> tuple[float, Action] | None:
        """Give the threshold that *score* reached and its action, the severer first; None if neither."""
        if self.block is not None and score >= self.block:
            return self.block, "block"
        if self.review is not None and score >= self.review:
            return self.review, "review"
        return None


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that a text met: its name, category, score, and the threshold and action that followed."""

    label: str
    category: str
    score: float
    threshold: float
    action: Action


@dataclass(frozen=True, slots=True)
class Verdict:
    """A classification, the decision drawn from it, and the reasons: highest score first, ANY last."""

    classification: Classification
    decision: Decision
    reasons: tuple[Reason, ...]

    @property
    def flagged(self) -> bool:
        """Whether any rule was met."""
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The rules for one classifier's scores.

    Args:
        rules: A Rule for each name in ``RULE_NAMES`` that can have consequences; the others have none.
    """

    rules: Mapping[str, Rule]

    def judge(self, classification: Classification) -> Verdict:
        """Apply every rule to its score; the severest action met is the decision."""
        reasons = sorted(
            self._reasons(classification), key=lambda reason: (reason.label == ANY, -reason.score)
        )
        actions = {reason.action for reason in reasons}
        decision: Decision = "block" if "block" in actions else "review" if actions else "allow"
        return Verdict(classification, decision, tuple(reasons))

    def _reasons(self, classification: Classification) -> list[Reason]:
        reasons = []
        for name, rule in self.rules.items():
            score = score_of(classification, name)
            if met := rule.apply(score):
                category = "any" if name == ANY else Label(name).category
                reasons.append(Reason(name, category, score, *met))
        return reasons
