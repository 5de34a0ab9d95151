"""Classifications, and the contract of all classifiers."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, NoReturn, Protocol, TypeGuard

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.errors import BadReplyError, ClassifierError
from content_moderator.domain.label import HARMS, Label
from content_moderator.text.language import Language

_ORDER: Final = tuple(Label)
_LABELS: Final = frozenset(Label)

CacheStatus = Literal["miss", "exact", "similar"]


@dataclass(frozen=True, slots=True)
class ClassifierIdentity:
    """
    The name and version of a classifier.

    Args:
        name: The name in the settings.
        model: The model that it runs.
        revision: The revision of the model.
        languages: ISO 639 codes of the languages that it judges.
        cautious: Whether its scores never block a text that is not English.
    """

    name: str
    model: str
    revision: str
    languages: frozenset[str] = frozenset({"en"})
    cautious: bool = False

    def as_dict(self) -> dict[str, str]:
        """Return the part that answers contain."""
        return {"name": self.name, "model": self.model, "revision": self.revision}


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label, its category, and its probability."""

    label: str
    category: str
    score: float


@dataclass(frozen=True, slots=True)
class CacheOutcome:
    """
    The role of the cache in an answer.

    Args:
        status: ``miss`` if a classifier was asked; otherwise how the entry was found.
        distance: Edit distance to the entry used: 0 for ``exact``, None for ``miss``.
        age_seconds: Age of the scores; None for ``miss``.
    """

    status: CacheStatus = "miss"
    distance: int | None = None
    age_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """
    The nine scores of one text, and their source.

    It fails closed: incomplete or invalid scores cannot become a Classification, so no later step can take a
    broken reply for a harmless text.

    Args:
        scores: Exactly one probability in [0, 1] for each of the nine labels.
        classifier: The classifier that gave the scores.
        cache: The role of the cache.
        degraded: Whether a stand-in answered for the chosen classifier.
        language: The language of the text, if the classifier has detected it.
    Raises:
        BadReplyError: A label is missing or unknown, or a score is not a number in [0, 1].
    """

    scores: Mapping[Label, float]
    classifier: ClassifierIdentity
    cache: CacheOutcome = field(default_factory=CacheOutcome)
    degraded: bool = False
    language: Language | None = None

    def __post_init__(self) -> None:
        if self.scores.keys() != _LABELS:
            raise BadReplyError("the scores do not cover exactly the nine labels")
        scores = {label: self.scores[label] for label in _ORDER}
        for label, score in scores.items():
            if not is_probability(score):
                raise BadReplyError(f"the score of {label} is not a number in [0, 1]")
        object.__setattr__(self, "scores", MappingProxyType(scores))

    @property
    def ranked(self) -> list[LabelScore]:
        """All nine labels, highest score first; ties in the order of `Label`."""
        ordered = sorted(self.scores.items(), key=lambda item: -item[1])
        return [LabelScore(label.value, label.category, score) for label, score in ordered]

    @property
    def unsafe(self) -> float:
        """The probability of any violation: 1 - P(OK)."""
        return 1.0 - self.scores[Label.OK]


Outcome = Classification | ClassifierError
"""The result for one text: an error concerns that text only, never its neighbours."""


def strictest(outcomes: Sequence[Outcome]) -> Outcome:
    """
    Merge the scores of several parts or forms of a text: maximum for each harm, minimum for OK.

    If a part could not be scored, the outcome is its error, because it could contain anything.

    Args:
        outcomes: At least one, all from the same classifier.
    """
    answers: list[Classification] = []
    for outcome in outcomes:
        if isinstance(outcome, ClassifierError):
            return outcome
        answers.append(outcome)
    first = answers[0]
    if len(answers) == 1:
        return first
    harms = {harm: max(answer.scores[harm] for answer in answers) for harm in HARMS}
    return replace(
        first,
        scores=harms | {Label.OK: min(answer.scores[Label.OK] for answer in answers)},
        degraded=any(answer.degraded for answer in answers),
    )


def succeeded(outcomes: Sequence[Outcome]) -> list[Classification]:
    """
    Return the classifications if all texts could be scored.

    Raises:
        ClassifierError: The first error among the outcomes.
    """
    found: list[Classification] = []
    for outcome in outcomes:
        if isinstance(outcome, ClassifierError):
            raise_copy(outcome)
        found.append(outcome)
    return found


def failure_of_all(outcomes: Sequence[Outcome]) -> ClassifierError | None:
    """Return the error if the call failed as a whole, so that all texts have the same one; otherwise None."""
    first = outcomes[0] if outcomes else None
    if isinstance(first, ClassifierError) and all(each is first for each in outcomes):
        return first
    return None


def raise_copy(error: ClassifierError) -> NoReturn:
    """Raise a copy: several threads can have the same error, and raising changes it."""
    raise copy.copy(error) from error.__cause__


def is_probability(value: object) -> TypeGuard[float]:
    """Return whether *value* is a finite number in [0, 1]; booleans and strings are not numbers."""
    # Comparisons with NaN are false.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


class Classifier(Protocol):
    """
    The contract of all classifiers: a list of texts in, a list of outcomes of the same length and order out.

    A wrapper adds one behaviour to another classifier and knows nothing about the other wrappers.
    """

    @property
    def identity(self) -> ClassifierIdentity:
        """Return the classifier that answers if nothing fails."""
        ...

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """
        Score each text.

        Args:
            texts: Cleaned, non-empty texts.
            context: The deadline and other properties of the call.
        Returns:
            One Classification or ClassifierError per text, in the same order. An error concerns one text and
            never its neighbours.
        """
        ...
