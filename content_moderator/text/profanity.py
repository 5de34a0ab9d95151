"""Scores the profanity of a text by a list of words."""

from functools import cache
from importlib.resources import files
from typing import Final

from content_moderator.domain.action import Action
from content_moderator.text.terms import Terms

NO_PROFANITY: Final = 0.02
"""The score of a text without a listed term."""

_MILDEST: Final = 0.4
_FOR_EACH_STEP: Final = 0.18


def profanity(cleaned: str) -> float:
    """
    Return the score of a cleaned text: 0.58 for a mild term, up to 0.94 for the most severe ones.

    Source:
        Surge AI's profanity list, in which people have judged each term from 1 to 3; see NOTICE.
    """
    terms, severity = _listed()
    found = [severity[match.term] for match in terms.screen(cleaned).matches]
    return round(_MILDEST + _FOR_EACH_STEP * max(found), 4) if found else NO_PROFANITY


@cache
def _listed() -> tuple[Terms, dict[str, float]]:
    lines = files(__package__).joinpath("data/profanity.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    severity = {term: float(value) for term, value in rows}
    return Terms({Action.REVIEW: severity}), severity
