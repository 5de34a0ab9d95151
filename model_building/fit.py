"""
Build the embedded model: ``python -m model_building.fit --data ../shared/data``.

One logistic regression per head over hashed n-grams, with unknown targets left out, and one over the vectors of a
sentence encoder; both calibrated by Platt's method on out-of-fold logits, the n-grams quantised to one byte a weight.
Thresholds are chosen by the rate of false alarms on rows that the scores have not seen. Deterministic.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from content_moderator import __version__
from content_moderator.classifiers.embedded.features import count_features
from content_moderator.classifiers.embedded.linear_model import (
    HEADS,
    EmbeddedModel,
    SecondHeads,
    margins_of,
    stack_any,
    write_model,
)
from content_moderator.classifiers.embedded.second_opinion import SHORT_WORDS, Opinion, final_odds, opinions
from content_moderator.classifiers.embedded.sentence_encoder import SentenceEncoder
from content_moderator.text.cleaning import clean
from content_moderator.text.normalization import words_of
from model_building import second
from model_building.calibration import (
    ASKED,
    FALSE_ALARMS,
    FOREIGN_FALSE_ALARMS,
    FOREIGN_FALSE_ALARMS_OF_GROUPS,
    ClassifierPipeline,
    calibrate,
    for_short_texts,
    growth_of,
    shift_of,
    sigmoid,
    stack_of,
    thresholds,
)
from model_building.material import (
    LEXICON_WORDS,
    Floats,
    Fold,
    Material,
    fit_all,
    folds,
    gather,
    unseen_logits,
)
from model_building.source import LEXICON, SOURCES, checksum, is_calm, read_everyday

TARGET: Final = Path("content_moderator/classifiers/embedded/weights/embedded.bin")
LANGUAGES: Final = Path("model_building/languages.jsonl")
LANGUAGE_GROUPS: Final = Path("model_building/language_groups.yml")
CALIBRATION: Final = "openai"
"""The only rows that carry our exact labels as the world has them; the others only teach."""

IDENTITY_TOPICS: Final = ("groups, kind", "groups, plain", "one of a group", "groups, bare")
"""How the topics of our own sentences about groups begin that nobody should be sent to review for."""

SHORT_TOPICS: Final = ("short, everyday", "names of people", "titles, brands")
SAMPLES: Final = {"everyday": 8000, "identity": 4000, "short": 5000}
"""How many rows thresholds are chosen on, evenly spaced."""

JOINED: Final = (2, 3, 4, 6, 10, 20, 40)
"""Of how many everyday texts longer ones are made."""

LONG: Final = 1600
"""How many of those."""

JUDGED: Final = ("de", "es", "fr", "it", "nl", "pl", "pt", "zh")
"""Languages for which there is a figure that says that the encoder understands them; docs/model-card.md has them."""

Fitted = Sequence[tuple[Floats, float]]


@dataclass(frozen=True, slots=True)
class Setting:
    """
    What turns fitted heads into a model, but for languages.

    Args:
        ngrams: Calibrates the n-grams' heads.
        encoder: Calibrates the encoder's.
        stack: See `content_moderator.classifiers.embedded.linear_model.stack_any`.
        ask_above: Log-odds of any violation from which on the encoder is asked.
        growth: See `content_moderator.classifiers.embedded.linear_model.margins_of`.
        short: What is taken from the log-odds of short texts.
    """

    ngrams: ClassifierPipeline
    encoder: ClassifierPipeline
    stack: tuple[float, float, float]
    ask_above: float
    growth: Floats
    short: Floats


@dataclass(frozen=True, slots=True)
class Fits:
    """
    The fitted heads, and what models that have not seen some texts make of these.

    Args:
        positions: Of each kind of row among the texts.
        texts: All of them, cleaned.
        folds: The n-grams' heads, fitted without a part of the texts each.
        seconds: The second opinion's, likewise.
        full: The n-grams' heads, fitted to all rows.
        heads: The second opinion's.
        idf: Inverse document frequencies.
        targets: Of the rows with exact labels.
    """

    positions: Mapping[str, NDArray[np.int64]]
    texts: Sequence[str]
    folds: Sequence[Fold]
    seconds: Sequence[SecondHeads]
    full: Fitted
    heads: SecondHeads
    idf: NDArray[np.float32]
    targets: Floats


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """
    What the thresholds and the report are made from.

    Args:
        setting: As found out of fold.
        odds: Final log-odds of the texts by a model that has not seen them, by kind, shape (texts, heads) each.
    """

    setting: Setting
    odds: Mapping[str, Floats]


def main() -> None:
    """Fit, calibrate, choose thresholds, quantise, write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--output", type=Path, default=TARGET)
    chosen = arguments.parse_args()
    started = time.monotonic()
    material = gather(chosen.data)
    fits = fit(material)
    print(f"{time.monotonic() - started:4.0f} s  {len(material.corpus.rows)} rows fitted")
    build(fits, read_everyday(chosen.data), chosen.output)
    print(f"{time.monotonic() - started:4.0f} s  {chosen.output} written")


