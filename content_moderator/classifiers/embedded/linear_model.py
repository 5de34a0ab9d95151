"""
The file format of the embedded model, and the arithmetic of its linear heads.

A file is a magic word, the length of a JSON header as a little-endian 32-bit integer, the header, and raw
arrays: the quantised inverse document frequencies, one byte a bucket; the quantised weights, one signed byte
for each bucket and head; and the heads over the encoder's vectors, in 32-bit floats. Nothing in it is
executed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from content_moderator.classifiers.embedded.features import BLOCKS, BUCKETS, BUCKETS_PER_BLOCK, Counts
from content_moderator.classifiers.embedded.tokens import Lexicon
from content_moderator.domain.errors import ConfigurationError
from content_moderator.domain.label import HARMS, Label
from content_moderator.domain.verdict import ANY

MAGIC: Final = b"CMEMBED1"

HEADS: Final = (*(label.value for label in HARMS if label is not Label.S3), ANY)
"""The fitted heads: all labels except S3, which is derived from S, and any violation."""

MOST_PARTS: Final = 255
"""
The largest number of parts for which margins were measured: 40 sentences with their clauses and windows.
"""

MOST_BELOW_LABEL: Final = 1.0
"""The largest amount by which the log-odds of any violation can be below those of the highest label."""

Floats = NDArray[np.float32]


def feature_values(counts: Counts, idf: Floats) -> Floats:
    """Return counts weighted by (1 + ln tf) · idf, with Euclidean length 1 for each block of each text."""
    values: Floats = (1 + np.log(counts.count)).astype(np.float32) * idf[counts.bucket]
    block = counts.text * BLOCKS + counts.bucket // BUCKETS_PER_BLOCK
    length = np.sqrt(np.bincount(block, weights=values * values)).astype(np.float32)
    unit: Floats = values / length[block]
    return unit


def probabilities(logits: NDArray[Any]) -> Floats:
    """Return the probabilities of log-odds."""
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)


def margins_of(growth: NDArray[Any], parts: int) -> NDArray[np.float64]:
    """
    Return the margin that is subtracted from the log-odds of the highest part, shape (heads,).

    The more parts a harmless text has, the higher is the highest of them by chance. The margin does not grow
    beyond ``MOST_PARTS``, or a page of abuse in a book would not be found.

    Args:
        growth: Growth of the margin for each doubling of the number of parts, shape (heads,).
        parts: The number of parts besides the whole text.
    """
    return np.asarray(growth * np.log2(min(parts, MOST_PARTS) + 1), dtype=np.float64)


def stack_any(odds: NDArray[Any], stack: tuple[float, float, float]) -> NDArray[Any]:
    """
    Combine the head for any violation, which is the last, with the highest label.

    If a label is nearly certain, some violation is nearly certain as well.

    Args:
        odds: Log-odds, shape (n, heads).
        stack: Weight of the last head, weight of the highest of the others, and bias.
    Returns:
        The log-odds with the last column replaced.
    """
    own, highest, bias = stack
    stacked = odds.copy()
    top = odds[:, :-1].max(axis=1)
    stacked[:, -1] = np.maximum(own * odds[:, -1] + highest * top + bias, top - MOST_BELOW_LABEL)
    return stacked


@dataclass(frozen=True, slots=True)
class SecondHeads:
    """
    A small network over the vectors of `content_moderator.classifiers.embedded.sentence_encoder`.

    Args:
        hidden: Weights of the hidden layer, shape (width, units).
        hidden_bias: Shape (units,).
        output: Weights of its units, shape (units, heads).
        around: Weights of the vector itself, shape (width, heads).
        bias: Shape (heads,).
    """

    hidden: Floats
    hidden_bias: Floats
    output: Floats
    around: Floats
    bias: Floats

    def logits(self, vectors: Floats) -> Floats:
        """Return the log-odds of texts with these vectors, shape (texts, heads)."""
        units = np.maximum(vectors @ self.hidden + self.hidden_bias, 0)
        return np.asarray(units @ self.output + vectors @ self.around + self.bias)

    def scaled(self, slope: NDArray[Any], intercept: NDArray[Any]) -> "SecondHeads":
        """
        Return heads with calibrated log-odds: multiplied by *slope*, plus *intercept*; both have the shape
        (heads,).
        """
        return replace(
            self,
            output=_floats(self.output * slope),
            around=_floats(self.around * slope),
            bias=_floats(self.bias * slope + intercept),
        )


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """
    Linear heads over hashed n-grams.

    Args:
        heads: Names of the heads: labels, and last ``ANY`` for any violation.
        idf: Inverse document frequency of each bucket, shape (BUCKETS,).
        weights: Quantised weights, shape (BUCKETS, heads).
        scale: The value of one step of a quantised weight, shape (heads,).
        bias: Added to the logits, shape (heads,). bias and scale include the calibration.
        stack: The parameters of `stack_any`.
        growth: See `margins_of`.
        short: Subtracted from the log-odds of a text of very few words, shape (heads,).
        second: The heads over the sentence encoder's vectors.
        ask_above: Log-odds of any violation, by n-grams, from which on the second opinion is used.
        languages: Added to the log-odds of a text in another language, by language code. Other languages are
            not judged.
        lexicon: The class of each word, for the features.
        header: The JSON header of the file: the origin of the model.
        revision: First 12 hex digits of the SHA-256 of the whole file.
    """

    heads: tuple[str, ...]
    idf: Floats
    weights: NDArray[np.int8]
    scale: Floats
    bias: Floats
    stack: tuple[float, float, float]
    growth: Floats
    short: Floats
    second: SecondHeads
    ask_above: float
    languages: Mapping[str, Floats]
    lexicon: Lexicon
    header: Mapping[str, Any]
    revision: str

    def logits(self, counts: Counts, texts: int) -> Floats:
        """
        Score counted texts.

        Args:
            counts: Features of the texts.
            texts: The number of texts. A text without features gets the bias.
        Returns:
            Calibrated log-odds, shape (texts, heads).
        """
        logits = self.bias[np.newaxis].repeat(texts, axis=0)
        if len(counts.text):
            values = feature_values(counts, self.idf)
            weighed = self.weights[counts.bucket] * values[:, np.newaxis]
            begins = np.ones(len(counts.text), dtype=bool)
            np.not_equal(counts.text[1:], counts.text[:-1], out=begins[1:])
            starts = begins.nonzero()[0]
            logits[counts.text[starts]] += np.add.reduceat(weighed, starts) * self.scale
        return logits

    @property
    def hate(self) -> list[int]:
        """The indexes of the heads for hate."""
        return [number for number, head in enumerate(self.heads) if head in {Label.H, Label.H2}]

    @property
    def sexual(self) -> int:
        """The index of the head for sexual content."""
        return self.heads.index(Label.S)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """
        Load the model file at *path*, or the one in the package.

        Raises:
            ConfigurationError: The file does not exist or is damaged.
        """
        if path is None:
            with as_file(
                files("content_moderator.classifiers.embedded.weights").joinpath("embedded.bin")
            ) as packaged:
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
        second = header["second_opinion"]
        if heads[-1:] != (ANY,):
            raise ValueError("the last head is not the one for any violation")
        steps = np.frombuffer(payload[:BUCKETS], dtype=np.uint8)
        weights = np.frombuffer(payload, dtype=np.int8, count=BUCKETS * len(heads), offset=BUCKETS)
        weights = weights.reshape(BUCKETS, len(heads))
        idf = steps.astype(np.float32) * np.float32(header["idf_step"])
        scale = _floats(header["scale"])
        return cls(
            heads=heads,
            idf=idf,
            weights=weights,
            scale=scale,
            bias=_floats(header["bias"]),
            stack=(own, highest, bias),
            growth=_floats(header["growth"]),
            short=_floats(header["short"]),
            second=SecondHeads(**_arrays(payload, second["arrays"])),
            ask_above=float(second["ask_above"]),
            languages={code: _floats(shift) for code, shift in second["languages"].items()},
            lexicon={word: kind for kind, words in header["lexicon"].items() for word in words},
            header=header,
            revision=hashlib.sha256(data).hexdigest()[:12],
        )


def _floats(values: Any) -> Floats:
    return np.array(values, dtype=np.float32)


def _arrays(payload: memoryview, places: Mapping[str, Any]) -> dict[str, Floats]:
    """Return arrays of 32-bit floats; *places* has the shape and the offset of each in the payload."""
    return {
        name: np.frombuffer(payload, dtype="<f4", count=int(np.prod(shape)), offset=begin).reshape(shape)
        for name, (shape, begin) in places.items()
    }


def write_model(
    path: Path, *, header: Mapping[str, Any], idf: Floats, weights: Floats, second: SecondHeads
) -> None:
    """
    Quantise a fitted model and write it.

    Args:
        path: The file to write.
        header: ``heads``, ``bias``, ``any``, ``growth``, ``short``, ``second_opinion`` and ``lexicon``, and
            other information.
        idf: Inverse document frequencies, not negative, shape (BUCKETS,).
        weights: Calibrated weights, shape (BUCKETS, heads).
        second: The calibrated heads over the encoder's vectors.
    """
    idf_step = float(idf.max()) / 255
    scale = np.abs(weights).max(axis=0) / 127
    payload = np.round(idf / idf_step).astype(np.uint8).tobytes()
    payload += np.round(weights / scale).astype(np.int8).tobytes()
    places: dict[str, tuple[tuple[int, ...], int]] = {}
    for each in fields(second):
        array = np.ascontiguousarray(getattr(second, each.name), dtype="<f4")
        places[each.name] = array.shape, len(payload)
        payload += array.tobytes()
    full = dict(header) | {
        "idf_step": idf_step,
        "scale": [float(step) for step in scale],
        "second_opinion": dict(header["second_opinion"]) | {"arrays": places},
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
    }
    encoded = json.dumps(full, sort_keys=True).encode()
    path.write_bytes(MAGIC + len(encoded).to_bytes(4, "little") + encoded + payload)
