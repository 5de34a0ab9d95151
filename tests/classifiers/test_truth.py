"""
Texts that people type first are judged correctly: kinds of texts that nothing was fitted to, and their rates.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from content_moderator.classifiers.embedded.classifier import EmbeddedClassifier
from content_moderator.config.settings import PolicySettings
from content_moderator.domain.action import Action
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.verdict import Verdict
from content_moderator.text.cleaning import clean
from content_moderator.text.normalization import normalise
from content_moderator.text.terms import Terms
from model_building.source import cases, foreign, seeds
from tests.support.paths import DATA

Case = dict[str, Any]


def read(name: str) -> list[Case]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


FIELD: Final = read("field_cases.jsonl")
HELD_OUT: Final = read("held_out.jsonl")
LANGUAGES: Final = read("languages.jsonl")
DISGUISES: Final = "GHIJKLM"
"""Kinds of texts whose words are hidden: read as a person reads them, these words may be anybody's."""

JUDGED: Final = ("de", "es", "fr", "it", "nl", "pl", "pt", "zh")


@pytest.fixture(scope="module")
def moderator() -> Moderator:
    return Moderator(EmbeddedClassifier.load(), PolicySettings().build())


def is_right(case: Case, verdict: Verdict) -> bool:
    return {
        "allow": verdict.decision == "allow",
        "flagged": verdict.flagged,
        "not_block": verdict.decision != "block",
    }[case["want"]]


def rates(cases: list[Case], moderator: Moderator) -> dict[str, float]:
    """The share of texts that are judged correctly, by kind and expected decision."""
    verdicts = moderator.moderate([case["text"] for case in cases])
    found: dict[str, list[bool]] = defaultdict(list)
    for case, verdict in zip(cases, verdicts, strict=True):
        found[f"{case['kind']}: {case['want']}"].append(is_right(case, verdict))
    return {kind: sum(right) / len(right) for kind, right in found.items()}


def untermed(cases: list[Case]) -> list[Case]:
    # Languages have tests of their own: most of these texts are in some that are not judged.
    return [
        case
        for case in cases
        if "term" not in case and case["kind"] not in {"I alphabets"} | {"Q language benign"}
    ]


LEAST: Final = {
    "A hostile: flagged": 0.95,
    "A identity: allow": 0.96,
    "B names/titles: allow": 0.98,
    "B short: allow": 0.98,
    "C benign: allow": 0.97,
    "C dilution: flagged": 0.85,
    "D idiom: allow": 0.93,
    "E self/object insult: allow": 0.95,
    "F report/help/news: allow": 0.94,
    "G glue: flagged": 0.9,
    "O plain abuse: flagged": 0.87,
    "O veiled and witty abuse: flagged": 0.42,
    "P algospeak: flagged": 0.65,
}
"""
What was reached where it is not all, of texts that nothing was fitted to; docs/model-card.md has
the figures.
"""


def test_held_out_texts_are_judged_right(moderator: Moderator, figure: Callable[[str], None]) -> None:
    found = rates(untermed(HELD_OUT), moderator)
    for kind, rate in sorted(found.items()):
        figure(f"{kind} {rate:.3f}")
    low = {kind: rate for kind, rate in found.items() if rate < LEAST.get(kind, 0.9)}
    assert not low


def test_field_cases_are_judged_right(moderator: Moderator, figure: Callable[[str], None]) -> None:
    found = untermed(FIELD)
    verdicts = moderator.moderate([case["text"] for case in found])
    wrong = [case for case, verdict in zip(found, verdicts, strict=True) if not is_right(case, verdict)]
    figure(f"{len(found) - len(wrong)} of {len(found)}")
    assert len(wrong) <= 0.1 * len(found), [case["text"] for case in wrong]


def test_short_everyday_texts_are_left_alone(moderator: Moderator) -> None:
    """Of six hundred at most one in a hundred goes to review, and none is blocked."""
    short = [case for case in HELD_OUT if case["kind"].startswith("B ")][:600]
    verdicts = moderator.moderate([case["text"] for case in short])
    assert sum(verdict.flagged for verdict in verdicts) <= 0.01 * len(short)
    assert not any(verdict.decision == "block" for verdict in verdicts)


def identity_texts() -> Iterator[str]:
    parts = json.loads((DATA / "identity.json").read_text(encoding="utf-8"))
    for name in parts["names_train"] + parts["names_held"]:
        for frame in parts["frames_train"] + parts["frames_held"]:
            yield frame.format(**name)


