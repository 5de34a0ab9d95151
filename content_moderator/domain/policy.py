"""Turns scores into decisions, with thresholds for each classifier."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Literal

from content_moderator.domain.action import CONSEQUENCES, Action, severest
from content_moderator.domain.classification import Classification
from content_moderator.domain.label import Label
from content_moderator.domain.verdict import ANY, LANGUAGE, TERM, DetectedLanguage, Reason, Verdict
from content_moderator.text.language import ENGLISH, SHORT, language_of
from content_moderator.text.terms import ScreenedText, Terms

OtherLanguages = Literal["review", "judge", "allow", "refuse"]
"""What to do with a text in a language that the classifier does not judge; see config/app_conf.yml."""

DEFAULT_POLICY: Final = "default"
"""The name of the policy of tenants without one of their own."""

_VERSION_DIGITS: Final = 12


_SEVEREST_FIRST: Final = [(action, action.value) for action in reversed(CONSEQUENCES)]


def score_of(classification: Classification, name: str) -> float:
    """Return the score that the rule *name*, one of ``RULE_NAMES``, uses."""
    return classification.unsafe if name == ANY else classification.scores[Label(name)]


@dataclass(frozen=True, slots=True)
class Rule:
    """
    The thresholds of one label, one for each action.

    Args:
        review: Lowest score in [0, 1] that goes to review; None for never.
        block: Lowest score in [0, 1] that is blocked; None for never.
    """

    review: float | None = None
    block: float | None = None

    def apply(self, score: float) -> tuple[float, Action] | None:
        """Return the threshold that *score* reached and its action, the severer first; None if neither."""
        for action, name in _SEVEREST_FIRST:
            threshold: float | None = getattr(self, name)
            if threshold is not None and score >= threshold:
                return threshold, action
        return None


@dataclass(frozen=True, slots=True)
class Policy:
    """
    Turns scores and listed terms into a decision.

    Args:
        rules: Rules by classifier and by name, one of ``RULE_NAMES``. Names without a rule have no effect.
        terms: The listed terms.
        name: The name of the policy.
        other_languages: By classifier, what to do with texts in languages that it does not judge; "review" if
            absent.

    Attributes:
        version: A digest of everything that influences decisions.
    """

    rules: Mapping[str, Mapping[str, Rule]]
    terms: Terms = field(default_factory=lambda: Terms({}))
    name: str = DEFAULT_POLICY
    other_languages: Mapping[str, OtherLanguages] = field(default_factory=dict)
    version: str = field(init=False)
    # The rules with their labels, to save look-ups.
    _rules: Mapping[str, Sequence[tuple[str, Label | None, Rule]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rules = {
            classifier: [(name, None if name == ANY else Label(name), rule) for name, rule in each.items()]
            for classifier, each in self.rules.items()
        }
        object.__setattr__(self, "_rules", rules)
        terms = {action: sorted(each) for action, each in self.terms.listed.items()}
        text = json.dumps([self.thresholds(), terms, dict(self.other_languages)], sort_keys=True)
        object.__setattr__(self, "version", hashlib.sha256(text.encode()).hexdigest()[:_VERSION_DIGITS])

    def thresholds(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Return the thresholds by classifier, label and action."""
        return {
            classifier: {label: asdict(rule) for label, rule in rules.items()}
            for classifier, rules in self.rules.items()
        }

    def judge(self, classification: Classification, screened: ScreenedText | None = None) -> Verdict:
        """
        Apply every rule to its score; the severest action is the decision.

        Args:
            classification: The scores of a text.
            screened: The same text, screened; None if listed terms do not matter.
        """
        language = self._language(classification, screened)
        exempt = screened is not None and screened.exempt
        met = [] if exempt else self._scored(classification, language)
        terms = [
            Reason(TERM, "term", 1.0, 1.0, match.action, match.term)
            for match in (screened.matches if screened else ())
            if match.action is not Action.ALLOW
        ]
        if not exempt and not language.judged and self._mode(classification) == "review":
            terms.append(Reason(LANGUAGE, "language", 1.0, 1.0, Action.REVIEW))
        reasons = (*terms, *sorted(met, key=lambda reason: (reason.label == ANY, -reason.score)))
        return Verdict(classification, severest(reason.action for reason in reasons), reasons, self, language)

    def refuses(self, verdict: Verdict) -> bool:
        """Return whether the text must be refused because its language is not judged."""
        return not verdict.language.judged and self._mode(verdict.classification) == "refuse"

    def _mode(self, classification: Classification) -> OtherLanguages:
        return self.other_languages.get(classification.classifier.name, "review")

    def _language(self, classification: Classification, screened: ScreenedText | None) -> DetectedLanguage:
        found = classification.language
        if found is None:
            found = SHORT if screened is None else language_of(screened.text)
        return DetectedLanguage(*found, judged=found.code in classification.classifier.languages)

    def _scored(self, classification: Classification, language: DetectedLanguage) -> list[Reason]:
        if (
            not language.judged
            and classification.classifier.cautious
            and self._mode(classification) == "allow"
        ):
            return []
        english = language.code == ENGLISH
        # In other languages the embedded model is not good enough to block. Scores of remote models are used
        # as they are.
        may_block = english or not classification.classifier.cautious
        reasons = []
        scores = classification.scores
        for name, label, rule in self._rules[classification.classifier.name]:
            score = classification.unsafe if label is None else scores[label]
            if met := (rule if may_block else replace(rule, block=None)).apply(score):
                category = "any" if label is None else label.category
                reasons.append(Reason(name, category, score, *met))
        return reasons
