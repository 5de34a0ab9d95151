"""Cleaning and normalising: what is undone, what is left alone, and what cannot slow it down."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.core.cleaning import clean
from content_moderator.core.text import MAX_EXPANSION, MAX_SENTENCE_CHARS, normalise, sentences, words_of


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("HeLLo", "hello"),
        ("h a t e you", "hate you"),
        ("h.a.t.e you", "hate you"),
        ("h a t e  m e n", "hate  men"),
        ("h.a.t.e m e n", "hate men"),
        ("I am a b", "i am a b"),
        ("h4t3 th1s pl@c3", "hate this place"),
        ("a$$", "ass"),
        ("ha\u200bt\u00ade", "hate"),
        ("hа\u0442е it", "hate it"),  # Cyrillic letters
        ("ｈａｔｅ", "hate"),
        ("𝓱𝓪𝓽𝓮", "hate"),
        ("hàtë", "hate"),
        ("h\u0336a\u0336t\u0336e\u0336", "hate"),
        ("haaaaate", "hate"),
        ("ΗΑΤΕ this thing", "hate this thing"),  # Greek letters
    ],
)
def test_disguises_are_undone(text: str, normalised: str) -> None:
    assert normalise(text) == normalised


@pytest.mark.parametrize(
    "text",
    ["5 @ $", "5 $", "20kg and 3pm", "covid19", "100%", "stop!!", "cool book", "привет мир", "το σπιτι μου",
     "日本語", "i am here", "a b"],
)  # fmt: skip
def test_honest_text_is_left_alone(text: str) -> None:
    assert normalise(text) == unicodedata.normalize("NFKC", text)


# At 200,000 characters a step that takes quadratic time takes minutes: the test's time limit tells.
@pytest.mark.parametrize(
    "unit",
    ["ab", "a b ", "a.", "a.b ", "a1", "1a", "$", "!", "aaaa", "\ufdfa", "\u3300", "가", "a\u0301", "\u200b",
     "я", "а", "@a", "a ", ". ", "'", "a1 ", "😀", "\u0336", "ß", "ﬃ"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", "bb", "!", "1"])
@pytest.mark.usefixtures("untraced")
def test_hostile_repetition_takes_linear_time_and_space(unit: str, end: str) -> None:
    text = unit * (200_000 // len(unit)) + end
    normalised = normalise(text)
    assert sum(map(len, words_of(normalised))) <= len(normalised) <= MAX_EXPANSION * len(text) + 2


@given(st.text())
def test_growth_is_bounded(text: str) -> None:
    assert len(normalise(text)) <= MAX_EXPANSION * len(text)


@pytest.mark.usefixtures("untraced")
def test_growth_is_bounded_for_every_character() -> None:
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            assert len(normalise(f"a{chr(code)}b")) <= MAX_EXPANSION + 2, hex(code)


@given(st.text())
def test_words_hold_no_white_space(text: str) -> None:
    assert not any(character.isspace() for word in words_of(normalise(text)) for character in word)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello there. How are you?! I'm fine", ["Hello there.", "How are you?!", "I'm fine"]),
        ("one line\nanother line\n\n third.", ["one line", "another line", "third."]),
        ("version 3.5 of a.b is out. ok", ["version 3.5 of a.b is out.", "ok"]),
        ("Wait... what?", ["Wait...", "what?"]),
        ("\u65e5\u672c\u3002 \u8a9e", ["\u65e5\u672c\u3002", "\u8a9e"]),
        (" \n ", []),
        ("", []),
    ],
)
def test_sentences(text: str, found: list[str]) -> None:
    assert [text[begin:end] for begin, end in sentences(text)] == found


def test_endless_sentence_is_cut_at_a_space() -> None:
    spans = sentences("word " * 200)
    assert len(spans) > 2
    assert all(end - begin <= MAX_SENTENCE_CHARS + 10 for begin, end in spans)


@given(st.text())
def test_sentences_hold_everything_but_white_space(text: str) -> None:
    spans = sentences(text)
    assert spans == sorted(spans)
    outside = set(range(len(text))) - {i for begin, end in spans for i in range(begin, end)}
    assert all(text[i].isspace() or text[i] in ".!?" for i in outside), [text[i] for i in outside]


@pytest.mark.parametrize("unit", ["a. ", "a", "a ", ".", "! ", "\n", ". .", "\u2026", "a.b"])
def test_splitting_takes_linear_time(unit: str) -> None:
    sentences(unit * (400_000 // len(unit)))


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)
