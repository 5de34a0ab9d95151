"""Counts and times look-ups."""

import time
from typing import Final, Literal

from content_moderator.observability import metrics

Layer = Literal["exact", "similar", "shared_exact", "shared_similar"]
Result = Literal["hit", "miss", "refused", "skipped"]

RESULTS: Final[dict[Layer, tuple[Result, ...]]] = {
    "exact": ("hit", "miss", "skipped"),
    "similar": ("hit", "miss", "refused", "skipped"),
    "shared_exact": ("hit", "miss"),
    "shared_similar": ("hit", "miss", "refused"),
}
"""
The results of a look-up, by layer. ``refused``: by the guard. ``skipped``: the caller asked for a fresh
answer, or the text cannot be compared.
"""

LOOKUPS: Final = {
    (layer, result): metrics.CACHE_LOOKUPS.labels(layer, result)
    for layer, results in RESULTS.items()
    for result in results
}
SECONDS: Final = {layer: metrics.CACHE_LOOKUP_SECONDS.labels(layer) for layer in RESULTS}


class Lookup:
    """Measures one look-up, from now on."""

    __slots__ = ("_layer", "_started")

    def __init__(self, layer: Layer) -> None:
        self._layer: Layer = layer
        self._started = time.perf_counter()

    def end(self, result: Result) -> None:
        """Record the result."""
        LOOKUPS[self._layer, result].inc()
        SECONDS[self._layer].observe(time.perf_counter() - self._started)
