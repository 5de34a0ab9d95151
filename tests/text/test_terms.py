"""Listed terms are found in any spelling, and nowhere else."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.domain.action import Action
from content_moderator.domain.label import Label
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.policy import Policy, Rule
from content_moderator.text.cleaning import clean
from content_moderator.text.normalization import normalise, words_of
from content_moderator.text.terms import ScreenedText, Terms, pattern_of
from tests.support.fake import FakeClassifier

TERMS = Terms(
    {
        Action.BLOCK: ["grumbit", "free pills", "*zorp*"],
        Action.REVIEW: ["plonk*"],
        Action.ALLOW: ["zorpington"],
    }
)


def found(text: str, terms: Terms = TERMS) -> list[str]:
    return [match.term for match in terms.screen(clean(text)).matches]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a grumbit!", ["grumbit"], id="a word"),
        pytest.param("GrumBit", ["grumbit"], id="case"),
        pytest.param("gr\u200bumb\u00adit", ["grumbit"], id="invisible characters"),
        pytest.param("\uff47\uff52\uff55\uff4d\uff42\uff49\uff54", ["grumbit"], id="full-width letters"),
        pytest.param("gr\u0443mbit", ["grumbit"], id="a letter that looks like another one"),
        pytest.param("grumb\u0456t", ["grumbit"], id="Cyrillic letters that look Latin"),
        pytest.param("grumb1t", ["grumbit"], id="leetspeak"),
        pytest.param("what a g r u m b i t is", ["grumbit"], id="spaced"),
        pytest.param("f-r-e-e-p-i-l-l-s", ["free pills"], id="spaced, two words"),
        pytest.param("gruuuumbit", ["grumbit"], id="stretched"),
        pytest.param("freeee pilllls", ["free pills"], id="stretched, where two are right"),
        pytest.param("frreeee pills", [], id="two where one is right"),
        pytest.param("they plooooonked it", ["plonk*"], id="stretched, any ending"),
        pytest.param("fr33 p1lls", ["free pills"], id="digits at the end"),
        pytest.param("FREE_PILLS, __free__pills__", ["free pills"], id="underscores"),
        pytest.param("pills, freeee pills, grumbit", ["free pills", "grumbit"], id="stretched, in order"),
        pytest.param("gru\u0301mbit", ["grumbit"], id="accents"),
        pytest.param("grumbits", [], id="another word"),
        pytest.param("free   pills", ["free pills"], id="white space"),
        pytest.param("free, pills", ["free pills"], id="punctuation between"),
        pytest.param("carefree pillsbury", [], id="parts of words"),
        pytest.param("they plonked it", ["plonk*"], id="any ending"),
        pytest.param("unplonked", [], id="no other beginning"),
        pytest.param("a mezorpette", ["*zorp*"], id="anywhere in a word"),
        pytest.param("Zorpington is nice", [], id="inside an allowed term"),
        pytest.param("zorp in Zorpington", ["*zorp*"], id="beside an allowed term"),
        pytest.param("Zorpington and zorp", ["*zorp*"], id="after an allowed term"),
        pytest.param("Zorpington, Zorpington, Zorpington", [], id="inside each of several"),
        pytest.param("plonk a grumbit, plonk", ["plonk*", "grumbit"], id="each once, in order"),
        pytest.param("nothing at all", [], id="none"),
    ],
)
def test_finds(text: str, expected: list[str]) -> None:
    assert found(text) == expected


SHORT = Terms({Action.BLOCK: ["kkk", "xxx*", "ass", "sex", "fr33"], Action.ALLOW: ["cool runnings"]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ok k thanks", [], id="one letter is not three"),
        pytest.param("the KKK", ["kkk"], id="three letters"),
        pytest.param("kkkkkk", ["kkk"], id="more than three"),
        pytest.param("k k k", ["kkk"], id="three letters, spaced"),
        pytest.param("xxxvideos", ["xxx*"], id="three letters and any others"),
        pytest.param("x xx vx", [], id="fewer"),
        pytest.param("as if, asss", ["ass"], id="two letters are not one"),
        pytest.param("45s on the A55, 55s, 5s", [], id="seconds and roads"),
        pytest.param("5ex", ["sex"], id="a digit first"),
        pytest.param("fr33", ["fr33"], id="listed with its digits"),
        pytest.param("free", [], id="without the digits that are listed"),
    ],
)
def test_short_terms_are_found_and_not_more(text: str, expected: list[str]) -> None:
    assert found(text, SHORT) == expected


def test_disguised_allowed_terms_are_blanked_too() -> None:
    assert SHORT.screen("the cooool_runnings film").text == "the                 film"
    assert SHORT.screen("the coool runnnings film").text == "the                 film"


@pytest.mark.parametrize("piece", ["a", "aaab", "ab", "kkk ", "x" * 50 + " ", "a_", "k.", "fr333"])
@pytest.mark.usefixtures("untraced")
def test_stretched_letters_take_linear_time(piece: str) -> None:
    """A quadratic step would take minutes."""
    for length in (20_000, 200_000):
        SHORT.screen(piece * (length // len(piece)))


def test_allowed_terms_are_blanked_in_place() -> None:
    assert TERMS.screen("In Zorpington, now") == ScreenedText("In           , now", masked=True)
    assert TERMS.screen("Zorpington!") == ScreenedText("Zorpington!", masked=True, exempt=True)
    assert TERMS.screen("elsewhere") == ScreenedText("elsewhere")


def test_scripts_without_spaces_need_stars() -> None:
    assert found("\u6211\u559c\u6b22\u8d4c\u535a\u7f51", Terms({Action.BLOCK: ["*\u8d4c\u535a*"]})) == [
        "*\u8d4c\u535a*"
    ]


@pytest.mark.parametrize("term", ["", "*", "  ", "?!", "***", "\u200b"])
def test_term_without_a_word_is_refused(term: str) -> None:
    with pytest.raises(ValueError, match="has no letter, digit or emoji"):
        pattern_of(term)


def test_term_in_two_lists_is_refused() -> None:
    with pytest.raises(ValueError, match="'Grumbit' is also in review, as 'grumbit'"):
        Terms({Action.REVIEW: ["grumbit"], Action.BLOCK: ["Grumbit"]})
    assert Terms({Action.BLOCK: ["grumbit", "GRUMBIT"]}).count == 1


WORDS = st.sampled_from(
    ["grumbit", "free", "pills", "zorp", "zorpington", "plonked", "and", "I", "\u00e9t\u00e9"]
)


@given(st.lists(WORDS, min_size=1, max_size=30), st.sampled_from([" ", ", ", "  ", "! "]))
def test_finds_what_looking_word_by_word_finds(words: list[str], between: str) -> None:
    text = clean(between.join(words))
    read = words_of(normalise(text))
    places = [place for place, word in enumerate(read) if word == "zorpington"]
    expected = {"grumbit"} & set(read)
    expected |= {"free pills"} if ("free", "pills") in itertools.pairwise(read) else set()
    expected |= {"*zorp*"} if "zorp" in read else set()
    expected |= {"plonk*"} if "plonked" in read else set()
    reading = TERMS.screen(text)
    assert {match.term for match in reading.matches} == expected
    assert reading.masked is bool(places)
    assert len(reading.text) == len(text)
    if places and not reading.exempt:
        assert words_of(normalise(reading.text)) == [word for word in read if word != "zorpington"]


def test_finds_one_of_very_many() -> None:
    generator = random.Random(7)
    many = ["".join(generator.choices("bcdfghjklmnpqrstvwxz", k=9)) for _ in range(10_000)]
    assert found("a plain sentence of no importance " * 500 + many[-1], Terms({Action.BLOCK: many})) == [
        many[-1]
    ]


@pytest.mark.usefixtures("untraced")
def test_allowed_terms_do_not_make_it_slow() -> None:
    """Comparing each with each would take a hundred million steps."""
    terms = Terms({Action.BLOCK: ["b"], Action.ALLOW: ["a b", "c"]})
    assert terms.screen("a b c " * 10_000).matches == ()
    assert [match.term for match in terms.screen("a b c " * 10_000 + "b").matches] == ["b"]


def moderator(fake: FakeClassifier, **lists: list[str]) -> Moderator:
    terms = Terms(
        {
            Action.BLOCK: lists.get("block", []),
            Action.REVIEW: lists.get("review", []),
            Action.ALLOW: lists.get("allow", []),
        }
    )
    return Moderator(fake, Policy({"embedded": {"V": Rule(0.3, 0.7)}}, terms))


def test_term_decides_whatever_the_score() -> None:
    [verdict] = moderator(FakeClassifier(), block=["grumbit"]).moderate(["What a grumbit"])
    assert verdict.decision == "block"
    [reason] = verdict.reasons
    assert (reason.label, reason.category, reason.term, reason.action) == ("TERM", "term", "grumbit", "block")


def test_severest_of_terms_and_scores_decides() -> None:
    violent = FakeClassifier({Label.V: 0.9, Label.OK: 0.1})
    [verdict] = moderator(violent, review=["grumbit"]).moderate(["a grumbit"])
    assert (verdict.decision, [each.label for each in verdict.reasons]) == ("block", ["TERM", "V"])


def test_classifier_does_not_see_allowed_terms() -> None:
    fake = FakeClassifier({Label.V: 0.9, Label.OK: 0.1})
    [verdict] = moderator(fake, allow=["kill the boss"]).moderate(["  Kill the boss, then rest "])
    assert fake.seen == [", then rest"]
    assert verdict.decision == "block", "what is left is judged as ever"


def test_nothing_but_allowed_terms_is_allowed() -> None:
    fake = FakeClassifier({Label.V: 0.9, Label.OK: 0.1})
    [verdict] = moderator(fake, allow=["kill", "the boss"]).moderate(["KILL the boss!!!"])
    assert verdict.decision == "allow"
    assert verdict.classification.scores[Label.V] == 0.9, "the scores are still told"
    assert fake.seen == ["KILL the boss!!!"]


def test_version_changes_with_what_decides_and_nothing_else() -> None:
    rules = {"embedded": {"V": Rule(0.3, 0.7)}}
    version = Policy(rules, Terms({Action.BLOCK: ["one", "two"]})).version
    assert Policy(rules, Terms({Action.BLOCK: ["two", "one"]}), name="another").version == version
    assert Policy(rules, Terms({Action.BLOCK: ["one"]})).version != version
    assert Policy(rules, Terms({Action.REVIEW: ["one", "two"]})).version != version
    assert (
        Policy({"embedded": {"V": Rule(0.3, 0.8)}}, Terms({Action.BLOCK: ["one", "two"]})).version != version
    )
