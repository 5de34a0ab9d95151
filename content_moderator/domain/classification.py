"""Classifications, and the one contract of all classifiers."""

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
    Which classifier answered.

    Args:
        name: In the settings.
        model: What it runs.
        revision: Of the model.
        languages: ISO 639 codes of those that it judges.
        cautious: Whether it never blocks a text that is not English.
    """

    name: str
    model: str
    revision: str
    languages: frozenset[str] = frozenset({"en"})
    cautious: bool = False

    def as_dict(self) -> dict[str, str]:
        """Return what answers tell of it."""
        return {"name": self.name, "model": self.model, "revision": self.revision}


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label, the plain word for it, and its probability."""

    label: str
    category: str
    score: float


@dataclass(frozen=True, slots=True)
class CacheOutcome:
    """
    How the cache took part in an answer.

    Args:
        status: ``miss`` when a classifier was asked, else how the entry was found.
        distance: Edit distance to the entry used: 0 for ``exact``, None for ``miss``.
        age_seconds: Since a classifier gave the scores; None for ``miss``.
    """

    status: CacheStatus = "miss"
    distance: int | None = None
    age_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """
    The nine scores of one text, and where they came from.

    Fails closed: a set of scores that is not complete and sane cannot be made into a
    Classification, so no later step can mistake a broken reply for a harmless text.

    Args:
        scores: Exactly one probability in [0, 1] for each of the nine labels.
        classifier: Who gave the scores.
        cache: Whether they came from the cache.
        degraded: True if a stand-in answered because the chosen classifier could not.
        language: Of the text, if the classifier found out.
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
        """The probability that the text violates anything at all: 1 - P(OK)."""
        return 1.0 - self.scores[Label.OK]


Outcome = Classification | ClassifierError
"""What comes of one text: an error concerns that text, and never its neighbours."""


def strictest(outcomes: Sequence[Outcome]) -> Outcome:
    """
    Merge what came of a text's parts or views: of each harm the highest score, of OK the lowest.

    A part that could not be scored may hold anything: then the text could not be scored.

    Args:
        outcomes: At least one, all of the same classifier.
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
    Return what came of several texts if all of them could be scored.

    Raises:
        ClassifierError: Of the first that could not.
    """
    found: list[Classification] = []
    for outcome in outcomes:
        if isinstance(outcome, ClassifierError):
            raise_copy(outcome)
        found.append(outcome)
    return found


def failure_of_all(outcomes: Sequence[Outcome]) -> ClassifierError | None:
    """Return the error if the same one concerns every text: the call failed as a whole; else None."""
    first = outcomes[0] if outcomes else None
    if isinstance(first, ClassifierError) and all(each is first for each in outcomes):
        return first
    return None


def raise_copy(error: ClassifierError) -> NoReturn:
    """Raise a copy: several threads may have the same error, and raising writes into it."""
    raise copy.copy(error) from error.__cause__


def is_probability(value: object) -> TypeGuard[float]:
    """Return whether *value* is a finite number in [0, 1]; booleans and strings are not numbers."""
    # No comparison with NaN is true.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


class Classifier(Protocol):
    """
    The one contract: texts in, as many outcomes out, in the same order.

    A classifier that holds another one adds one thing to it and knows nothing about the others.
    """

    @property
    def identity(self) -> ClassifierIdentity:
        """Return who answers when nothing goes wrong."""
        ...

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """
        Score each text.

        Args:
            texts: Cleaned, non-empty texts.
            context: The call's deadline, and what else concerns the call as a whole.
        Returns:
            One Classification or ClassifierError per text, in the same order. An error concerns one text and
            never its neighbours.
        """
        ...
