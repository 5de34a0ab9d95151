"""The guard: for which near copies the answer of the cached text may be used."""

import re
from collections.abc import Iterator, Sequence

import pytest

from content_moderator.cache.near_copies.changes import changes, tokens_of
from content_moderator.cache.near_copies.finder import NearCopyFinder
from content_moderator.cache.near_copies.folding import disguised, fold
from content_moderator.cache.near_copies.guard import Guard, Refusal
from content_moderator.classifiers.embedded.classifier import EmbeddedClassifier
from content_moderator.config.settings import SimilarCacheSettings
from content_moderator.domain.label import Label
from content_moderator.text.cleaning import clean
from tests.support.fake import HARMLESS, scored
from tests.support.paths import DATA

HARMFUL = dict.fromkeys(Label, 0.01) | {Label.V: 0.95}


def variants(file: str) -> Iterator[tuple[str, str]]:
    """Read texts that are written as one, with the places where they differ as {one|other}."""
    for line in (DATA / file).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield (
                re.sub(r"\{([^|{}]*)\|([^|{}]*)\}", r"\1", line),
                re.sub(r"\{([^|{}]*)\|([^|{}]*)\}", r"\2", line),
            )


@pytest.fixture(scope="module")
def embedded() -> EmbeddedClassifier:
    return EmbeddedClassifier.load()


@pytest.fixture(scope="module")
def guard(embedded: EmbeddedClassifier) -> Guard:
    return Guard(embedded, embedded.lexicon, SimilarCacheSettings())


