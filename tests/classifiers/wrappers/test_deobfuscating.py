"""Disguised texts: what a person reads in them, and that a model is asked about both."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.app import create_app
from content_moderator.classifiers.wrappers.deobfuscating import Deobfuscating
from content_moderator.config.settings import (
    BatchingSettings,
    ClassifierSettings,
    ReadinessSettings,
    Secret,
    Settings,
    UpstreamSettings,
)
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, Outcome
from content_moderator.domain.label import Label
from content_moderator.text.cleaning import clean
from content_moderator.text.deobfuscation import deobfuscated
from content_moderator.text.normalization import WordNormalizer
from model_building.evasion import ATTACKS, attack
from tests.support.fake import HARMLESS, IDENTITY, FakeClassifier, scored
from tests.support.fault_server import FaultServer, reply, scores

PLAIN = "You are SUCH a pathetic fool, nobody likes you. Please leave Forever!"
UNDONE = [name for name in ATTACKS if name not in {"a star for a letter", "swapped letters"}]


@pytest.mark.parametrize("name", UNDONE)
def test_person_reads_the_plain_text(name: str) -> None:
    generator = random.Random(name)
    for _ in range(20):
        disguised = clean(attack(PLAIN, ATTACKS[name], generator))
        seen = deobfuscated(disguised) or disguised
        # Which letters were capitals is lost where the disguise has no case.
        assert seen.lower() == PLAIN.lower()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Plain words, 3 of them: fine!", id="plain"),
        pytest.param("I paid $5 @ 9am for 2 tickets, 100% sure", id="signs and numbers"),
        pytest.param(
            "\u041f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430?",
            id="Cyrillic",
        ),
        pytest.param("\u201cquoted\u201d \u2013 and a dash\u2026 \u2764\ufe0f", id="typography"),
        pytest.param("the iPhone15 in 4K", id="names"),
    ],
)
def test_what_is_not_disguised_has_no_view(text: str) -> None:
    assert deobfuscated(text) is None


def test_all_but_the_words_stays() -> None:
    text = "SHOUT l0ud: \u201cpl\u200bease\u201d\u2026 (now) \U0001f600"
    assert deobfuscated(text) == "SHOUT loud: \u201cplease\u201d\u2026 (now) \U0001f600"
    assert deobfuscated("F.A.R. away, N0W") == "FAR. away, NOW"


@given(st.text(max_size=200).map(clean))
def test_any_text_has_a_view_or_none(text: str) -> None:
    view = deobfuscated(text)
    assert view is None or (view != text and len(view) <= 8 * len(text))
    if view is None:
        # Then every word is read as it is written; only capitals may part one from the next.
        assert "".join(WordNormalizer().words(text)) == "".join(WordNormalizer().words(text.lower()))


class Literal(FakeClassifier):
    """Takes offence at a word that is written plainly."""

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        self.seen += texts
        offended = HARMLESS | {Label.HR: 0.9, Label.OK: 0.1}
        return [Classification(offended if "fool" in text else HARMLESS, IDENTITY) for text in texts]


def test_higher_score_counts() -> None:
    literal = Literal()
    plain, disguised, harmless, undone = scored(
        Deobfuscating(literal), ["a fool", "a f0\u200bol", "a f\u00f8x", "a fool, s\u00f2"]
    )
    assert plain.scores[Label.HR] == disguised.scores[Label.HR] == undone.scores[Label.HR] == 0.9
    assert harmless.scores[Label.HR] == HARMLESS[Label.HR]
    assert literal.seen == [
        "a fool",
        "a f0\u200bol",
        "a f\u00f8x",
        "a fool, s\u00f2",
        "a fool",
        "a fox",
        "a fool, so",
    ]


def test_missing_answer_is_no_answer() -> None:
    class Short(FakeClassifier):
        def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
            return super().classify(texts, context)[1:]

    with pytest.raises(ValueError, match="zip"):
        Deobfuscating(Short()).classify(["a f0ol"], CallContext())


@pytest.mark.parametrize("undo", [True, False])
def test_remote_model_is_asked_about_both(undo: bool, upstream: FaultServer) -> None:
    upstream.play(reply(scores()), reply(scores(HR=0.9, OK=0.1)))
    chosen = ClassifierSettings(
        name="koala",
        undo_disguises=undo,
        config=UpstreamSettings(url=upstream.url),
        batching=BatchingSettings(max_in_flight=1, max_batch=1),
    )
    settings = Settings(
        classifier=chosen, readiness=ReadinessSettings(probe_at_start=False), bearer_token=Secret("hf_x")
    )
    answer = create_app(settings).test_client().post("/classify", json={"text": "a f0ol"}).get_json()
    assert upstream.texts() == (["a f0ol", "a fool"] if undo else ["a f0ol"])
    assert answer["decision"] == ("block" if undo else "allow")
