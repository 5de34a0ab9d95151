"""Explains the embedded model's log-odds: by word for the n-grams, and as a whole for the encoder."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from content_moderator.classifiers.embedded.features import Counts, occurrences
from content_moderator.classifiers.embedded.linear_model import (
    MOST_BELOW_LABEL,
    EmbeddedModel,
    feature_values,
)
from content_moderator.classifiers.embedded.second_opinion import for_shortness, limits, opinions
from content_moderator.classifiers.embedded.sentence_encoder import SentenceEncoder
from content_moderator.classifiers.embedded.tokens import tokens_of
from content_moderator.domain.explanation import Contribution, Explanation
from content_moderator.domain.label import Label
from content_moderator.text.normalization import WordSpan, without_markup, word_spans
from content_moderator.text.sentence import Part

EXPLAINED_BY: Final = {Label.S3.value: Label.S.value}
"""S3 has no head of its own, so the sexual score is explained instead."""

Floats = NDArray[np.float64]


def explain(
    model: EmbeddedModel, encoder: SentenceEncoder | None, text: str, labels: Sequence[str]
) -> list[Explanation]:
    """Explain the scores of *text*; see `content_moderator.domain.explanation.Explainer.explain`."""
    [opinion] = opinions(model, encoder, [text])
    odds = opinion.odds()
    loudest = odds.argmax(axis=0)
    heads = np.arange(len(model.heads))
    taken = np.where(loudest > 0, opinion.margin, 0)
    base = -taken if opinion.foreign else model.bias.astype(float) - taken
    words = {} if opinion.foreign else _weigh_parts(model, text, [opinion.parts[part] for part in loudest])
    linear = np.zeros(len(heads)) if opinion.foreign else opinion.linear[loudest, heads]
    second = odds[loudest, heads] + taken - linear
    _stack_any(model, odds[loudest, heads], base, second, words)
    base -= for_shortness(model, opinion)
    total = base + second + sum(words.values(), np.zeros_like(base))
    # The limit for texts of few words is subtracted from the base.
    base -= np.maximum(total - limits(model, opinion), 0)
    total = np.minimum(total, limits(model, opinion))

    def explanation(label: str) -> Explanation:
        head = model.heads.index(EXPLAINED_BY.get(label, label))
        weights = ((place, float(weight[head])) for place, weight in sorted(words.items(), key=_position))
        contributions = tuple(Contribution(*place, weight) for place, weight in weights)
        return Explanation(label, float(total[head]), float(base[head]), contributions, float(second[head]))

    return [explanation(label) for label in labels]


def _position(item: tuple[WordSpan, Floats]) -> tuple[int, int]:
    return item[0].begin, item[0].end


def _weigh_parts(model: EmbeddedModel, text: str, loudest: Sequence[Part]) -> dict[WordSpan, Floats]:
    """
    Return what each word adds to the log-odds of each head, in the part with the highest log-odds of that
    head.
    """
    merged = defaultdict[WordSpan, Floats](lambda: np.zeros(len(model.heads)))
    read: list[tuple[Part, dict[WordSpan, Floats]]] = []
    for head, part in enumerate(loudest):
        weighed = next((each for known, each in read if known is part), None)
        if weighed is None:
            weighed = _weigh_words(model, part.words, _places(text, part))
            read.append((part, weighed))
        for place, weight in weighed.items():
            merged[place][head] += weight[head]
    return dict(merged)


def _places(text: str, part: Part) -> list[WordSpan]:
    """Return the positions of the words of a part in the text."""
    if part.marked_up and (further := without_markup(text)):
        return [
            WordSpan(place.word, further.begins[place.begin], further.ends[place.end - 1])
            for place in word_spans(further.text)
        ]
    places = word_spans(text[part.begin : part.end])[part.first : part.first + len(part.words)]
    return [WordSpan(place.word, part.begin + place.begin, part.begin + place.end) for place in places]


def _weigh_words(
    model: EmbeddedModel, words: Sequence[str], places: Sequence[WordSpan]
) -> dict[WordSpan, Floats]:
    """
    Return what each word adds to the log-odds of each head.

    The weight of an n-gram is divided equally among its words.

    Args:
        model: The model.
        words: The words of a text or a part.
        places: Their positions.
    """
    tokens = tokens_of(words, model.lexicon)
    found = occurrences(tokens)
    bucket, which, count = np.unique(found.bucket, return_inverse=True, return_counts=True)
    values = feature_values(Counts(np.zeros_like(bucket), bucket, count), model.idf) / count
    shares = values[which, np.newaxis] * model.weights[found.bucket] * model.scale
    # The tokens of the first stream are the words. A token of the second covers the words up to the next
    # token.
    starts = np.array([*range(len(places)), *tokens.places], dtype=np.int64)
    ends = np.array([*range(1, len(places) + 1), *tokens.places[1:], len(places)], dtype=np.int64)
    first, behind = starts[found.first], ends[found.last]
    shares /= (behind - first)[:, np.newaxis]
    steps = np.zeros((len(places) + 1, len(model.heads)))
    np.add.at(steps, first, shares)
    np.subtract.at(steps, behind, shares)
    weights = np.cumsum(steps, axis=0)[:-1]
    merged = defaultdict[WordSpan, Floats](lambda: np.zeros(len(model.heads)))
    for place, weight in zip(places, weights, strict=True):
        merged[place] += weight
    return dict(merged)


def _stack_any(
    model: EmbeddedModel, odds: Floats, base: Floats, second: Floats, words: dict[WordSpan, Floats]
) -> None:
    """Explain any violation by its own head and the highest label, as `stack_any` combines them."""
    own, highest, bias = model.stack
    top = int(np.argmax(odds[:-1]))
    if own * odds[-1] + highest * odds[top] + bias < odds[top] - MOST_BELOW_LABEL:
        own, highest, bias = 0, 1, -MOST_BELOW_LABEL
    base[-1] = own * base[-1] + highest * base[top] + bias
    for weight in (second, *words.values()):
        weight[-1] = own * weight[-1] + highest * weight[top]
