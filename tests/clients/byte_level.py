"""
Counts the tokens that byte-level byte-pair encoders make of texts.

Reads JSON from standard input: the texts that encoders are trained on, and those to count. Prints for each
text its tokens by each encoder; the last is GPT-2's own, whose files are in the folder that is named.
"""

import json
import sys
from pathlib import Path

from tokenizers import ByteLevelBPETokenizer

asked = json.load(sys.stdin)
encoders = []
for size in (300, 2000, 8000):
    encoder = ByteLevelBPETokenizer()
    encoder.train_from_iterator(asked["train"], vocab_size=size, min_frequency=1, show_progress=False)
    encoders.append(encoder)
    # As some servers have it: a space before the first word.
    encoders.append(ByteLevelBPETokenizer(add_prefix_space=True))
    encoders[-1].train_from_iterator(asked["train"], vocab_size=size, min_frequency=1, show_progress=False)
gpt2 = Path(sys.argv[1])
merges = [
    tuple(line.split()) for line in (gpt2 / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:] if line
]
encoders.append(
    ByteLevelBPETokenizer(json.loads((gpt2 / "encoder.json").read_text(encoding="utf-8")), merges)
)
print(json.dumps([[len(encoder.encode(text).ids) for encoder in encoders] for text in asked["texts"]]))