@pytest.mark.parametrize(
    ("one", "other", "refusal"),
    [
        pytest.param("I will kiss you tonight", "I will kill you tonight", "weighed", id="a word"),
        pytest.param("See the lake at dawn", "See the lane at dawn", "words", id="two frequent words"),
        pytest.param("I did it at once", "I did not do it at once", "negation", id="negation"),
        pytest.param("We meet the therapist", "We meet the rapist", "words", id="space in a word"),
        pytest.param(
            "That was a hit, I say", "That was a $hit, I say", "punctuation", id="sign for a letter"
        ),
        pytest.param("That was a duck, I say", "That was a d!ck, I say", "words", id="sign within a word"),
        pytest.param("Tell me more \U0001f600 now", "Tell me more \U0001f52a now", "punctuation", id="emoji"),
        pytest.param("She turned 19 in May", "She turned 14 in May", "numbers", id="age"),
        pytest.param("Meet a 25yo in the park", "Meet a 15yo in the park", "numbers", id="age with letters"),
        pytest.param("Take 2 pills today", "Take 9 pills today", "numbers", id="dose"),
        pytest.param("I see 5 ways out", "I see 0 ways out", "numbers", id="nothing"),
        pytest.param("Pay 99 yen at the door", "Pay 100 yen at the door", None, id="more figures"),
        pytest.param("It costs $17 at the door", "It costs $21 at the door", None, id="money is no age"),
        pytest.param(
            "I'm 17 and I am alone", "I'm 21 and I am alone", "numbers", id="age without a word for it"
        ),
        pytest.param(
            "So be it then, my friend", "So bw it then, my friend", "words", id="slip in too short a word"
        ),
        pytest.param("You sound like an as to me", "You sound like an asss to me", "words", id="drawn out"),
        pytest.param(
            "Join us, 18+ only, tonight", "Join us, 13+ only, tonight", "numbers", id="age with a sign"
        ),
        pytest.param(
            "A chat with f18 at noon", "A chat with f13 at noon", "numbers", id="age behind a letter"
        ),
        pytest.param("Born in 1985 by the sea", "Born in 2015 by the sea", "numbers", id="year of birth"),
        pytest.param(
            "Next week is 9/12 again",
            "Next week is 9/11 again",
            "numbers",
            id="a date that stands for a deed",
        ),
        pytest.param("I h8 the lot of you here", "I h9 the lot of you here", "words", id="digit for a sound"),
        pytest.param(
            "Who're you waiting for", "Whore you waiting for", "weighed", id="apostrophe in a bad word"
        ),
        pytest.param(
            "Nous allons embrasser ma tante",
            "Nous allons embraser ma tante",
            "language",
            id="another language",
        ),
        pytest.param("Don't! Stop that noise", "Don't stop that noise", "negation", id="comma at a negation"),
        pytest.param("We meet at gate 12 now", "We meet at gate 22 now", None, id="number of a thing"),
        pytest.param(
            "It is legal at 18 here", "It is legal at 14 here", "numbers", id="age without any word"
        ),
        pytest.param("She is 24 likes it so", "She is 14 likes it so", "numbers", id="age before a verb"),
        pytest.param("It has 170 pages in all", "It has 171 pages in all", None, id="page of three figures"),
        pytest.param(
            "I did it right at once", "I did n0t it right at once", "negation", id="negation in disguise"
        ),
        pytest.param("Bus 87 is late again", "Bus 88 is late again", "numbers", id="a code of hate"),
        pytest.param(
            "He'll be here at noon", "Hell be here at noon", "words", id="apostrophe of another word"
        ),
        pytest.param("We take the early train tomorrow", "We take the early train tommorow", None, id="slip"),
        pytest.param(
            "Can you bring the blue jacket with you",
            "Can you birng the blue jacket with you",
            None,
            id="short slip",
        ),
        pytest.param("We like that idea a lot", "We like thot idea a lot", "weighed", id="slip into slang"),
        pytest.param(
            "What a lovely shirt it is", "What a lovely shrt it is", "words", id="slip near a bad word"
        ),
        pytest.param("I don't know the way", "I dont know the way", None, id="apostrophe forgotten"),
        pytest.param("Nice day is it not", "nice   day is it not!!", None, id="end, case, space"),
        pytest.param("Nice day, is it not", "Nice day is it not", "punctuation", id="a comma"),
        pytest.param("Stop. It is late now", "Stop... It is late now", None, id="a doubled sign"),
        pytest.param("I am late, but I come", "I am late but I come", None, id="a pause before a joiner"),
        pytest.param(
            "I run, and they, so we all do",
            "I run and they so we all do",
            "punctuation",
            id="two pauses, each before a joiner",
        ),
        pytest.param("On the list: Martin", "On the list, Martin", "punctuation", id="a colon"),
        pytest.param("Next stop: the old park", "Next stop the old park", None, id="a title"),
        pytest.param("I saw it was raining", "I saw It was raining", None, id="a pronoun"),
        pytest.param("We meet on May 21 here", "We meet on May 22 here", None, id="a day"),
        pytest.param(
            "The page is report21", "The page is report22", None, id="a number in one with its thing"
        ),
        pytest.param("He is a real man here", 'He is a "real" man here', "punctuation", id="quotation marks"),
        pytest.param("You like it now?", "You like it now!", "punctuation", id="a question"),
        pytest.param("We saw bill at noon", "We saw Bill at noon", "case", id="a name"),
        pytest.param("We saw it at noon", "WE SAW IT AT NOON", None, id="all in capitals"),
        pytest.param("He went home, thanks", "He went home, goodbye", "farewell", id="farewell for thanks"),
        pytest.param("I was up for 12 hours", "I was up for 22 hours", "numbers", id="a number of anything"),
        pytest.param("It is in room 12 now", "It is in room 24 now", None, id="twice the number of a room"),
        pytest.param("Read Mark 19:18 again", "Read Mark 20:13 again", "numbers", id="a verse"),
        pytest.param("Hello all, bus 4 is late", "Hi all, bus 7 is late", None, id="greeting and number"),
        pytest.param(
            "The barn burned down", "The barn burned down, thanks", "farewell", id="thanks for a fire"
        ),
        pytest.param("This is so good", "This is sooooo good", None, id="stretched"),
        pytest.param("The seat is 12A again", "The seat is 14A again", None, id="number with a letter"),
        pytest.param("The mat is a55 again", "The mat is a56 again", "words", id="letters written as digits"),
        pytest.param(
            "Shoot it at noon", "Shoot it at noon all", "words", id="a word of greetings, elsewhere"
        ),
    ],
)
def test_rules(guard: Guard, one: str, other: str, refusal: Refusal | None) -> None:
    """In both orders, because either text can come first."""
    assert guard.refusal(fold(one), fold(other), HARMLESS) == refusal
    assert guard.refusal(fold(other), fold(one), HARMLESS) == refusal


def test_doubt_keeps_a_mild_answer_from_a_text_that_looks_bad(guard: Guard) -> None:
    texts = "i will kill you in room 4", "i will kill you in room 5"
    assert guard.refusal(*texts, HARMLESS) == "doubt"
    assert guard.refusal(*texts, HARMFUL) is None


def test_scores_may_not_move_by_more_than_allowed(embedded: EmbeddedClassifier) -> None:
    texts = "we take the early train tomorrow", "we take the early train tommorow"
    strict = Guard(embedded, embedded.lexicon, SimilarCacheSettings(guard_delta=0.0))
    assert strict.refusal(*texts, HARMLESS) == "scores"


def test_any_number_counts_where_that_is_configured(embedded: EmbeddedClassifier) -> None:
    texts = "your parcel 4411 has arrived", "your parcel 4412 has arrived"
    strict = Guard(embedded, embedded.lexicon, SimilarCacheSettings(guard_digits=True))
    assert strict.refusal(*texts, HARMLESS) == "numbers"


def test_no_meaning_slips_through(guard: Guard) -> None:
    """Pairs of a benign and a harmful text, in both orders: no text may get the answer of the other."""
    pairs = list(variants("minimal_pairs.txt"))
    assert len(pairs) >= 300
    slipped = [
        pair
        for pair in pairs
        for one, other in (pair, pair[::-1])
        if not disguised(clean(one), fold(clean(one)))
        and not disguised(clean(other), fold(clean(other)))
        and guard.refusal(fold(clean(one)), fold(clean(other)), HARMLESS) is None
    ]
    assert not slipped


