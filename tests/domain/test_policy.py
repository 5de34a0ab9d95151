"""From scores to a decision."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.classifiers.pipeline import build_pipeline
from content_moderator.config.settings import Settings
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, Outcome, is_probability
from content_moderator.domain.errors import BadReplyError
from content_moderator.domain.label import HARMS, Label
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.policy import Policy, Rule
from tests.support.fake import HARMLESS, IDENTITY, FakeClassifier


def classification(**named: float) -> Classification:
    scores = HARMLESS | {Label(name): score for name, score in named.items()}
    return Classification(scores, IDENTITY)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.0, None),
        (0.29, None),
        (0.3, (0.3, "review")),
        (0.69, (0.3, "review")),
        (0.7, (0.7, "block")),
        (1.0, (0.7, "block")),
    ],
)
def test_threshold_is_the_lowest_score_that_counts(score: float, expected: object) -> None:
    assert Rule(review=0.3, block=0.7).apply(score) == expected


@pytest.mark.parametrize(
    ("rules", "scores", "decision", "reasons"),
    [
        pytest.param({}, {"V": 1.0}, "allow", [], id="no rules"),
        pytest.param({"V": Rule()}, {"V": 1.0}, "allow", [], id="empty rule"),
        pytest.param({"V": Rule(review=0.5)}, {"V": 0.6}, "review", ["V"], id="review"),
        pytest.param(
            {"ANY": Rule(review=0.5), "V": Rule(review=0.5), "S": Rule(block=0.5)},
            {"V": 0.9, "S": 0.6, "OK": 0}, "block", ["V", "S", "ANY"],
            id="the severest action decides, the highest score comes first, ANY last",
        ),
        pytest.param({"ANY": Rule(review=0.6)}, {"OK": 0.4}, "review", ["ANY"], id="anything at all"),
        pytest.param({"ANY": Rule(review=0.6)}, {"OK": 0.41}, "allow", [], id="not enough of it"),
    ],
)  # fmt: skip
def test_decision(
    rules: dict[str, Rule], scores: dict[str, float], decision: str, reasons: list[str]
) -> None:
    verdict = Policy({"embedded": rules}).judge(classification(**scores))
    assert verdict.decision == decision
    assert [reason.label for reason in verdict.reasons] == reasons
    assert verdict.flagged is bool(reasons)


@given(
    st.dictionaries(st.sampled_from([label.value for label in HARMS]), st.floats(0, 1)),
    st.dictionaries(st.sampled_from([label.value for label in HARMS]), st.floats(0, 1)),
)
def test_higher_scores_never_soften_the_decision(lower: dict[str, float], raised: dict[str, float]) -> None:
    severity = ["allow", "review", "block"]
    policy = Policy({"embedded": {label.value: Rule(0.3, 0.7) for label in HARMS}})
    higher = {name: max(score, raised.get(name, 0)) for name, score in lower.items()}
    before, after = policy.judge(classification(**lower)), policy.judge(classification(**higher))
    assert severity.index(after.decision) >= severity.index(before.decision)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, "0.5", None, True, [], 1j])
def test_only_a_number_from_0_to_1_is_a_score(value: object) -> None:
    assert not is_probability(value)
    with pytest.raises(BadReplyError):
        Classification(HARMLESS | {Label.S: value}, IDENTITY)  # type: ignore[arg-type]


def test_scores_are_complete_and_cannot_be_changed() -> None:
    with pytest.raises(BadReplyError):
        Classification({Label.OK: 1.0}, IDENTITY)
    given_ = dict(HARMLESS)
    made = Classification(given_, IDENTITY)
    given_[Label.S] = 1.0
    assert made.scores[Label.S] == HARMLESS[Label.S]
    with pytest.raises(TypeError):
        made.scores[Label.S] = 1.0  # type: ignore[index]


def test_wrong_number_of_answers_is_no_verdict() -> None:
    class Short(FakeClassifier):
        def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
            return super().classify(texts, context)[1:]

    with pytest.raises(BadReplyError):
        Moderator(build_pipeline(Settings(), Short()).classifier, Policy({"embedded": {}})).moderate(
            ["one", "two"]
        )
