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
What may come of a look-up in each layer: ``refused`` by the guard; ``skipped`` where the caller asked for a
fresh answer, or the text is not fit to be compared.
"""

LOOKUPS: Final = {
    (layer, result): metrics.CACHE_LOOKUPS.labels(layer, result)
    for layer, results in RESULTS.items()
    for result in results
}
SECONDS: Final = {layer: metrics.CACHE_LOOKUP_SECONDS.labels(layer) for layer in RESULTS}


class Lookup:
    """One look-up, which begins now."""

    __slots__ = ("_layer", "_started")

    def __init__(self, layer: Layer) -> None:
        self._layer: Layer = layer
        self._started = time.perf_counter()

    def end(self, result: Result) -> None:
        """Record what came of it."""
        LOOKUPS[self._layer, result].inc()
        SECONDS[self._layer].observe(time.perf_counter() - self._started)
