"""Lets texts that wait leave together in one call of the classifier."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog

from content_moderator.config.settings import BatchingSettings
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import (
    Classification,
    Classifier,
    Outcome,
    failure_of_all,
)
from content_moderator.domain.deadline import Deadline
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
"""How long single texts are sent to a classifier that refused a batch and answered each text of it alone."""

MAX_SPLITS_FACTOR: Final = 4
"""
Calls that the search for the texts to blame for a refused batch may cost, in logarithms of its size. One text
is found in two; where many are refused, those that could not be told apart get the error.
"""

LIGHT_LOAD: Final = 8
"""
Texts under way up to which each leaves at once, alone: then CPU time is not scarce, and waiting is not worth
it.
"""

SHARES: Final = 4
"""Among how many calls the texts that are under way should be divided, under more load."""

MAX_GATHER_SECONDS: Final = 0.01
"""How long a text waits for others to share a call with although a call is allowed."""

_log = structlog.get_logger(__name__)


class _Caller:
    """
    A thread in `Batching.classify`, its texts' outcomes, and how it is woken.

    All attributes but ``ready`` are guarded by the lock of `Batching`.

    Args:
        texts: How many texts it waits for.
        ends_at: Its deadline, on the monotonic clock.
    """

    __slots__ = ("batch", "ends_at", "leading", "left", "notified", "outcomes", "ready", "watches")

    def __init__(self, texts: int, ends_at: float) -> None:
        self.ends_at = ends_at
        self.outcomes: list[Outcome | Exception | None] = [None] * texts
        self.left = texts
        self.batch: list[_Entry] | None = None
        self.leading = False
        self.notified = False
        # Whether it starts a call for all that wait after ``MAX_GATHER_SECONDS``.
        self.watches = False
        # Locked until there is something to do: a batch to send, or the last outcome.
        self.ready = threading.Lock()
        self.ready.acquire()

    def notify(self) -> None:
        """Wake the thread."""
        if not self.notified:
            self.notified = True
            self.ready.release()


@dataclass(eq=False, slots=True)
class _Entry:
    """
    A text that waits for a call or is in one.

    Args:
        text: The text.
        tokens: About as many as a model makes of it.
        since: When it came.
        caller: Who waits for it.
        index: Of its outcome among the caller's.
    """

    text: str
    tokens: int
    since: float
    caller: _Caller
    index: int


class Batching:
    """
    A classifier whose callers share calls instead of each making one.

    As databases commit in groups. While no more than ``LIGHT_LOAD`` texts are under way, each leaves at once,
    alone. Under more load texts gather until there are enough for a call, for ``MAX_GATHER_SECONDS`` at most.
    What comes while ``max_in_flight`` calls are under way leaves together in the next one. Texts of about the
    same length share a call, as many as ``max_batch_tokens`` allow: a model pads all texts to the longest.

    A call is sent by the thread of a caller whose text is in it, the one with the latest deadline; a thread
    of a pool sends it only if that caller is busy with another call.

    Requests of many texts are admitted in slices, so that no request fails for its size. A batch that the
    classifier refuses or answers with nonsense is halved until the text to blame is alone. Each caller waits
    until its own deadline; one that gives up takes nothing from the others.

    Args:
        classifier: Takes several texts in one call.
        settings: How many calls, and how large.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        settings: BatchingSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._classifier = classifier
        self.identity = classifier.identity
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        # Notified when texts have been answered: slices wait for room.
        self._room = threading.Condition(self._lock)
        self._slices_waiting = 0
        self._waiting: list[_Entry] = []
        self._watcher: _Caller | None = None
        self._texts_in_calls = 0
        self._calls = 0
        self._singles_until = float("-inf")
        # Its threads start with the first call that no caller can send: a process that forks before has none.
        self._threads = ThreadPoolExecutor(settings.max_in_flight, thread_name_prefix="batching")

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """
        Score each text; see `Classifier.classify`.

        If too many texts of others wait already, nothing is sent and each is an ``OverloadedError``.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < len(texts):
            left = texts[len(outcomes) :]
            try:
                caller = self._admit(left, context.deadline, may_wait=bool(outcomes))
            except (OverloadedError, DeadlineExceededError) as error:
                return outcomes + [error] * len(left)
            self._wait(caller, context.deadline)
            for outcome in caller.outcomes:
                if not isinstance(outcome, Classification | ClassifierError):
                    # A mistake of ours in the thread that sent the call.
                    raise outcome or RuntimeError("a text has no outcome")
                outcomes.append(outcome)
        return outcomes

    def _admit(self, texts: Sequence[str], deadline: Deadline, *, may_wait: bool) -> _Caller:
        """
        Let the first of *texts* wait for a call: as many as there is room for, at most half of all room.

        Raises:
            OverloadedError: There is no room, and the caller has not begun.
            DeadlineExceededError: There was no room in time.
        """
        with self._lock:
            while (room := self._settings.max_waiting - len(self._waiting) - self._texts_in_calls) <= 0:
                if not may_wait:
                    metrics.SHED.inc()
                    raise OverloadedError(
                        f"{len(self._waiting)} texts wait, {self._texts_in_calls} are in calls"
                    )
                self._wait_for_room(deadline)
            texts = texts[: min(room, math.ceil(self._settings.max_waiting / 2))]
            now = self._clock()
            caller = _Caller(len(texts), deadline.at)
            self._waiting += [
                _Entry(text, usual_tokens(text), now, caller, index) for index, text in enumerate(texts)
            ]
            self._start_calls()
            # One of those who wait is enough to look after the others.
            caller.watches = self._watcher is None and bool(self._waiting) and caller.batch is None
            if caller.watches:
                self._watcher = caller
        return caller

    def _wait_for_room(self, deadline: Deadline) -> None:
        self._slices_waiting += 1
        try:
            if not self._room.wait(min(max(deadline.remaining, 0), threading.TIMEOUT_MAX)):
                raise DeadlineExceededError("no place was free in time")
        finally:
            self._slices_waiting -= 1

    def _wait(self, caller: _Caller, deadline: Deadline) -> None:
        """Wait until all outcomes are there or the deadline has passed, and send calls meanwhile."""
        while True:
            seconds = min(max(deadline.remaining, 0), threading.TIMEOUT_MAX)
            woken = caller.ready.acquire(
                timeout=min(seconds, MAX_GATHER_SECONDS) if caller.watches else seconds
            )
            with self._lock:
                if woken:
                    caller.notified = False
                if caller.watches:
                    caller.watches, self._watcher = False, None
                    self._start_calls(gathered=True)
                batch, caller.batch = caller.batch, None
                if batch is None and not woken and caller.left and deadline.passed:
                    self._give_up(caller)
                if batch is None and not caller.left:
                    return
            if batch is not None:
                self._send(batch, caller)

    def _give_up(self, caller: _Caller) -> None:
        """Take a caller's texts back, but for those that are in a call; the lock is held."""
        self._waiting = [entry for entry in self._waiting if entry.caller is not caller]
        error = DeadlineExceededError("no answer came in time")
        caller.outcomes = [error if outcome is None else outcome for outcome in caller.outcomes]
        caller.left = 0

    def _start_calls(self, *, gathered: bool = False) -> None:
        """
        Start calls while texts wait and calls are allowed; the lock is held.

        Args:
            gathered: Whether the texts that wait have waited long enough for others to share a call with.
        """
        while self._waiting and self._calls < self._settings.max_in_flight:
            if not gathered and len(self._waiting) < self._fair_share():
                break
            batch = self._next_batch()
            self._calls += 1
            self._texts_in_calls += len(batch)
            leader = max((entry.caller for entry in batch), key=lambda caller: caller.ends_at)
            if leader.leading:
                self._threads.submit(self._send, batch, None)
            else:
                leader.leading = True
                leader.batch = batch
                leader.notify()

    def _fair_share(self) -> int:
        """
        Return how many texts a call should have at least.

        A call costs as much CPU time as a request. And if the first few texts that come after a batch was
        answered left alone, they would take all calls, and the others would wait until one has ended.
        """
        under_way = len(self._waiting) + self._texts_in_calls
        if not self._calls or self._single or under_way <= LIGHT_LOAD:
            return 1
        return min(under_way // SHARES, self._settings.max_batch)

    @property
    def _single(self) -> bool:
        """Return whether the classifier takes only single texts at the moment."""
        return self._clock() < self._singles_until

    def _next_batch(self) -> list[_Entry]:
        """Take the text that has waited longest, and those that are about as long; the lock is held."""
        limit = 1 if self._single else self._settings.max_batch
        oldest = self._waiting[0]
        if len(self._waiting) <= limit:
            longest = max(entry.tokens for entry in self._waiting)
            if longest * len(self._waiting) <= self._settings.max_batch_tokens:
                batch, self._waiting = self._waiting, []
                return batch
        batch = []
        longest = 0
        for entry in sorted(self._waiting, key=lambda each: abs(each.tokens - oldest.tokens)):
            longest = max(longest, entry.tokens)
            full = longest * (len(batch) + 1) > self._settings.max_batch_tokens
            if len(batch) == limit or (batch and full):
                break
            batch.append(entry)
        taken = set(batch)
        self._waiting = [entry for entry in self._waiting if entry not in taken]
        return batch

    def _send(self, batch: Sequence[_Entry], leader: _Caller | None) -> None:
        """Make one call, in the thread of *leader* if any; hand out the outcomes and start the next calls."""
        now = self._clock()
        metrics.CALLS_IN_FLIGHT.inc()
        metrics.BATCH_TEXTS.observe(len(batch))
        metrics.CALLS_SAVED.labels("batched").inc(len(batch) - 1)
        for entry in batch:
            metrics.QUEUE_SECONDS.observe(now - entry.since)
        outcomes: Sequence[Outcome | Exception]
        try:
            outcomes = self._score(batch)
        except Exception as error:  # noqa: BLE001  (raised in the threads of all callers that wait)
            outcomes = [error] * len(batch)
        metrics.CALLS_IN_FLIGHT.dec()
        with self._lock:
            if leader is not None:
                leader.leading = False
            self._calls -= 1
            self._texts_in_calls -= len(batch)
            for entry, outcome in zip(batch, outcomes, strict=True):
                self._hand_out(entry, outcome)
            # Without a watcher nobody would start a call for texts that have begun to gather.
            self._start_calls(gathered=self._watcher is None)
            if self._slices_waiting:
                self._room.notify_all()

    @staticmethod
    def _hand_out(entry: _Entry, outcome: Outcome | Exception) -> None:
        caller = entry.caller
        if caller.left and caller.outcomes[entry.index] is None:
            caller.outcomes[entry.index] = outcome
            caller.left -= 1
            if not caller.left:
                caller.notify()

    def _score(self, batch: Sequence[_Entry]) -> list[Outcome]:
        """Ask about a batch; halve it where it fails as a whole."""
        ends_at = max(entry.caller.ends_at for entry in batch)
        splits = _Splits(MAX_SPLITS_FACTOR * math.ceil(math.log2(len(batch) + 1)))
        context = CallContext(Deadline(ends_at, self._clock))
        return self._score_part([entry.text for entry in batch], context, splits)

    def _score_part(self, texts: Sequence[str], context: CallContext, splits: "_Splits") -> list[Outcome]:
        outcomes = self._classifier.classify(texts, context)
        error = failure_of_all(outcomes)
        if len(texts) > 1 and isinstance(error, BadReplyError | RequestRefusedError) and splits.take(2):
            return self._score_halves(texts, context, splits, error)
        return outcomes

    def _score_halves(
        self, texts: Sequence[str], context: CallContext, splits: "_Splits", error: ClassifierError
    ) -> list[Outcome]:
        metrics.BATCHES_SPLIT.labels(error.code).inc()
        middle = len(texts) // 2
        first = self._score_part(texts[:middle], context, splits)
        outcomes = first + self._score_part(texts[middle:], context, splits)
        answered = all(isinstance(outcome, Classification) for outcome in outcomes)
        if answered and len(texts) == 2:  # noqa: PLR2004  (each text was answered alone, and not together)
            with self._lock:
                self._singles_until = self._clock() + SINGLES_SECONDS
            _log.warning("batches_refused", code=error.code, seconds=SINGLES_SECONDS)
        return outcomes


class _Splits:
    """How many more calls the search in one batch may cost."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, calls: int) -> bool:
        """Take some calls; return whether there are so many left."""
        self._left -= calls
        return self._left >= 0
