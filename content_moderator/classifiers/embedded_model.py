"""
The file format of the embedded model, and the arithmetic of its linear heads.

A file is a magic word, the length of a JSON header as a little-endian 32-bit integer, the header,
and two raw arrays: the quantised inverse document frequencies, one byte a bucket, and the quantised
weights, one signed byte for each bucket and head. Nothing in it can run.
"""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from content_moderator.classifiers.embedded_feature import BLOCKS, BUCKETS, BUCKETS_PER_BLOCK, Counts
from content_moderator.classifiers.embedded_token import Lexicon
from content_moderator.core.label import HARMS, Label
from content_moderator.core.policy import ANY
from content_moderator.core.text import Division
from content_moderator.errors import ConfigurationError

MAGIC: Final = b"CMEMBED1"

HEADS: Final = (*(label.value for label in HARMS if label is not Label.S3), ANY)
"""What is fitted: the labels but S3, which has no training text and is built from S, and any violation."""

Floats = NDArray[np.float32]


def feature_values(counts: Counts, idf: Floats) -> Floats:
    """Weigh counts by (1 + ln tf) · idf and give each block of each text the Euclidean length 1."""
    values: Floats = (1 + np.log(counts.count)).astype(np.float32) * idf[counts.bucket]
    block = counts.text * BLOCKS + counts.bucket // BUCKETS_PER_BLOCK
    length = np.sqrt(np.bincount(block, weights=values * values)).astype(np.float32)
    unit: Floats = values / length[block]
    return unit


def probabilities(logits: Floats) -> Floats:
    """Turn log-odds into probabilities."""
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class PartWeights:
    """
    How the log-odds of a long text follow from those of its parts.

    Args:
        whole: Weight of the whole text.
        passage: Weight of the loudest passage, for each head by itself.
        sentence: Weight of the loudest sentence, likewise.
        bias: Added, shape (heads,).
    """

    whole: float
    passage: float
    sentence: float
    bias: Floats


def wholes(divisions: Sequence[Division]) -> list[int]:
    """Give the index of each whole text among all parts of the first text, then of the next."""
    return list(itertools.accumulate((len(each.spans) for each in divisions), initial=0))[:-1]


def merge_parts(odds: NDArray[Any], divisions: Sequence[Division], weights: PartWeights) -> NDArray[Any]:
    """
    Let the loudest passage and the loudest sentence speak for their text, so that padding does not hide them.

    Args:
        odds: Log-odds of all parts of the first text, then of the next, shape (parts, heads).
        divisions: How each text was divided; one without passages keeps its own log-odds.
        weights: How the parts are weighed.
    Returns:
        Shape (texts, heads).
    """
    first = wholes(divisions)
    merged = odds[first]
    divided = [index for index, each in enumerate(divisions) if each.passages]
    if divided:
        passage = _loudest(odds, [(first[index], divisions[index].passages) for index in divided])
        sentence = _loudest(odds, [(first[index], divisions[index].sentences) for index in divided])
        merged[divided] = (
            weights.whole * merged[divided]
            + weights.passage * passage
            + weights.sentence * sentence
            + weights.bias
        )
    return merged


def _loudest(odds: NDArray[Any], parts: Sequence[tuple[int, Sequence[int]]]) -> NDArray[Any]:
    """Give the highest log-odds among the parts of each text, which are counted from its first."""
    rows = [first + index for first, indices in parts for index in indices]
    starts = itertools.accumulate((len(indices) for _, indices in parts[:-1]), initial=0)
    return np.asarray(np.maximum.reduceat(odds[rows], list(starts)))


