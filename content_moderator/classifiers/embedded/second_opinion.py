"""Scores a text and its parts, and combines the scores with the second opinion of the sentence encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from content_moderator.classifiers.embedded.features import count_features
from content_moderator.classifiers.embedded.linear_model import EmbeddedModel, margins_of, stack_any
from content_moderator.classifiers.embedded.sentence_encoder import SentenceEncoder
from content_moderator.observability import metrics
from content_moderator.text.language import ENGLISH, UNKNOWN, Language, language_of
from content_moderator.text.normalization import words_of
from content_moderator.text.sentence import Part, parts_of, sentences

MAX_ASKED: Final = 4
"""The largest number of parts of an English text that the encoder scores besides the whole text."""

MAX_FOREIGN: Final = 24
"""The largest number of parts of a text in another language; further sentences are joined."""

SHORT_WORDS: Final = 4
"""
Texts of up to this number of words have their own calibration, and shorter ones are only blocked for a slur.
"""

SHORT_LIMIT: Final = float(np.log(0.89 / 0.11))
"""
The highest log-odds of hate and sexual content in a short text: below the shipped thresholds for blocking.
"""

Floats = NDArray[np.float64]

_NOTHING: Final = np.zeros((0, 0))


@dataclass(slots=True)
class Opinion:
    """
    The log-odds of one text by part.

    Args:
        parts: The whole text first, then its parts.
        linear: Log-odds by n-grams, shape (parts, heads).
        language: The language of the text.
        margin: Subtracted from the log-odds of parts, shape (heads,).
        second: Log-odds by the encoder, shape (parts, heads), NaN for parts that it did not score; None if it
            scored none.
    """

    parts: list[Part]
    linear: Floats
    language: Language
    margin: Floats
    second: Floats | None = None

    @property
    def foreign(self) -> bool:
        """Whether the n-grams, which are English, are ignored."""
        return self.second is not None and self.language.code not in {ENGLISH, UNKNOWN}

    def odds(self) -> Floats:
        """Return the combined log-odds of each part, shape (parts, heads)."""
        odds = self.linear.copy()
        if self.second is not None:
            odds = self.second if self.foreign else (odds + self.second) / 2
            odds = np.where(np.isnan(odds), -np.inf, odds)
        odds[1:] -= self.margin
        return np.asarray(odds)


def opinions(model: EmbeddedModel, encoder: SentenceEncoder | None, texts: Sequence[str]) -> list[Opinion]:
    """
    Return the opinions about texts and their parts.

    The encoder is only used if the n-grams leave doubt, and for other languages, which they do not know.
    """
    found: list[Opinion] = []
    words: list[list[str]] = []
    for text in texts:
        read = words_of(text)
        parts = [Part(read, "whole", 0, len(text)), *parts_of(text, read)]
        words += (part.words for part in parts)
        margin = margins_of(model.growth, len(parts) - 1)
        found.append(Opinion(parts, _NOTHING, _language(text, parts), margin))
    odds = model.logits(count_features(words, model.lexicon), len(words)).astype(float)
    begin = 0
    for each in found:
        each.linear = odds[begin : begin + len(each.parts)]
        begin += len(each.parts)
    if encoder is not None:
        _ask(model, encoder, texts, found)
    return found


def _language(text: str, parts: Sequence[Part]) -> Language:
    found = language_of(text, parts[0].words)
    for part in parts[1:2]:
        # The language is detected again after entities are decoded and tags are removed, because they can
        # hide it.
        if part.marked_up and found.code == ENGLISH:
            hidden = language_of(" ".join(part.words), part.words)
            found = found if hidden.code == ENGLISH else Language(UNKNOWN, certain=False)
    return found


def final_odds(model: EmbeddedModel, opinion: Opinion) -> Floats:
    """Return the log-odds of a text, shape (heads,)."""
    odds = stack_any(opinion.odds().max(axis=0)[np.newaxis], model.stack)[0]
    if len(opinion.parts[0].words) > SHORT_WORDS:
        return np.asarray(odds)
    return np.asarray(np.minimum(odds - for_shortness(model, opinion), limits(model, opinion)))


def for_shortness(model: EmbeddedModel, opinion: Opinion) -> Floats:
    """Return the amount that is subtracted from the log-odds of a text of few words, shape (heads,)."""
    is_short = len(opinion.parts[0].words) <= SHORT_WORDS and not opinion.foreign
    return np.asarray(model.short, dtype=np.float64) if is_short else np.zeros(len(model.heads))


def limits(model: EmbeddedModel, opinion: Opinion) -> Floats:
    """Return the highest log-odds that a text of few words can have, shape (heads,)."""
    highest = np.full(len(model.heads), np.inf)
    words = opinion.parts[0].words
    if len(words) < SHORT_WORDS:
        highest[model.sexual] = SHORT_LIMIT
        if not any(model.lexicon.get(word) == "slur" for word in words):
            highest[model.hate] = SHORT_LIMIT
    return highest


def _ask(
    model: EmbeddedModel, encoder: SentenceEncoder, texts: Sequence[str], found: Sequence[Opinion]
) -> None:
    """Score with the encoder, in one call, all parts that need a second opinion."""
    shown: list[str] = []
    places: list[tuple[Opinion, list[int]]] = []
    for text, each in zip(texts, found, strict=True):
        if each.language.code in {ENGLISH, UNKNOWN}:
            linear = stack_any(each.odds().max(axis=0)[np.newaxis], model.stack)[0, -1]
            if linear <= model.ask_above and each.language.code == ENGLISH:
                continue
            asked = _loudest(each)
            shown += [" ".join(each.parts[part].words) for part in asked]
        else:
            _divide_foreign(model, text, each)
            asked = list(range(len(each.parts)))
            shown += [text[part.begin : part.end] for part in each.parts]
        places.append((each, asked))
    if not shown:
        return
    metrics.SECOND_OPINIONS.inc(len(places))
    odds = model.second.logits(encoder.encode(shown)).astype(float)
    begin = 0
    for each, asked in places:
        each.second = np.full(each.linear.shape, np.nan)
        end = begin + len(asked)
        each.second[asked] = odds[begin:end] + model.languages.get(each.language.code, 0)
        begin = end


def _loudest(opinion: Opinion) -> list[int]:
    """Return the whole text and the parts with the highest log-odds of some head."""
    if len(opinion.parts) == 1:
        return [0]
    found = 1 + np.argmax(opinion.linear[1:], axis=0)
    # The head for any violation is the last one, and comes first here.
    return [0, *list(dict.fromkeys(found[::-1].tolist()))[:MAX_ASKED]]


def _divide_foreign(model: EmbeddedModel, text: str, opinion: Opinion) -> None:
    """Return the sentences of a text in another language as its parts: n-grams cannot select among them."""
    spans = sentences(text)
    size = -(-len(spans) // MAX_FOREIGN) if spans else 1
    runs = [spans[start : start + size] for start in range(0, len(spans), size)]
    parts = [Part([], "sentence", run[0][0], run[-1][1]) for run in runs] if len(spans) > 1 else []
    opinion.parts = [opinion.parts[0], *parts]
    opinion.linear = np.repeat(opinion.linear[:1], len(opinion.parts), axis=0)
    opinion.margin = margins_of(model.growth, len(parts))
