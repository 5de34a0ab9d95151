"""Takes the embedded model's log-odds apart, word by word: exactly, for the model is linear."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from content_moderator.classifiers.embedded_feature import Counts, count_features, occurrences
from content_moderator.classifiers.embedded_model import EmbeddedModel, feature_values
from content_moderator.classifiers.embedded_token import tokens_of
from content_moderator.core.alignment import Place, places_of_words
from content_moderator.core.explanation import Contribution, Explanation
from content_moderator.core.label import Label
from content_moderator.core.text import divide, normalise

EXPLAINED_BY: Final = {Label.S3.value: Label.S.value}
"""S3 has no head of its own: what can be explained is what is sexual about the text."""

Floats = NDArray[np.float64]


def explain(model: EmbeddedModel, text: str, labels: Sequence[str]) -> list[Explanation]:
    """Take the scores of *text* apart; see `content_moderator.core.explanation.Explainer.explain`."""
    base, words = _merge_parts(model, text)
    _stack_any(model, base, words)
    odds = base + sum(words.values(), np.zeros_like(base))

    def explanation(label: str) -> Explanation:
        head = model.heads.index(EXPLAINED_BY.get(label, label))
        weights = ((place, float(weight[head])) for place, weight in sorted(words.items(), key=_position))
        contributions = tuple(Contribution(*place, weight) for place, weight in weights)
        return Explanation(label, float(odds[head]), float(base[head]), contributions)

    return [explanation(label) for label in labels]


def _position(item: tuple[Place, Floats]) -> tuple[int, int]:
    return item[0].begin, item[0].end


def _weigh_words(model: EmbeddedModel, text: str, begin: int = 0) -> dict[Place, Floats]:
    """
    Give what each word of *text* adds to the log-odds of each head.

    An n-gram's share goes to the words that it is made of, in equal parts.

    Args:
        model: Whose weights.
        text: A text or a passage.
        begin: Where it begins in the whole text.
    """
    places = places_of_words(text)
    tokens = tokens_of(normalise(text), model.lexicon)
    found = occurrences(tokens)
    bucket, which, count = np.unique(found.bucket, return_inverse=True, return_counts=True)
    values = feature_values(Counts(np.zeros_like(bucket), bucket, count), model.idf) / count
    shares = values[which, np.newaxis] * model.weights[found.bucket] * model.scale
    # Tokens of the first stream are the words; one of the second stands for the words up to the next one's.
    starts = np.array([*range(len(places)), *tokens.places], dtype=np.int64)
    ends = np.array([*range(1, len(places) + 1), *tokens.places[1:], len(places)], dtype=np.int64)
    first, behind = starts[found.first], ends[found.last]
    shares /= (behind - first)[:, np.newaxis]
    steps = np.zeros((len(places) + 1, len(model.heads)))
    np.add.at(steps, first, shares)
    np.subtract.at(steps, behind, shares)
    weights = np.cumsum(steps, axis=0)[:-1]
    return {
        Place(place.word, begin + place.begin, begin + place.end): weight
        for place, weight in zip(places, weights, strict=True)
    }


def _merge_parts(model: EmbeddedModel, text: str) -> tuple[Floats, dict[Place, Floats]]:
    """Weigh the words of the whole text and of the loudest parts, for each head, as `merge_parts` does."""
    bias = model.bias.astype(float)
    division = divide(text)
    if not division.passages:
        return bias, _weigh_words(model, text)
    normalised = [normalise(text[begin:end]) for begin, end in division.spans]
    odds = model.logits(count_features(normalised, model.lexicon), len(normalised))
    # How much each part counts for each head: the loudest of its kind does, and no other.
    counts = np.zeros(odds.shape)
    counts[0] = model.parts.whole
    for weight, kind in (
        (model.parts.passage, division.passages),
        (model.parts.sentence, division.sentences),
    ):
        loudest = np.array(kind)[np.argmax(odds[kind], axis=0)]
        np.add.at(counts, (loudest, np.arange(len(bias))), weight)
    merged = defaultdict[Place, Floats](lambda: np.zeros_like(bias))
    for part in np.flatnonzero(counts.any(axis=1)):
        begin, end = division.spans[part]
        for place, adds in _weigh_words(model, text[begin:end], begin).items():
            merged[place] += adds * counts[part]
    return counts.sum(axis=0) * bias + model.parts.bias, dict(merged)


def _stack_any(model: EmbeddedModel, base: Floats, words: dict[Place, Floats]) -> None:
    """Let the highest label speak for any violation, as `stack_any` does."""
    own, highest, bias = model.stack
    top = int(np.argmax(base[:-1] + sum((weight[:-1] for weight in words.values()), np.zeros(len(base) - 1))))
    base[-1] = own * base[-1] + highest * base[top] + bias
    for weight in words.values():
        weight[-1] = own * weight[-1] + highest * weight[top]
