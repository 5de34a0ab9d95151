"""Where in a text the words are that a model read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.text import alignment
from content_moderator.text.alignment import origins_of_clean
from content_moderator.text.cleaning import clean
from content_moderator.text.normalization import word_spans, words_of

SCRIPTS = "aAbé\u0301\u0308 .-!1@\u200b\u00adЖаßﬃ\ufdfa가ㄱ\u1100\u1161Ως😀İ\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello, World", [("hello", "Hello"), ("world", "World")]),
        ("ＢＡＤ  i d e a", [("bad", "ＢＡＤ"), ("idea", "i d e a")]),
        ("st\u200bup1d soooo", [("stupid", "st\u200bup1d"), ("so", "soooo")]),
        ("Cafe\u0301 naïve", [("cafe", "Cafe\u0301"), ("naive", "naïve")]),
        (
            "so I w i l l f i n d a w a y, ok",
            [
                ("so", "so"),
                ("i", "I"),
                ("will", "w i l l"),
                ("find", "f i n d"),
                ("away", "a w a y"),
                ("ok", "ok"),
            ],
        ),
        ("y.o.u are", [("you", "y.o.u"), ("are", "are")]),
        ("¼", [("1", "¼"), ("4", "¼")]),
        ("", []),
        ("?!", []),
    ],
)
def test_words_are_found_where_they_stand(text: str, found: list[tuple[str, str]]) -> None:
    assert [(each.word, text[each.begin : each.end]) for each in word_spans(text)] == found


@given(st.one_of(st.text(max_size=80), st.text(alphabet=SCRIPTS, max_size=60)))
def test_words_are_those_of_normalising_and_in_order(text: str) -> None:
    places = word_spans(text)
    assert [each.word for each in places] == words_of(text)
    assert all(0 <= each.begin < each.end <= len(text) for each in places)
    assert places == sorted(places, key=lambda each: each.begin)


def test_a_text_that_does_not_come_apart_is_somewhere_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alignment, "_pieces", lambda text: iter([(0, "other words")]))
    assert origins_of_clean(" cafe\u0301") == [0, 0, 0, 0, 6]


@given(st.one_of(st.text(max_size=80), st.text(alphabet=SCRIPTS, max_size=60)))
def test_what_cleaning_kept_is_found(text: str) -> None:
    cleaned, origins = clean(text), origins_of_clean(text)
    assert len(origins) == len(cleaned) + 1
    assert origins == sorted(origins)
    assert clean(text[origins[0] : origins[-1]]) == cleaned


@pytest.mark.parametrize("unit", ["a\u0301", "\u0301", "a b ", "가", "\u1100\u1161", "😀", "ab1"])
@pytest.mark.usefixtures("untraced")
def test_finding_takes_linear_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    word_spans(text)
    origins_of_clean(text)