def fit(material: Material) -> Fits:
    """Fit all heads, with and without the texts that are to be scored."""
    rows = material.corpus
    lessons = second.lessons_of(rows)
    parts = rows_to_score(material)
    indices = np.concatenate(list(parts.values()))
    ends = np.cumsum([len(part) for part in parts.values()])[:-1]
    positions = dict(zip(parts, np.split(np.arange(len(indices)), ends), strict=True))
    everything = np.ones(len(rows.rows), dtype=bool)
    fitted = list(folds(material, indices))
    keeps = []
    for held_out, _ in fitted:
        keep = everything.copy()
        keep[indices[held_out]] = False
        keeps.append(keep)
    *seconds, heads = second.fit_all(lessons, rows.targets, [*keeps, everything])
    [full] = fit_all(material, [everything])
    texts = [clean(rows.rows[i].text) for i in indices]
    return Fits(
        positions,
        texts,
        fitted,
        seconds,
        full,
        heads,
        material.idf,
        rows.targets[indices[positions["exact"]]],
    )


def build(fits: Fits, everyday: Sequence[str], output: Path) -> None:
    """
    Calibrate, choose thresholds and write the model file.

    Args:
        fits: The heads.
        everyday: Everyday talk that nothing was fitted to, for the thresholds.
        output: Where to.
    """
    rehearsed = rehearse(fits)
    report(rehearsed.odds["exact"], fits.targets)
    write(output, fits.full, fits.heads, fits.idf, rehearsed.setting, {}, {})
    model = EmbeddedModel.load(output)
    unseen = opinions(model, SentenceEncoder.load(), [clean(text) for text in everyday])
    odds = {**rehearsed.odds, "everyday": np.array([final_odds(model, each) for each in unseen])}
    harmless = {name: sigmoid(odds[name]) for name in FALSE_ALARMS}
    for name, each in harmless.items():
        print(f"  {name}:", *(f"{limit:.2f}" for limit in np.quantile(each, 1 - FALSE_ALARMS[name], axis=0)))
    limits = thresholds(harmless, sigmoid(odds["exact"]), fits.targets)
    for name, limit in limits.items():
        print(f"  {name}: {limit}")
    languages = shifts(model, limits)
    write(output, fits.full, fits.heads, fits.idf, rehearsed.setting, languages, {"thresholds": limits})


