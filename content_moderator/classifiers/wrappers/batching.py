"""Lets texts that wait share calls: identical ones are sent once, others leave together."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import structlog

from content_moderator.classifiers.wrappers.latch import Latch
from content_moderator.config.settings import CoalescingSettings
from content_moderator.domain.classification import BatchClassifier, Outcome
from content_moderator.domain.deadline import NEVER, Deadline
from content_moderator.domain.errors import (
    BadReplyError,
    ClassifierError,
    DeadlineExceededError,
    OverloadedError,
    RequestRefusedError,
)
from content_moderator.observability import metrics
from content_moderator.text.chunks import usual_tokens

SINGLES_SECONDS: Final = 300.0
"""How long a classifier that failed a batch, and answered each text of it alone, gets single texts."""

MAX_SPLITS_FACTOR: Final = 4
"""
Calls that the search for the texts to blame for a refused batch may cost, in logarithms of its size. One text
is found in two; where many are refused, those that could not be told apart are errors.
"""

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Entry:
    """
    A text on its way, and all who wait for it.

    Args:
        text: The text.
        tokens: About as many as a model makes of it.
        since: When it came.
        ends: When the last of those who waited for it when its call began gives up.
        waiters: How many wait.
        flying: Whether its call has begun.
        latch: What they wait for.
    """

    text: str
    tokens: int
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
    nothing waits when there is little to do, and calls grow as the load does. Texts of about the same length
    leave together, as many as ``max_batch_tokens`` allow: a model pads all to the longest.

    A request of many texts takes its turn in slices: its own size never makes it fail. A batch that the
    classifier refuses or answers with nonsense is halved until the text to blame is alone: no text fails its
    neighbours. Each caller waits until its own deadline and no longer; one that gives up takes nothing from
    the others.

    Args:
        classifier: Takes several texts at once.
        deadline_seconds: Longest time of an answer; a call under way is shared while half of it is left.
        settings: How many calls, and how large.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        classifier: BatchClassifier,
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
        # Told whenever texts have left or been answered: slices wait for room.
        self._room = threading.Condition(self._lock)
        self._waiting: dict[str, _Entry] = {}
        self._flying: dict[str, _Entry] = {}
        self._calls = 0
        self._singles_until = float("-inf")
        # Its threads start with the first texts: a process that forks before has none.
        self._threads = ThreadPoolExecutor(settings.max_in_flight, thread_name_prefix="dispatch")

    def classify(self, texts: Sequence[str], deadline: Deadline = NEVER) -> list[Outcome]:
        """
        Score each text; see `Classifier.classify`.

        If too many texts of others wait already, nothing is sent and each is an ``OverloadedError``.
        """
        if deadline is NEVER:
            deadline = Deadline.after(self._deadline_seconds, self._clock)
        left = list(dict.fromkeys(texts))
        outcomes: dict[str, Outcome] = {}
        while left:
            try:
                entries = self._join(left, deadline, may_wait=bool(outcomes))
            except (OverloadedError, DeadlineExceededError) as error:
                outcomes |= dict.fromkeys(left, error)
                break
            found = {entry.text: entry.latch.wait(deadline) for entry in entries}
            self._leave(entries)
            outcomes |= found
            left = left[len(entries) :]
        return [outcomes[text] for text in texts]

    def _join(self, texts: Sequence[str], deadline: Deadline, *, may_wait: bool) -> list[_Entry]:
        """
        Take on the first of *texts*, as many as there is room for and half of all room at most.

        Raises:
            OverloadedError: There is no room, and the caller has not begun.
            DeadlineExceededError: There was none in time.
        """
        now = self._clock()
        with self._lock:
            while (room := self._settings.max_waiting - len(self._waiting) - len(self._flying)) <= 0:
                if not may_wait and not self._known(texts[0], now):
                    metrics.SHED.inc()
                    raise OverloadedError(
                        f"{len(self._waiting)} texts wait, {len(self._flying)} are under way"
                    )
                if not may_wait:
                    break
                if not self._room.wait(min(max(deadline.remaining, 0), threading.TIMEOUT_MAX)):
                    raise DeadlineExceededError("no place was free in time")
                now = self._clock()
            most = min(room, math.ceil(self._settings.max_waiting / 2))
            entries: list[_Entry] = []
            new = 0
            for text in texts:
                entry = self._known(text, now)
                if entry is None:
                    if new >= most:
                        break
                    new += 1
                    entry = _Entry(text, usual_tokens(text), since=now, ends=deadline.at)
                    self._waiting[text] = entry
                entry.waiters += 1
                if not entry.flying:
                    entry.ends = deadline.at
                entries.append(entry)
            metrics.CALLS_SAVED.labels("shared").inc(len(entries) - new)
            self._start()
        return entries

    def _known(self, text: str, now: float) -> _Entry | None:
        """Give the entry of *text*, unless too little time is left of its call to be worth waiting for."""
        if (waiting := self._waiting.get(text)) is not None:
            return waiting
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
                _fail(batch, error)
            finally:
                metrics.CALLS_IN_FLIGHT.dec()
                with self._lock:
                    for entry in batch:
                        if self._flying.get(entry.text) is entry:
                            del self._flying[entry.text]
                    self._room.notify_all()

    def _take(self) -> list[_Entry]:
        with self._lock:
            batch = self._chosen() if self._waiting and self._calls <= self._places() else []
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

    def _chosen(self) -> list[_Entry]:
        """Choose what leaves in one call: what has waited longest, and what is about as long as that."""
        oldest = next(iter(self._waiting.values()))
        limit = 1 if self._clock() < self._singles_until else self._settings.max_batch
        batch: list[_Entry] = []
        longest = 0
        for entry in sorted(self._waiting.values(), key=lambda each: abs(each.tokens - oldest.tokens)):
            longest = max(longest, entry.tokens)
            if len(batch) == limit or (
                batch and longest * (len(batch) + 1) > self._settings.max_batch_tokens
            ):
                break
            batch.append(entry)
        return batch

    def _score(self, batch: Sequence[_Entry]) -> bool:
        """Ask for a batch, halved where it fails as a whole; tell whether every text has an answer."""
        return self._score_part(batch, _Splits(MAX_SPLITS_FACTOR * math.ceil(math.log2(len(batch) + 1))))

    def _score_part(self, batch: Sequence[_Entry], splits: "_Splits") -> bool:
        seconds = max(entry.ends for entry in batch) - self._clock()
        try:
            answers = self._classifier.classify_within([entry.text for entry in batch], seconds)
        except (BadReplyError, RequestRefusedError) as error:
            if len(batch) > 1 and splits.take(2):
                return self._score_halves(batch, splits, error)
            _fail(batch, error)
            return False
        except ClassifierError as error:
            _fail(batch, error)
            return False
        for entry, answer in zip(batch, answers, strict=True):
            entry.latch.finish(answer)
        return True

    def _score_halves(self, batch: Sequence[_Entry], splits: "_Splits", error: ClassifierError) -> bool:
        metrics.BATCHES_SPLIT.labels(error.code).inc()
        middle = len(batch) // 2
        halves = [self._score_part(half, splits) for half in (batch[:middle], batch[middle:])]
        if all(halves) and len(batch) == 2:  # noqa: PLR2004  (each text was answered alone, and not together)
            with self._lock:
                self._singles_until = self._clock() + SINGLES_SECONDS
            _log.warning("batches_refused", code=error.code, seconds=SINGLES_SECONDS)
        return all(halves)


class _Splits:
    """How many more calls the search in one batch may cost."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, calls: int) -> bool:
        self._left -= calls
        return self._left >= 0


def _fail(batch: Sequence[_Entry], error: Exception) -> None:
    for entry in batch:
        entry.latch.finish(error)
