"""
Measure the benefit of deobfuscation for a model that does not know disguises: ``python -m
model_building.views``.

The remote model is not available, so another model is used: a logistic regression over words and character
n-grams of the text as written, fitted five times without a fifth of the rows and applied to that fifth.
Writes the table of docs/decisions/0022; never a text.
"""

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from content_moderator.domain.verdict import ANY
from content_moderator.text.cleaning import clean
from content_moderator.text.deobfuscation import deobfuscated
from model_building.evasion import ATTACKS, attack
from model_building.source import load, read_goemotions

FALSE_ALARMS = 0.1
PARTS = 5
SOURCE = "openai"

Score = Callable[[Sequence[str]], NDArray[np.float64]]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = arguments.parse_args().data
    rows = [row for row in load(SOURCE, data) if ANY in row.targets]
    texts = [clean(row.text) for row in rows]
    harmful = np.array([row.targets[ANY] for row in rows])
    print(f"{len(rows)} rows, {harmful.sum()} of them violations")
    print("\n| disguise | as written | with views | texts with a view |\n|---|---|---|---|")
    for line in table(texts, harmful, [row.group for row in rows]):
        print(line)
    everyday = [clean(text) for text in read_goemotions(data, "test")]
    print(f"\nEveryday texts with a view: {share_with_view(everyday):.1%} of {len(everyday)}")


def table(texts: Sequence[str], harmful: NDArray[np.bool_], groups: Sequence[str]) -> Iterator[str]:
    """Yield the recall at the threshold with this rate of false alarms on texts as written."""
    parts = [
        (unseen, literal_model([texts[i] for i in seen], harmful[seen]))
        for seen, unseen in GroupKFold(PARTS).split(texts, groups=groups)
    ]

    def scored(shown: Sequence[str], *, views: bool) -> NDArray[np.float64]:
        scores = np.zeros(len(shown))
        for unseen, score in parts:
            part = [shown[i] for i in unseen]
            scores[unseen] = score(part)
            if views:
                scores[unseen] = np.maximum(
                    scores[unseen], score([deobfuscated(text) or text for text in part])
                )
        return scores

    written = scored(texts, views=False)
    threshold = np.quantile(written[~harmful], 1 - FALSE_ALARMS)
    for name, disguise in {"none": None, **ATTACKS}.items():
        generator = random.Random(0)  # noqa: S311  (repeatable, not secret)
        shown = texts if disguise is None else [clean(attack(text, disguise, generator)) for text in texts]
        flagged = [scored(shown, views=views) >= threshold for views in (False, True)]
        recall = " | ".join(f"{each[harmful].mean():.2f}" for each in flagged)
        yield f"| {name} | {recall} | {share_with_view(shown):.0%} |"
        if disguise is None:
            alarms = [each[~harmful].mean() for each in flagged]
            yield f"| none: false alarms | {alarms[0]:.3f} | {alarms[1]:.3f} | |"


def literal_model(texts: Sequence[str], harmful: NDArray[np.bool_]) -> Score:
    """Fit the model."""
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"\S+"),  # noqa: S106
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=3, sublinear_tf=True),
    )
    model: Pipeline = make_pipeline(
        features, LogisticRegression(C=10, max_iter=1000, class_weight="balanced")
    )
    model.fit(texts, harmful)
    return lambda shown: model.predict_proba(shown)[:, 1]


def share_with_view(texts: Sequence[str]) -> float:
    """Return the share of texts that are scored twice."""
    return sum(deobfuscated(text) is not None for text in texts) / len(texts)


if __name__ == "__main__":
    main()