def test_scores_alone_would_not_do(embedded: EmbeddedClassifier) -> None:
    """The reason for the rules: by scores alone, the embedded model treats many of these pairs as equal."""
    alike = 0
    for pair in variants("minimal_pairs.txt"):
        one, other = scored(embedded, [fold(clean(text)) for text in pair])
        alike += all(abs(one.scores[label] - other.scores[label]) <= 0.1 for label in Label)
    assert alike > 50


@pytest.mark.parametrize(
    ("text", "folded", "hides"),
    [
        pytest.param("Good  MORNING\tto all ", "good MORNING to all", False, id="case and space"),
        pytest.param("GOOD MORNING TO ALL", "good morning to all", False, id="all in capitals"),
        pytest.param("I saw it. It was Bill.", "i saw it. it was Bill.", False, id="beginnings"),
        pytest.param("caf\u00e9 Stra\u00dfe", "caf\u00e9 Stra\u00dfe", False, id="letters of languages"),
        pytest.param("don\u2019t", "don't", False, id="apostrophe"),
        pytest.param("\ufeffhi \u2764\ufe0f", "hi \u2764", False, id="invisible between words"),
        pytest.param("k\u200bill", "kill", False, id="zero width in a word: the model sees it plain"),
        pytest.param("ki\x08ll", "kill", False, id="control character"),
        pytest.param("\uff4bill", "kill", True, id="full width"),
        pytest.param("k\u0456ll me", "k\u0456ll me", True, id="Cyrillic among Latin"),
        pytest.param("\u043f\u0440\u0438", "\u043f\u0440\u0438", False, id="Cyrillic"),
    ],
)  # fmt: skip
def test_folding(text: str, folded: str, hides: bool) -> None:
    assert fold(clean(text)) == folded
    assert disguised(clean(text), folded) is hides


def test_signs_that_may_be_letters_are_told_from_punctuation() -> None:
    assert tokens_of('"so," he said: $hit - f*ck pen-is !diot end.') == [
        *('"', "so", ",", '"', "he", "said", ":", "$", "hit", "-", "f", "*", "ck", "pen", "-~", "is"),
        *("!~", "diot", "end"),
    ]


def test_a_greeting_counts_only_where_it_greets() -> None:
    def greeting(one: str, other: str) -> list[bool]:
        return [change.is_greeting for change in changes(one.split(), other.split())]

    assert greeting("hi the bus is late", "hello all the bus is late") == [True, True]
    assert greeting("the bus is late", "the bus is late many thanks") == [True]
    assert greeting("shoot them", "shoot them all") == [False]
    assert greeting("the good morning", "the good evening") == [False]


def pairs_of(file: str) -> list[tuple[str, str]]:
    lines = (DATA / file).read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" | ", 1) for line in lines if line and not line.startswith("#")]
    return [(one.strip(), other.strip()) for one, other in pairs]


def served(embedded: EmbeddedClassifier, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs whose second text gets the answer of the first, the only one in the cache."""
    settings = SimilarCacheSettings(mode="on")
    found = []
    for pair in pairs:
        near = NearCopyFinder(settings, Guard(embedded, embedded.lexicon, settings))
        remembered, asked = (near.folded(clean(text)) for text in pair)
        if remembered is None or asked is None:
            continue
        near.add(b"a key", remembered)
        match = near.find(asked)
        if match is not None and near.lets_pass(asked, match, HARMLESS):
            found.append(pair)
    return found


@pytest.mark.parametrize(
    ("file", "count", "most"),
    [
        pytest.param("meaning_pairs.txt", 110, 0, id="written without knowledge of the rules"),
        pytest.param("meaning_pairs_fresh.txt", 95, 2, id="written last"),
        pytest.param("meaning_pairs_informed.txt", 90, 3, id="written against the rules"),
    ],
)
def test_texts_that_others_wrote_do_not_slip_through(
    embedded: EmbeddedClassifier, file: str, count: int, most: int
) -> None:
    """Commas of address, full stops that move, capitals, codes, amounts, farewells, questions, languages."""
    pairs = pairs_of(file)
    assert len(pairs) == count
    assert len(served(embedded, pairs)) <= most


@pytest.mark.parametrize(
    ("file", "count"),
    [("number_copies.txt", 60), ("same_pairs_fresh.txt", 60)],
    ids=["numbers", "every kind"],
)
def test_harmless_copies_that_others_wrote_are_served(
    embedded: EmbeddedClassifier, file: str, count: int
) -> None:
    pairs = pairs_of(file)
    assert len(pairs) == count
    assert len(served(embedded, pairs)) >= 0.85 * len(pairs)
