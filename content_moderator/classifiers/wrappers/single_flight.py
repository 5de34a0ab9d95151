"""Concurrent requests for the same text share one classifier call."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from content_moderator.classifiers.wrappers.latch import Latch
from content_moderator.domain.call_context import CacheMode, CallContext
from content_moderator.domain.caller import Caller
from content_moderator.domain.classification import Classifier, Outcome
from content_moderator.observability import metrics


class _Key(NamedTuple):
    """Calls share an outcome if their keys are equal."""

    text: str
    owner: str
    cache_mode: CacheMode


@dataclass(eq=False, slots=True)
class _Flight:
    """
    A text that is being classified, with the latch that its callers wait for.

    Args:
        since: Start of the call, in monotonic seconds.
    """

    since: float
    latch: Latch = field(default_factory=Latch)


class SingleFlight:
    """
    Shares one call among all callers that send the same text at the same time.

    Callers only share a call if they have the same cache and the same cache mode. A call can be joined during
    the first half of its longest time; later callers start a new one.

    Args:
        classifier: Scores the texts.
        owner_of: Returns the owner of a caller's cache; callers with different owners share nothing.
        deadline_seconds: Longest time of a call.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        owner_of: Callable[[Caller | None], str] = lambda _: "",
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._classifier = classifier
        self.identity = classifier.identity
        self._owner_of = owner_of
        self._max_age_seconds = deadline_seconds / 2
        self._clock = clock
        self._lock = threading.Lock()
        self._flights: dict[_Key, _Flight] = {}

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Score each text; see `Classifier.classify`."""
        owner = self._owner_of(context.caller)
        keys = {text: _Key(text, owner, context.cache_mode) for text in texts}
        own, others = self._join(keys)
        try:
            found = self._classifier.classify(list(own), context) if own else []
            outcomes = dict(zip(own, found, strict=True))
        except Exception as error:
            self._land(keys, own, dict.fromkeys(own, error))
            raise
        self._land(keys, own, outcomes)
        for text, flight in others.items():
            outcomes[text] = flight.latch.wait(context.deadline)
        return [outcomes[text] for text in texts]

    def _join(self, keys: Mapping[str, _Key]) -> tuple[dict[str, _Flight], dict[str, _Flight]]:
        """Return the flights that this caller starts, and those of other callers that it joins, by text."""
        own: dict[str, _Flight] = {}
        others: dict[str, _Flight] = {}
        now = self._clock()
        with self._lock:
            for text, key in keys.items():
                flight = self._flights.get(key)
                if flight is not None and now - flight.since <= self._max_age_seconds:
                    others[text] = flight
                else:
                    own[text] = self._flights[key] = _Flight(now)
        if others:
            metrics.CALLS_SAVED.labels("shared").inc(len(others))
        return own, others

    def _land(
        self,
        keys: Mapping[str, _Key],
        flights: Mapping[str, _Flight],
        outcomes: Mapping[str, Outcome | Exception],
    ) -> None:
        with self._lock:
            for text, flight in flights.items():
                # A later caller may have started a new flight for this text.
                if self._flights.get(keys[text]) is flight:
                    del self._flights[keys[text]]
        for text, flight in flights.items():
            flight.latch.finish(outcomes[text])
