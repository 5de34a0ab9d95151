"""Turns scores into a decision: thresholds belong to a classifier, never to the service."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from content_moderator.domain.classification import Classification
from content_moderator.domain.label import HARMS, Label
from content_moderator.text.language import ENGLISH, SHORT, language_of
from content_moderator.text.terms import Reading, Terms

Action = Literal["review", "block"]
Decision = Literal["allow", "review", "block"]

ANY: Final = "ANY"
"""The rule name for "anything at all", scored 1 - P(OK)."""

RULE_NAMES: Final = (*(label.value for label in HARMS), ANY)

TERM: Final = "TERM"
"""The name of the reason that a listed term is."""

LANGUAGE: Final = "LANGUAGE"
"""The name of the reason that a language which is not judged is."""

REASON_NAMES: Final = (*RULE_NAMES, TERM, LANGUAGE)

OtherLanguages = Literal["review", "judge", "allow", "refuse"]
"""What happens to a text in a language that the classifier does not judge; see config/app_conf.yml."""

DEFAULT_POLICY: Final = "default"
"""The name of the policy of whoever has none of its own."""

_VERSION_DIGITS: Final = 12


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
    """
    One rule that a text met.

    Args:
        label: Of ``REASON_NAMES``.
        category: In words.
        score: What was compared; 1 for a term.
        threshold: What it reached; 1 for a term.
        action: What followed.
        term: As it is listed; None for a score.
    """

    label: str
    category: str
    score: float
    threshold: float
    action: Action
    term: str | None = None

    @property
    def rule(self) -> Literal["score", "term", "language"]:
        """What kind of rule it was."""
        return {TERM: "term", LANGUAGE: "language"}.get(self.label, "score")  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class JudgedLanguage:
    """
    The language of a text, and what that means.

    Args:
        code: ISO 639-1, or ``und``.
        certain: Whether there was enough of the text to tell.
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
        classification: What the classifier said.
        decision: The severest action of the reasons.
        reasons: Terms first, then scores, the highest first, ANY last.
        policy: What decided.
        language: Of the text.
    """

    classification: Classification
    decision: Decision
    reasons: tuple[Reason, ...]
    policy: "Policy"
    language: JudgedLanguage

    @property
    def flagged(self) -> bool:
        """Whether any rule was met."""
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class Policy:
    """
    From scores and terms to a decision.

    Args:
        rules: For each classifier that may answer, a Rule for each name in ``RULE_NAMES`` that can have
            consequences; the others have none.
        terms: What is decided by the text itself.
        name: What people call it.
        other_languages: For each classifier, what happens to texts in languages that it does not judge;
            "review" if it is not there.

    Attributes:
        version: Digits that change with whatever decides, and with nothing else.
    """

    rules: Mapping[str, Mapping[str, Rule]]
    terms: Terms = field(default_factory=lambda: Terms({}))
    name: str = DEFAULT_POLICY
    other_languages: Mapping[str, OtherLanguages] = field(default_factory=dict)
    version: str = field(init=False)

    def __post_init__(self) -> None:
        terms = {action: sorted(each) for action, each in self.terms.listed.items()}
        text = json.dumps([self.thresholds(), terms, dict(self.other_languages)], sort_keys=True)
        object.__setattr__(self, "version", hashlib.sha256(text.encode()).hexdigest()[:_VERSION_DIGITS])

    def thresholds(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Give the rules as plain numbers: by classifier, label and action."""
        return {
            classifier: {label: asdict(rule) for label, rule in rules.items()}
            for classifier, rules in self.rules.items()
        }

    def judge(self, classification: Classification, reading: Reading | None = None) -> Verdict:
        """
        Apply every rule to its score; the severest action met is the decision.

        Args:
            classification: Of a text.
            reading: Of the same text; None if its terms do not matter.
        """
        language = self._language(classification, reading)
        exempt = reading is not None and reading.exempt
        met = [] if exempt else self._scored(classification, language)
        terms = [
            Reason(TERM, "term", 1.0, 1.0, match.action, match.term)
            for match in (reading.matches if reading else ())
            if match.action != "allow"
        ]
        if not exempt and not language.judged and self._mode(classification) == "review":
            terms.append(Reason(LANGUAGE, "language", 1.0, 1.0, "review"))
        reasons = (*terms, *sorted(met, key=lambda reason: (reason.label == ANY, -reason.score)))
        actions = {reason.action for reason in reasons}
        decision: Decision = "block" if "block" in actions else "review" if actions else "allow"
        return Verdict(classification, decision, reasons, self, language)

    def refuses(self, verdict: Verdict) -> bool:
        """Return whether a text is not to be answered, for its language is not judged."""
        return not verdict.language.judged and self._mode(verdict.classification) == "refuse"

    def _mode(self, classification: Classification) -> OtherLanguages:
        return self.other_languages.get(classification.classifier.name, "review")

    def _language(self, classification: Classification, reading: Reading | None) -> JudgedLanguage:
        found = classification.language
        if found is None:
            found = SHORT if reading is None else language_of(reading.text)
        return JudgedLanguage(*found, judged=found.code in classification.classifier.languages)

    def _scored(self, classification: Classification, language: JudgedLanguage) -> list[Reason]:
        if (
            not language.judged
            and classification.classifier.cautious
            and self._mode(classification) == "allow"
        ):
            return []
        english = language.code == ENGLISH
        # Elsewhere the embedded model knows too little to block; what a remote one says is taken as it is.
        may_block = english or not classification.classifier.cautious
        reasons = []
        for name, rule in self.rules[classification.classifier.name].items():
            score = score_of(classification, name)
            if met := (rule if may_block else Rule(rule.review)).apply(score):
                category = "any" if name == ANY else Label(name).category
                reasons.append(Reason(name, category, score, *met))
        return reasons
