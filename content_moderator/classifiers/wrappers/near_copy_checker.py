"""Checks a sample of the answers from near copies by asking the classifier."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import structlog

from content_moderator.domain.action import Action
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, Classifier, succeeded
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.errors import ClassifierError
from content_moderator.observability import logs, metrics

RESULTS: Final = ("agrees", "milder", "stricter", "failed", "dropped")
"""
The results of a check: the decision is the same, milder or stricter than the given one; the classifier
failed; or too many checks were waiting.
"""

MAX_WAITING: Final = 8

_log = structlog.get_logger(__name__)


Store = Callable[[Sequence[tuple[str, Classification]]], object]
"""Stores fresh answers in the cache of the checked answer."""


class NearCopyChecker:
    """
    Checks a sample of the answers from near copies, one after the other, in a separate thread.

    Args:
        classifier: Scores the texts again.
        rate: The share of the answers to check, 0 to 1.
        decide: Returns the decision of the policy.
        deadline_seconds: Longest time of a check.
        chance: Returns numbers in [0, 1).
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        rate: float,
        decide: Callable[[Classification], Action],
        deadline_seconds: float = 8.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._classifier = classifier
        self._rate = rate
        self._decide = decide
        self._deadline_seconds = deadline_seconds
        self._chance = chance
        self._free = threading.BoundedSemaphore(MAX_WAITING)
        for result in RESULTS:
            metrics.CACHE_SAMPLES.labels(result)
        # Its thread starts on first use, so there is none when a process forks before that.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="near-copy-check")

    def check(self, text: str, given: Classification, context: CallContext, store: Store) -> None:
        """
        Start a check of the answer *given* about *text*, for a random share of the answers; do not wait for
        it.
        """
        if self._chance() >= self._rate:
            return
        if not self._free.acquire(blocking=False):
            metrics.CACHE_SAMPLES.labels("dropped").inc()
            return
        self._thread.submit(self._check, text, given, context, store)

    def _check(self, text: str, given: Classification, context: CallContext, store: Store) -> None:
        logs.request_id.set(context.trace.request_id if context.trace else None)
        try:
            result = self._compare(text, given, context, store)
        except ClassifierError:
            result = "failed"
        except Exception as error:  # noqa: BLE001  (a thread of its own: nobody else would hear of it)
            _log.error("near_copy_check_failed", exception=type(error).__name__)
            result = "failed"
        finally:
            self._free.release()
        metrics.CACHE_SAMPLES.labels(result).inc()

    def _compare(self, text: str, given: Classification, context: CallContext, store: Store) -> str:
        # The request has been answered, so the check has its own deadline.
        context = replace(context, deadline=Deadline.after(self._deadline_seconds))
        [fresh] = succeeded(self._classifier.classify([text], context))
        if fresh.degraded:
            return "failed"
        store([(text, fresh)])
        difference = self._decide(fresh).severity - self._decide(given).severity
        if difference:
            _log.warning("near_copy_check_disagrees", distance=given.cache.distance, stricter=difference > 0)
        return "agrees" if not difference else "stricter" if difference > 0 else "milder"