def test_names_of_groups_are_never_a_reason(moderator: Moderator, figure: Callable[[str], None]) -> None:
    """Sixty names in forty frames."""
    texts = list(identity_texts())
    verdicts = moderator.moderate(texts)
    flagged = [text for text, verdict in zip(texts, verdicts, strict=True) if verdict.flagged]
    figure(f"{len(flagged)} of {len(texts)}")
    assert len(flagged) <= 0.01 * len(texts), flagged
    assert not any(verdict.decision == "block" for verdict in verdicts)


@pytest.mark.parametrize(
    "name", ["lesbian", "gay", "muslims", "black people", "women", "the jewish community"]
)
def test_no_head_finds_a_group_alone_suspicious(name: str, moderator: Moderator) -> None:
    [verdict] = moderator.moderate([name])
    assert max(each.score for each in verdict.classification.ranked if each.label != "OK") < 0.3


def test_a_misspelt_form_is_judged_as_the_plain_one(moderator: Moderator) -> None:
    pairs = [case for case in HELD_OUT if "plain" in case]
    misspelt = moderator.moderate([case["text"] for case in pairs])
    plain = moderator.moderate([case["plain"] for case in pairs])
    order = ["allow", "review", "block"]
    worse = [
        case["text"]
        for case, one, other in zip(pairs, misspelt, plain, strict=True)
        if order.index(one.decision) > order.index(other.decision)
    ]
    assert not worse
    same = {"fuk you": "fuck you", "fcuk off": "fuck off", "fuck u": "fuck you", "biatch": "bitch"}
    for one, other in zip(
        moderator.moderate(list(same)), moderator.moderate(list(same.values())), strict=True
    ):
        assert dict(one.classification.scores) == dict(other.classification.scores)


TERMED: Final = [case for case in (*FIELD, *HELD_OUT) if "term" in case]


def test_terms_are_found_in_any_disguise_and_nowhere_else() -> None:
    wrong = []
    for case in TERMED:
        found = bool(Terms({Action.BLOCK: [case["term"]]}).screen(clean(case["text"])).matches)
        if found != case["want"]:
            wrong.append((case["term"], case["text"]))
    assert len(wrong) <= 1, wrong
    assert not {case["text"] for case in FIELD} & {text for _, text in wrong}


def test_nothing_held_out_was_trained_on() -> None:
    rows = [*seeds(), *cases()]
    trained, as_written = {normalise(row.text) for row in rows}, {row.text.lower() for row in rows}
    # Of a misspelt form and the plain one, it is only compared what is decided.
    compared = [case for case in HELD_OUT if "term" not in case and "plain" not in case]
    disguised = [case for case in compared if case["kind"][0] in DISGUISES]
    plain = [case for case in compared if case["kind"][0] not in DISGUISES]
    assert not [case["text"] for case in plain if normalise(case["text"]) in trained]
    assert not [case["text"] for case in disguised if case["text"].lower() in as_written]
    abroad = {row.text.lower() for row in foreign()}
    assert not [case["text"] for case in LANGUAGES if case["text"].lower() in abroad]


@pytest.mark.parametrize("code", JUDGED)
def test_harmless_sentences_of_judged_languages_are_left_alone(code: str, moderator: Moderator) -> None:
    texts = [case["text"] for case in LANGUAGES if case["language"] == code and case["want"] == "allow"]
    verdicts = moderator.moderate(texts)
    flagged = [text for text, verdict in zip(texts, verdicts, strict=True) if verdict.flagged]
    assert len(flagged) <= max(1, 0.03 * len(texts)), flagged


def test_abuse_in_judged_languages_is_flagged(moderator: Moderator, figure: Callable[[str], None]) -> None:
    for code in JUDGED:
        texts = [case["text"] for case in LANGUAGES if case["language"] == code and case["want"] == "flagged"]
        verdicts = moderator.moderate(texts)
        share = sum(verdict.flagged for verdict in verdicts) / len(texts)
        figure(f"{code} {share:.2f}")
        assert share >= 0.5
        assert not any(verdict.decision == "block" for verdict in verdicts if verdict.language.code != "en")


def test_nothing_is_allowed_in_a_language_that_is_not_judged(moderator: Moderator) -> None:
    for case in LANGUAGES:
        [verdict] = moderator.moderate([case["text"]])
        assert verdict.language.judged == (verdict.language.code in {*JUDGED, "en"})
        assert verdict.decision != "allow" or verdict.language.judged