def stack_any(odds: NDArray[Any], stack: tuple[float, float, float]) -> NDArray[Any]:
    """
    Let the highest label speak for "any violation" as well, beside its own head, which is the last.

    Args:
        odds: Log-odds, shape (n, heads).
        stack: Weight of the last head, weight of the highest of the others, and bias.
    Returns:
        The same with the last column replaced.
    """
    own, highest, bias = stack
    stacked = odds.copy()
    stacked[:, -1] = own * odds[:, -1] + highest * odds[:, :-1].max(axis=1) + bias
    return stacked


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """
    Linear heads over hashed n-grams.

    Args:
        heads: Names of the heads: labels, and last ``ANY`` for any violation.
        idf: Inverse document frequency of each bucket, shape (BUCKETS,).
        weights: Quantised weights, shape (BUCKETS, heads).
        scale: What one step of a weight is worth, shape (heads,).
        bias: Added to the logit, shape (heads,); calibration is folded in here and in scale.
        stack: How the labels speak for any violation; see `stack_any`.
        parts: How the parts of a long text speak for it; see `merge_parts`.
        lexicon: From word to class, for the features.
        header: The file's JSON header: where the model comes from.
        revision: First 12 hex digits of the SHA-256 of the whole file.
    """

    heads: tuple[str, ...]
    idf: Floats
    weights: NDArray[np.int8]
    scale: Floats
    bias: Floats
    stack: tuple[float, float, float]
    parts: PartWeights
    lexicon: Lexicon
    header: Mapping[str, Any]
    revision: str

    def logits(self, counts: Counts, texts: int) -> Floats:
        """
        Score counted texts.

        Args:
            counts: Features of the texts.
            texts: How many texts there are; one without any feature gets the bias alone.
        Returns:
            Calibrated log-odds, shape (texts, heads).
        """
        logits = np.tile(self.bias, (texts, 1))
        if len(counts.text):
            values = feature_values(counts, self.idf)
            weighed = self.weights[counts.bucket] * values[:, np.newaxis]
            starts = np.flatnonzero(np.diff(counts.text, prepend=-1))
            logits[counts.text[starts]] += np.add.reduceat(weighed, starts) * self.scale
        return logits

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """
        Read the model file at *path*, or the one in the package.

        Raises:
            ConfigurationError: There is no such file, or it is not an intact model.
        """
        if path is None:
            with as_file(files("content_moderator.models").joinpath("embedded.bin")) as packaged:
                return cls.load(packaged)
        try:
            return cls._parse(path.read_bytes())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"embedded model {path}: not a readable model file") from error

    @classmethod
    def _parse(cls, data: bytes) -> Self:
        if data[: len(MAGIC)] != MAGIC:
            raise ValueError("wrong magic")
        start = len(MAGIC) + 4
        end = start + int.from_bytes(data[len(MAGIC) : start], "little")
        header = json.loads(data[start:end])
        payload = memoryview(data)[end:]
        if hashlib.sha256(payload).hexdigest() != header["payload_sha256"]:
            raise ValueError("damaged payload")
        heads = tuple(header["heads"])
        own, highest, bias = map(float, header["any"])
        parts = header["parts"]
        if heads[-1:] != (ANY,):
            raise ValueError("the last head is not the one for any violation")
        steps = np.frombuffer(payload[:BUCKETS], dtype=np.uint8)
        weights = np.frombuffer(payload[BUCKETS:], dtype=np.int8)
        return cls(
            heads=heads,
            idf=steps.astype(np.float32) * np.float32(header["idf_step"]),
            weights=weights.reshape(BUCKETS, len(heads)),
            scale=np.array(header["scale"], dtype=np.float32),
            bias=np.array(header["bias"], dtype=np.float32),
            stack=(own, highest, bias),
            parts=PartWeights(
                whole=float(parts["whole"]),
                passage=float(parts["passage"]),
                sentence=float(parts["sentence"]),
                bias=np.array(parts["bias"], dtype=np.float32),
            ),
            lexicon={word: kind for kind, words in header["lexicon"].items() for word in words},
            header=header,
            revision=hashlib.sha256(data).hexdigest()[:12],
        )


def write_model(path: Path, *, header: Mapping[str, Any], idf: Floats, weights: Floats) -> None:
    """
    Quantise a fitted model and write it.

    Args:
        path: Where to.
        header: ``heads``, ``bias``, ``any``, ``parts`` and ``lexicon``, and what else is worth knowing.
        idf: Inverse document frequencies, not negative, shape (BUCKETS,).
        weights: Calibrated weights, shape (BUCKETS, heads).
    """
    idf_step = float(idf.max()) / 255
    scale = np.abs(weights).max(axis=0) / 127
    payload = np.round(idf / idf_step).astype(np.uint8).tobytes()
    payload += np.round(weights / scale).astype(np.int8).tobytes()
    full = dict(header) | {
        "idf_step": idf_step,
        "scale": [float(step) for step in scale],
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
    }
    encoded = json.dumps(full, sort_keys=True).encode()
    path.write_bytes(MAGIC + len(encoded).to_bytes(4, "little") + encoded + payload)
