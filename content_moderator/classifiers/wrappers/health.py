"""Tells whether a classifier can answer, with as few probes as possible."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Classification, Classifier, Outcome
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.errors import ClassifierError, OverloadedError, WarmingUpError
from content_moderator.observability import metrics

State = Literal["ready", "warming", "degraded", "unavailable"]

PROBE_TEXT: Final = "Good morning."


@dataclass(frozen=True, slots=True)
class Readiness:
    """
    The readiness of a classifier.

    Args:
        state: ``warming`` before its first answer and while it loads its model; ``degraded`` while a stand-in
            answers for it.
        reason: The code of the last error; None if ready.
    """

    state: State
    reason: str | None = None

    @property
    def ready(self) -> bool:
        """Whether the next call is expected to be answered."""
        return self.state in {"ready", "degraded"}


class Health:
    """
    Remembers the result of the last call to a classifier.

    While calls succeed there are no probes. Before the first success, and after a failure, `readiness` sends
    one short text from a separate thread, at most once in each interval. So a service that gets no traffic
    because it is not ready still becomes ready again.

    Args:
        classifier: The classifier.
        interval_seconds: Shortest time between two probes.
        wait_seconds: How long `readiness` waits for a probe that it started.
        deadline_seconds: Longest time of a probe.
        has_stand_in: Whether a stand-in answers if the classifier fails.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        interval_seconds: float,
        wait_seconds: float,
        deadline_seconds: float = 8.0,
        has_stand_in: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._classifier = classifier
        self.identity = classifier.identity
        self._interval_seconds = interval_seconds
        self._wait_seconds = wait_seconds
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._has_stand_in = has_stand_in
        self._readiness = Readiness("ready")  # Replaced by the next line.
        self._remember("warming", "not_yet_asked")
        self._next_probe = clock()
        self._probe: threading.Thread | None = None

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """Pass the call on and remember its result; see `Classifier.classify`."""
        outcomes = self._classifier.classify(texts, context)
        # Too much work in this service says nothing about the classifier.
        errors = [
            each
            for each in outcomes
            if isinstance(each, ClassifierError) and not isinstance(each, OverloadedError)
        ]
        if any(isinstance(each, Classification) for each in outcomes):
            self._remember("ready")
        elif errors:
            self._remember(
                "warming" if isinstance(errors[0], WarmingUpError) else "unavailable", errors[0].code
            )
        return outcomes

    def _remember(self, state: State, reason: str | None = None) -> None:
        if state != "ready" and self._has_stand_in:
            state = "degraded"
        if (self._readiness.state, self._readiness.reason) == (state, reason):
            return
        with self._lock:
            metrics.READINESS.labels(self._readiness.state).set(0)
            metrics.READINESS.labels(state).set(1)
            self._readiness = Readiness(state, reason)

    def readiness(self) -> Readiness:
        """Return the state after the last call; after a failure, probe first."""
        if self._readiness.state != "ready" and (probe := self.start_probe()):
            probe.join(self._wait_seconds)
        return self._readiness

    def start_probe(self) -> threading.Thread | None:
        """Start a probe if it is due and none is running."""
        with self._lock:
            running = self._probe is not None and self._probe.is_alive()
            if running or self._clock() < self._next_probe:
                return None
            self._next_probe = self._clock() + self._interval_seconds
            self._probe = threading.Thread(target=self._send_probe, name="probe", daemon=True)
            self._probe.start()
            return self._probe

    def _send_probe(self) -> None:
        # `classify` remembers the result.
        self.classify([PROBE_TEXT], CallContext(Deadline.after(self._deadline_seconds)))
