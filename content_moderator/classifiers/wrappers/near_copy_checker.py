"""Checks some of the answers that a near copy gave, by asking the classifier after all."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from content_moderator.domain.classification import Classification, Classifier, succeeded
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.errors import ClassifierError
from content_moderator.domain.policy import Decision
from content_moderator.observability import metrics

RESULTS: Final = ("agrees", "milder", "stricter", "failed", "dropped")
"""
What comes of a check: the classifier decides alike, or more mildly or strictly than the answer that was
given; it could not be asked; or too many checks waited already.
"""

MAX_WAITING: Final = 8

_SEVERITY: Final[dict[Decision, int]] = {"allow": 0, "review": 1, "block": 2}

_log = structlog.get_logger(__name__)


class Sampler:
    """
    Asks about a share of the texts again, one after the other, and never makes a caller wait.

    Args:
        classifier: Who is asked.
        rate: Share of the answers that are checked, 0 to 1.
        decide: What the policy makes of an answer.
        remember: Told each fresh answer.
        deadline_seconds: For each check.
        chance: Gives numbers in [0, 1).
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        rate: float,
        decide: Callable[[Classification], Decision],
        remember: Callable[[str, Classification], object],
        deadline_seconds: float = 8.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._classifier = classifier
        self._rate = rate
        self._decide = decide
        self._remember = remember
        self._deadline_seconds = deadline_seconds
        self._chance = chance
        self._places = threading.BoundedSemaphore(MAX_WAITING)
        for result in RESULTS:
            metrics.CACHE_SAMPLES.labels(result)
        # Its thread starts with the first check: a process that forks before has none.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sample")

    def sample(self, text: str, given: Classification) -> None:
        """Check the answer *given* about *text*, if chance will have it."""
        if self._chance() >= self._rate:
            return
        if not self._places.acquire(blocking=False):
            metrics.CACHE_SAMPLES.labels("dropped").inc()
            return
        self._thread.submit(self._check, text, given)

    def _check(self, text: str, given: Classification) -> None:
        try:
            result = self._compare(text, given)
        except ClassifierError:
            result = "failed"
        except Exception as error:  # noqa: BLE001  (a thread of its own: nobody else would hear of it)
            _log.error("sample_failed", exception=type(error).__name__)
            result = "failed"
        finally:
            self._places.release()
        metrics.CACHE_SAMPLES.labels(result).inc()

    def _compare(self, text: str, given: Classification) -> str:
        outcomes = self._classifier.classify([text], Deadline.after(self._deadline_seconds))
        [fresh] = succeeded(outcomes)
        if fresh.degraded:
            return "failed"
        self._remember(text, fresh)
        severer = _SEVERITY[self._decide(fresh)] - _SEVERITY[self._decide(given)]
        if severer:
            _log.warning("sample_disagrees", distance=given.cache.distance, stricter=severer > 0)
        return "agrees" if not severer else "stricter" if severer > 0 else "milder"