def rehearse(fits: Fits) -> Rehearsal:
    """Score texts by models that have not seen them, and find how the scores are to be read."""
    setting = setting_of(fits)
    encoder = SentenceEncoder.load()
    models = [
        as_model(each, heads, fits.idf, setting)
        for (_, each), heads in zip(fits.folds, fits.seconds, strict=True)
    ]
    calm = {int(i) for i in fits.positions["everyday"] if is_calm(fits.texts[i])}
    found: dict[int, Opinion] = {}
    long: list[Opinion] = []
    for (held_out, _), model in zip(fits.folds, models, strict=True):
        texts = [fits.texts[i] for i in held_out]
        found |= dict(zip(held_out.tolist(), opinions(model, encoder, texts), strict=True))
        together = joined([fits.texts[i] for i in held_out if i in calm], LONG // len(models))
        long += opinions(model, encoder, together)
    # The margins are 0 so far: what the parts say is still to be seen.
    everyday = [found[i] for i in fits.positions["everyday"]]
    limits = np.quantile([each.odds()[0] for each in everyday], 1 - FALSE_ALARMS["everyday"], axis=0)
    growth = growth_of(
        np.array([each.odds()[1:].max(axis=0) for each in long]),
        np.array([len(each.parts) - 1 for each in long]),
        limits,
    )
    print("  growth", *(f"{each:.2f}" for each in growth))
    for each in (*found.values(), *long):
        each.margin = margins_of(growth, len(each.parts) - 1)
    merged = np.array([found[i].odds().max(axis=0) for i in fits.positions["exact"]])
    setting = replace(setting, growth=growth, stack=stack_of(merged, fits.targets))
    models = [as_model(fits.folds[0][1], fits.seconds[0], fits.idf, setting)]

    def odds_by(model: EmbeddedModel) -> dict[str, Floats]:
        kinds = {name: [found[i] for i in where] for name, where in fits.positions.items()} | {"long": long}
        return {name: np.array([final_odds(model, each) for each in of]) for name, of in kinds.items()}

    odds = odds_by(models[0])
    limits = np.quantile(odds["everyday"], 1 - FALSE_ALARMS["everyday"], axis=0)
    setting = replace(setting, short=for_short_texts(odds["short"], limits))
    print("  short", *(f"{each:.2f}" for each in setting.short))
    return Rehearsal(setting, odds_by(as_model(fits.folds[0][1], fits.seconds[0], fits.idf, setting)))


def joined(texts: Sequence[str], count: int) -> list[str]:
    """Return so many longer texts made of everyday ones, each of some that stand side by side."""
    found = []
    for number in range(count):
        size = JOINED[number % len(JOINED)]
        begin = number * 37 % max(len(texts) - size, 1)
        each = texts[begin : begin + size]
        found.append(" ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in each))
    return found


def rows_to_score(material: Material) -> dict[str, NDArray[np.int64]]:
    """Return the rows that are scored by models that have not seen them, by what they are for."""
    rows = material.corpus.rows
    seeds = [(i, row.group) for i, row in enumerate(rows) if row.source == "seeds"]
    kinds = {
        "everyday": [i for i, row in enumerate(rows) if row.source == "goemotions"],
        "identity": [i for i, group in seeds if group.startswith(IDENTITY_TOPICS)],
        "short": [i for i, row in enumerate(rows) if row.source == "crops"]
        + [i for i, group in seeds if group.startswith(SHORT_TOPICS)]
        + [i for i, row in enumerate(rows) if row.source == "cases" and not any(row.targets.values())],
    }
    kinds["short"] = [i for i in kinds["short"] if len(words_of(rows[i].text)) <= SHORT_WORDS]
    exact = {"exact": np.array([i for i, row in enumerate(rows) if row.source == CALIBRATION])}
    return exact | {
        name: np.array(found)[np.unique(np.linspace(0, len(found) - 1, SAMPLES[name]).astype(int))]
        for name, found in kinds.items()
    }


def setting_of(fits: Fits) -> Setting:
    """Calibrate, and find from when on the encoder is asked."""
    words = [words_of(text) for text in fits.texts]
    ngrams = unseen_logits(words, range(len(words)), fits.idf, fits.folds)
    vectors = second.encode([" ".join(each) for each in words])
    encoded = np.zeros(ngrams.shape)
    for (held_out, _), heads in zip(fits.folds, fits.seconds, strict=True):
        encoded[held_out] = heads.logits(vectors[held_out])
    exact, everyday = fits.positions["exact"], fits.positions["everyday"]
    lines = calibrate(ngrams[exact], fits.targets), calibrate(encoded[exact], fits.targets)
    first, other = lines[0].apply(ngrams), lines[1].apply(encoded)
    stack = stack_of(((first + other) / 2)[exact], fits.targets)
    alone = stack_any(first, stack)[:, -1]
    ask_above = float(np.quantile(alone[everyday], 1 - ASKED))
    return Setting(*lines, stack, ask_above, np.zeros(len(HEADS)), np.zeros(len(HEADS)))


def as_model(fitted: Fitted, heads: SecondHeads, idf: NDArray[np.float32], setting: Setting) -> EmbeddedModel:
    """Return what the service would load, by way of a file: quantising costs something."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        write(path, fitted, heads, idf, setting, {}, {})
        return EmbeddedModel.load(path)


def shifts(model: EmbeddedModel, limits: Mapping[str, Mapping[str, float | None]]) -> dict[str, list[float]]:
    """Find what is added to the log-odds of texts in other languages, by harmless sentences in them."""
    rows = [json.loads(line) for line in LANGUAGES.read_text(encoding="utf-8").splitlines()]
    encoder = SentenceEncoder.load()
    highest = [np.log(limit / (1 - limit)) for head in HEADS if (limit := limits[head]["review"])]
    found = {}
    for code in JUDGED:
        plain = [row["text"] for row in rows if row["language"] == code]
        plain_odds, group_odds = (_foreign(model, encoder, texts) for texts in (plain, about_groups(code)))
        both = np.minimum(
            shift_of(plain_odds, highest, FOREIGN_FALSE_ALARMS),
            shift_of(group_odds, highest, FOREIGN_FALSE_ALARMS_OF_GROUPS),
        )
        found[code] = [round(float(each), 3) for each in both]
        print(f"  {code}: {found[code]}")
    return found


def about_groups(code: str) -> list[str]:
    """Return harmless sentences about groups of people in a language."""
    parts = yaml.safe_load(LANGUAGE_GROUPS.read_text(encoding="utf-8"))[code]
    return [frame.format(name) for frame in parts["frames"] for name in parts["names"]]


def _foreign(model: EmbeddedModel, encoder: SentenceEncoder, texts: Sequence[str]) -> Floats:
    """Return the log-odds of those of *texts* that are taken for another language, shape (n, heads)."""
    found = opinions(model, encoder, [clean(text) for text in texts])
    odds = [each.odds().max(axis=0)[np.newaxis] for each in found if each.foreign]
    return np.array([stack_any(each, model.stack)[0] for each in odds])


def write(  # noqa: PLR0917  (the parts of a model)
    path: Path,
    fitted: Fitted,
    heads: SecondHeads,
    idf: NDArray[np.float32],
    setting: Setting,
    languages: Mapping[str, Sequence[float]],
    more: Mapping[str, Any],
) -> None:
    """
    Fold the calibration into the heads and write the model file.

    Args:
        path: Where to.
        fitted: Weights and bias of each head over n-grams.
        heads: Those over the encoder's vectors.
        idf: Inverse document frequencies, shape (BUCKETS,).
        setting: How they are to be read.
        languages: What is added for texts in other languages, by code.
        more: What else the header says.
    """
    line = setting.ngrams
    weights = np.stack([w for w, _ in fitted], axis=1) * line.slope
    weights[groups_alone()] = np.minimum(weights[groups_alone()], 0)
    header = {
        "format": 3,
        "made_by": f"content_moderator {__version__}, model_building/fit.py",
        "heads": HEADS,
        "bias": _plain(np.array([b for _, b in fitted]) * line.slope + line.intercept),
        "any": setting.stack,
        "growth": _plain(setting.growth),
        "short": _plain(setting.short),
        "second_opinion": {"ask_above": round(setting.ask_above, 4), "languages": languages},
        "lexicon": LEXICON,
        "sources": {
            name: {file: checksum(file) for file in source.files} for name, source in SOURCES.items()
        },
        **more,
    }
    calibrated = heads.scaled(setting.encoder.slope, setting.encoder.intercept)
    write_model(path, header=header, idf=idf, weights=weights.astype(np.float32), second=calibrated)


def groups_alone() -> NDArray[np.int64]:
    """Return the features that nothing but the name of a group makes: they are never a reason."""
    texts = [["lesbian"], ["gay", "people"], ["women"], ["muslims", "women"]]
    return np.unique(count_features(texts, LEXICON_WORDS).bucket)


def _plain(values: Floats) -> list[float]:
    return [round(float(value), 5) for value in values]


def report(odds: Floats, targets: Floats) -> None:
    """Print the out-of-fold AUPRC and base rate of each head."""
    scores = []
    for head, name in enumerate(HEADS):
        known = ~np.isnan(targets[:, head])
        y = targets[known, head]
        scores.append(average_precision_score(y, odds[known, head]))
        print(f"  {name:4} AUPRC {scores[-1]:.3f}  base rate {y.mean():.3f}  rows {known.sum()}")
    print(f"  macro over the {len(HEADS) - 1} labels {np.mean(scores[:-1]):.3f}")


if __name__ == "__main__":
    main()
