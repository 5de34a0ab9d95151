"""Lets texts that wait share calls: identical ones are sent once, others leave together."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import structlog

from content_moderator import metrics
from content_moderator.classifiers.latch import Latch
from content_moderator.core.classification import BoundedClassifier, Classification
from content_moderator.errors import (
    BadReplyError,
    ClassifierError,
    DeadlineExceededError,
    OverloadedError,
    RequestRefusedError,
)
from content_moderator.settings import CoalescingSettings

SINGLES_SECONDS: Final = 300.0
"""How long a classifier that failed a batch, and answered each text of it alone, gets single texts."""

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Entry:
    """
    A text on its way, and all who wait for it.

    Args:
        text: The text.
        since: When it came.
        ends: When the last of those who waited for it when its call began gives up.
        waiters: How many wait.
        flying: Whether its call has begun.
        latch: What they wait for: a classification, or an exception.
    """

    text: str
    since: float
    ends: float
    waiters: int = 0
    flying: bool = False
    latch: Latch = field(default_factory=Latch)


class Coalesced:
    """
    A classifier whose callers wait for each other instead of each making a call.

    As databases commit in groups: while fewer than ``max_in_flight`` calls are under way (half as many under
    load) a text leaves at once, alone; what comes in the meantime leaves together with the next call. So
    nothing waits when there is little to do, and calls grow as the load does.

    A batch that the classifier refuses or answers with nonsense is halved until the text to blame is alone:
    no text fails its neighbours. Each caller waits until its own deadline and no longer; one that gives up
    takes nothing from the others.

    Args:
        classifier: Takes several texts at once.
        deadline_seconds: Longest time of an answer, waiting included.
        settings: How many calls, and how large.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        classifier: BoundedClassifier,
        *,
        deadline_seconds: float,
        settings: CoalescingSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._classifier = classifier
        self.identity = classifier.identity
        self._deadline_seconds = deadline_seconds
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[str, _Entry] = {}
        self._flying: dict[str, _Entry] = {}
        self._calls = 0
        self._singles_until = float("-inf")
        # Its threads start with the first texts: a process that forks before has none.
        self._threads = ThreadPoolExecutor(settings.max_in_flight, thread_name_prefix="dispatch")

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """
        Score each text; see `Classifier.classify`.

        Raises:
            OverloadedError: Too many texts wait already; nothing was sent.
            DeadlineExceededError: The time is over.
        """
        ends = self._clock() + self._deadline_seconds
        entries = self._join(texts, ends)
        try:
            return [self._await(entry, ends) for entry in entries]
        except ClassifierError:
            self._leave(entries)
            raise

    def _join(self, texts: Sequence[str], ends: float) -> list[_Entry]:
        now = self._clock()
        with self._lock:
            known = {text: self._waiting.get(text) or self._shareable(text, now) for text in texts}
            new = [text for text, entry in known.items() if entry is None]
            if len(self._waiting) + len(self._flying) + len(new) > self._settings.max_waiting:
                metrics.SHED.inc()
                raise OverloadedError(f"{len(self._waiting)} texts wait, {len(self._flying)} are under way")
            fresh = {text: _Entry(text, since=now, ends=ends) for text in new}
            self._waiting |= fresh
            entries = [known[text] or fresh[text] for text in texts]
            for entry in entries:
                entry.waiters += 1
                if not entry.flying:
                    entry.ends = ends
            metrics.CALLS_SAVED.labels("shared").inc(len(texts) - len(new))
            self._start()
        return entries

    def _shareable(self, text: str, now: float) -> _Entry | None:
        """Give the call under way for *text*, if it has enough time left to be worth waiting for."""
        entry = self._flying.get(text)
        return entry if entry and entry.ends - now >= self._deadline_seconds / 2 else None

    def _start(self) -> None:
        """Begin another call if there is a text and a place for it; the lock is held."""
        if self._waiting and self._calls < self._places():
            self._calls += 1
            self._threads.submit(self._dispatch)

    def _places(self) -> int:
        """
        Tell how many calls may be under way.

        When more texts are on their way than one call could take, half the calls with twice the texts answer
        more: a call costs us as much as a request does.
        """
        limit = self._settings.max_in_flight
        busy = len(self._waiting) + len(self._flying) > self._settings.max_batch
        return max(limit // 2, 1) if busy else limit

    def _await(self, entry: _Entry, ends: float) -> Classification:
        answer = entry.latch.wait(ends - self._clock())
        if answer is None:
            raise DeadlineExceededError("no answer came in time")
        return answer

    def _leave(self, entries: Sequence[_Entry]) -> None:
        """What nobody waits for any more need not be sent."""
        with self._lock:
            for entry in entries:
                entry.waiters -= 1
                if not entry.waiters and self._waiting.get(entry.text) is entry:
                    del self._waiting[entry.text]

    def _dispatch(self) -> None:
        """Make calls until nothing waits."""
        while batch := self._take():
            try:
                self._score(batch)
            except Exception as error:  # noqa: BLE001
                # A mistake of ours: whoever waits hears of it, and the next texts get their call.
                self._fail(batch, error)
            finally:
                metrics.CALLS_IN_FLIGHT.dec()
                with self._lock:
                    for entry in batch:
                        if self._flying.get(entry.text) is entry:
                            del self._flying[entry.text]

    def _take(self) -> list[_Entry]:
        with self._lock:
            limit = 1 if self._clock() < self._singles_until else self._settings.max_batch
            batch = list(self._waiting.values())[:limit] if self._calls <= self._places() else []
            if not batch:
                self._calls -= 1
                return []
            for entry in batch:
                del self._waiting[entry.text]
                self._flying[entry.text] = entry
                entry.flying = True
            self._start()
            now = self._clock()
        metrics.CALLS_IN_FLIGHT.inc()
        metrics.BATCH_TEXTS.observe(len(batch))
        metrics.CALLS_SAVED.labels("batched").inc(len(batch) - 1)
        for entry in batch:
            metrics.QUEUE_SECONDS.observe(now - entry.since)
        return batch

    def _score(self, batch: Sequence[_Entry]) -> bool:
        """Ask for a batch, halved where it fails as a whole; tell whether every text has an answer."""
        seconds = max(entry.ends for entry in batch) - self._clock()
        try:
            answers = self._classifier.classify_within([entry.text for entry in batch], seconds)
        except (BadReplyError, RequestRefusedError) as error:
            if len(batch) > 1:
                return self._score_halves(batch, error)
            self._fail(batch, error)
            return False
        except ClassifierError as error:
            self._fail(batch, error)
            return False
        for entry, answer in zip(batch, answers, strict=True):
            entry.latch.finish(answer)
        return True

    def _score_halves(self, batch: Sequence[_Entry], error: ClassifierError) -> bool:
        metrics.BATCHES_SPLIT.labels(error.code).inc()
        middle = len(batch) // 2
        halves = [self._score(half) for half in (batch[:middle], batch[middle:])]
        if all(halves) and len(batch) == 2:  # noqa: PLR2004  (each text was answered alone, and not together)
            with self._lock:
                self._singles_until = self._clock() + SINGLES_SECONDS
            _log.warning("batches_refused", code=error.code, seconds=SINGLES_SECONDS)
        return all(halves)

    def _fail(self, batch: Sequence[_Entry], error: Exception) -> None:
        for entry in batch:
            entry.latch.finish(error)
