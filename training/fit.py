"""
Build the embedded model: ``python -m training.fit --data ../shared/data``.

One logistic regression per head over hashed n-grams, with unknown targets left out, calibrated by
Platt's method on out-of-fold logits, quantised to one byte a weight. Thresholds are chosen by the rate
of false alarms on rows that the scores have not seen. Deterministic.
"""

import argparse
import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from content_moderator import __version__
from content_moderator.classifiers.embedded_model import HEADS, write_model
from training.calibration import Calibration, calibrate, sigmoid, thresholds
from training.evasion import Padding
from training.material import LEXICON, Floats, folds, gather, unseen_logits
from training.source import SOURCES, checksum

TARGET = Path("content_moderator/models/embedded.bin")
CALIBRATION = "openai"
"""The only rows that carry our exact labels as the world has them; the others only teach."""
EVERYDAY = "goemotions"
IDENTITY_TOPICS = ("groups, kind", "groups, plain", "one of a group")
"""How the topics of our own sentences about groups begin that nobody should be sent to review for."""


def main() -> None:
    """Fit, calibrate, choose thresholds, quantise, write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--output", type=Path, default=TARGET)
    chosen = arguments.parse_args()
    started = time.monotonic()

    def progress(done: str) -> None:
        print(f"{time.monotonic() - started:4.0f} s  {done}")

    material = gather(chosen.data)
    rows = material.corpus
    progress(f"{len(rows.rows)} rows counted, {len(material.lessons.origin)} texts shown to the teacher")

    parts = {
        "exact": rows.where(CALIBRATION),
        "everyday": rows.where(EVERYDAY),
        "identity": np.array([i for i, row in enumerate(rows.rows) if row.group.startswith(IDENTITY_TOPICS)]),
    }
    indices = np.concatenate(list(parts.values()))
    texts = [rows.rows[i].text for i in indices]
    exact = len(parts["exact"])
    fitted_parts = list(folds(material, indices))
    plain = unseen_logits(texts, material.idf, fitted_parts)
    padding = Padding(chosen.data)
    padded = unseen_logits([padding.around(text) for text in texts[:exact]], material.idf, fitted_parts)
    progress("out-of-fold logits")

    targets = rows.targets[parts["exact"]]
    calibration = calibrate(plain.at(range(exact)), padded, targets)
    odds = calibration.apply(plain)
    report(odds[:exact], targets)
    _, everyday, identity = np.split(sigmoid(odds), np.cumsum([len(part) for part in parts.values()])[:-1])
    limits = thresholds(everyday, identity)
    for name, limit in limits.items():
        print(f"  {name}: {limit}")

    everything = np.ones(len(rows.rows), dtype=bool)
    fitted = [material.fit(head, everything) for head in range(len(HEADS))]
    write(chosen.output, fitted, material.idf, calibration, {"thresholds": limits})
    progress(f"{chosen.output} written")


def write(
    path: Path,
    fitted: Sequence[tuple[Floats, float]],
    idf: NDArray[np.float32],
    calibration: Calibration,
    more: Mapping[str, Any],
) -> None:
    """
    Fold the calibration into the heads and write the model file.

    Args:
        path: Where to.
        fitted: Weights and bias of each head.
        idf: Inverse document frequencies, shape (BUCKETS,).
        calibration: Of the heads.
        more: What else the header says.
    """
    weights = np.stack([w for w, _ in fitted], axis=1) * calibration.slope
    bias = np.array([b for _, b in fitted]) * calibration.slope + calibration.intercept
    header = {
        "format": 2,
        "made_by": f"content_moderator {__version__}, training/fit.py",
        "heads": HEADS,
        "bias": [float(value) for value in bias],
        "any": calibration.stack,
        "parts": dataclasses.asdict(calibration.parts) | {"bias": calibration.parts.bias.tolist()},
        "lexicon": LEXICON,
        "sources": {
            name: {file: checksum(file) for file in source.files} for name, source in SOURCES.items()
        },
        **more,
    }
    write_model(path, header=header, idf=idf, weights=weights.astype(np.float32))


def report(logits: Floats, targets: Floats) -> None:
    """Print the out-of-fold AUPRC and base rate of each head."""
    scores = []
    for head, name in enumerate(HEADS):
        known = ~np.isnan(targets[:, head])
        y = targets[known, head]
        scores.append(average_precision_score(y, logits[known, head]))
        print(f"  {name:4} AUPRC {scores[-1]:.3f}  base rate {y.mean():.3f}  rows {known.sum()}")
    print(f"  macro over the {len(HEADS) - 1} labels {np.mean(scores[:-1]):.3f}")


if __name__ == "__main__":
    main()
