"""The decision about one text, its reasons, and the one layout in which they are written."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from content_moderator.domain.action import Action
from content_moderator.domain.classification import Classification
from content_moderator.domain.label import HARMS, Label

if TYPE_CHECKING:
    from content_moderator.domain.policy import Policy

ANY: Final = "ANY"
"""The rule name for any violation; its score is 1 - P(OK)."""

RULE_NAMES: Final = (*(label.value for label in HARMS), ANY)

TERM: Final = "TERM"
"""The label of the reason for a listed term."""

LANGUAGE: Final = "LANGUAGE"
"""The label of the reason for a language that the classifier does not judge."""

REASON_NAMES: Final = (*RULE_NAMES, TERM, LANGUAGE)

SCORE_DIGITS: Final = 6
"""The number of decimal places of scores."""


@dataclass(frozen=True, slots=True)
class Reason:
    """
    One rule that applies to a text.

    Args:
        label: One of ``REASON_NAMES``.
        category: The name of the label in words.
        score: The score that was compared; 1 for a term.
        threshold: The threshold that it reached; 1 for a term.
        action: The action of the rule.
        term: The term as it is listed; None for a score.
    """

    label: str
    category: str
    score: float
    threshold: float
    action: Action
    term: str | None = None

    @property
    def rule(self) -> Literal["score", "term", "language"]:
        """Return the kind of rule."""
        return {TERM: "term", LANGUAGE: "language"}.get(self.label, "score")  # type: ignore[return-value]

    def as_dict(self) -> dict[str, Any]:
        """Return the layout of the reason; the key "term" is only there if there is one."""
        values = {
            "rule": self.rule,
            "label": self.label,
            "category": self.category,
            "score": round(self.score, SCORE_DIGITS),
            "threshold": round(self.threshold, SCORE_DIGITS),
            "action": self.action.value,
        }
        return values if self.term is None else values | {"term": self.term}


@dataclass(frozen=True, slots=True)
class DetectedLanguage:
    """
    The language of a text.

    Args:
        code: ISO 639-1 code, or ``und``.
        certain: Whether the text is long enough to tell.
        judged: Whether the classifier judges the language.
    """

    code: str
    certain: bool
    judged: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    A classification and the decision drawn from it.

    Args:
        classification: The scores.
        decision: The severest action of the reasons.
        reasons: Terms first, then scores, the highest first, ANY last.
        policy: The policy that decided.
        language: The language of the text.
    """

    classification: Classification
    decision: Action
    reasons: tuple[Reason, ...]
    policy: "Policy"
    language: DetectedLanguage

    @property
    def flagged(self) -> bool:
        """Return whether there is any reason."""
        return bool(self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """Return the layout of the verdict, for the API, the command line, scans and the audit log."""
        classification = self.classification
        return {
            "labels": labels_as_dicts(classification),
            "flagged": self.flagged,
            "decision": self.decision.value,
            "reasons": [reason.as_dict() for reason in self.reasons],
            "language": {
                "code": self.language.code,
                "certain": self.language.certain,
                "judged": self.language.judged,
            },
            "policy": {"name": self.policy.name, "version": self.policy.version},
            "classifier": classification.classifier.as_dict(),
            "cache": {"status": classification.cache.status, "distance": classification.cache.distance},
            "degraded": classification.degraded,
        }


@dataclass(frozen=True, slots=True)
class Span:
    """
    A sentence and its own verdict.

    Args:
        begin: First code point of the sentence in the text as sent.
        end: The code point after its last one.
        verdict: The verdict about the sentence alone.
    """

    begin: int
    end: int
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """Return the layout of the span."""
        return {
            "begin": self.begin,
            "end": self.end,
            "labels": labels_as_dicts(self.verdict.classification),
            "decision": self.verdict.decision.value,
            "reasons": [reason.as_dict() for reason in self.verdict.reasons],
        }


def labels_as_dicts(classification: Classification) -> list[dict[str, Any]]:
    """Return all nine labels with their rounded scores, highest first; ties in the order of `Label`."""
    ordered = sorted(classification.scores.items(), key=_by_score)
    return [_NAMES[label] | {"score": round(score, SCORE_DIGITS)} for label, score in ordered]


def _by_score(item: tuple[Label, float]) -> float:
    return -item[1]


_NAMES: Final = {label: {"label": label.value, "category": label.category} for label in Label}
