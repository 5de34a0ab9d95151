"""Words in letters that had been spaced out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_moderator.text.spacing import words_in


@pytest.mark.parametrize(
    ("letters", "words"),
    [
        ("iwillfindyou", "i will find you"),
        ("idiot", "idiot"),
        ("pathetic", "pathetic"),
        ("youarestupid", "you are stupid"),
        ("haveaniceday", "have a nice day"),
        ("qzxvk", "qzxvk"),
        ("abcdefghijklmnopqrstuvwxyz" * 2, None),
        ("", ""),
    ],
)
def test_known_words_are_found_and_others_stay(letters: str, words: str | None) -> None:
    found = words_in(letters)
    assert found.replace(" ", "") == letters
    assert words is None or found == words


@given(st.text(alphabet="abcdeiklnortuwy", max_size=80))
def test_no_letter_is_lost_or_moved(letters: str) -> None:
    found = words_in(letters)
    assert found.replace(" ", "") == letters
    assert "  " not in found
    assert found == found.strip()


@pytest.mark.usefixtures("untraced")
def test_many_letters_take_linear_time() -> None:
    words_in("iwillfindyou" * 10_000)
