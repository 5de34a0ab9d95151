"""Sends waiting texts to the classifier together, in one call."""

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
"""
How long only single texts are sent after a classifier refused a batch but answered each of its texts alone.
"""

MAX_SPLITS_FACTOR: Final = 4
"""
The largest number of calls to find the refused texts of a batch, in multiples of the logarithm of its size.
One text takes two. If many texts are refused, those that are not separated by then get the error.
"""

LIGHT_LOAD: Final = 8
"""
Up to this number of texts in progress, each is sent at once and alone: CPU time is not scarce then.
"""

SHARES: Final = 4
"""The number of calls among which the texts in progress are divided under more load."""

MAX_GATHER_SECONDS: Final = 0.01
"""How long a text waits for others to share its call, if a call is possible."""

_log = structlog.get_logger(__name__)


class _Waiter:
    """
    A thread in `Batching.classify`, with the outcomes of its texts and a way to wake it.

    The lock of `Batching` guards all attributes except ``ready``.

    Args:
        texts: The number of texts that it waits for.
        ends_at: The deadline, in monotonic seconds.
    """

    __slots__ = ("batch", "ends_at", "leading", "left", "notified", "outcomes", "ready", "watches")

    def __init__(self, texts: int, ends_at: float) -> None:
        self.ends_at = ends_at
        self.outcomes: list[Outcome | Exception | None] = [None] * texts
        self.left = texts
        self.batch: list[_Entry] | None = None
        self.leading = False
        self.notified = False
        # Whether this thread starts a call for the waiting texts after ``MAX_GATHER_SECONDS``.
        self.watches = False
        # Locked until the thread has something to do: a batch to send, or its last outcome.
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
    A text that waits for a call or is part of one.

    Args:
        text: The text.
        tokens: Estimated number of tokens.
        since: Time of arrival, in monotonic seconds.
        caller: The thread that waits for it.
        index: Index of its outcome among those of the caller.
    """

    text: str
    tokens: int
    since: float
    caller: _Waiter
    index: int


class Batching:
    """
    Lets concurrent callers share calls to the classifier.

    It is like a group commit of a database. Up to ``LIGHT_LOAD`` texts in progress, each text is sent at once
    and alone. Under more load, texts wait until there are enough for a call, at most ``MAX_GATHER_SECONDS``.
    Texts that arrive while ``max_in_flight`` calls are in progress are sent together in the next one. Texts
    of about the same length share a call, up to ``max_batch_tokens``, because a model pads all texts to the
    longest.

    The thread of a caller whose text is in the call sends it: the one with the latest deadline. A pool thread
    sends it only if that caller is busy with another call. Requests with many texts enter the queue in
    slices, so that no request fails because of its size. A batch that the classifier refuses, or answers with
    an invalid reply, is halved until the faulty text is alone. Each caller waits until its own deadline; a
    caller that stops waiting does not affect the others.

    Args:
        classifier: Takes several texts in one call.
        settings: The number and the size of calls.
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
        # Notified when texts have been answered, because slices wait for room in the queue.
        self._room = threading.Condition(self._lock)
        self._slices_waiting = 0
        self._waiting: list[_Entry] = []
        self._watcher: _Waiter | None = None
        self._texts_in_calls = 0
        self._calls = 0
        self._singles_until = float("-inf")
        # Its threads start on first use, so there are none when a process forks before that.
        self._threads = ThreadPoolExecutor(settings.max_in_flight, thread_name_prefix="batching")

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        """
        Score each text; see `Classifier.classify`.

        If the queue is full, nothing is sent, and the outcome of each text is an ``OverloadedError``.
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
                    # A programming error in the thread that sent the call.
                    raise outcome or RuntimeError("a text has no outcome")
                outcomes.append(outcome)
        return outcomes

    def _admit(self, texts: Sequence[str], deadline: Deadline, *, may_wait: bool) -> _Waiter:
        """
        Put the first of *texts* into the queue: as many as there is room for, at most half of the queue.

        Raises:
            OverloadedError: The queue is full, and no text of the caller is in it yet.
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
            caller = _Waiter(len(texts), deadline.at)
            self._waiting += [
                _Entry(text, usual_tokens(text), now, caller, index) for index, text in enumerate(texts)
            ]
            self._start_calls()
            # One waiting thread is enough to start calls for the others.
            caller.watches = self._watcher is None and bool(self._waiting) and caller.batch is None
            if caller.watches:
                self._watcher = caller
        return caller

    def _wait_for_room(self, deadline: Deadline) -> None:
        self._slices_waiting += 1
        try:
            if not self._room.wait(min(max(deadline.remaining, 0), threading.TIMEOUT_MAX)):
                raise DeadlineExceededError("there was no room in the queue in time")
        finally:
            self._slices_waiting -= 1

    def _wait(self, caller: _Waiter, deadline: Deadline) -> None:
        """Wait until all outcomes are there or the deadline has passed; send calls in the meantime."""
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

    def _give_up(self, caller: _Waiter) -> None:
        """Remove a caller's texts from the queue, except those in a call. The lock must be held."""
        self._waiting = [entry for entry in self._waiting if entry.caller is not caller]
        error = DeadlineExceededError("no answer came in time")
        caller.outcomes = [error if outcome is None else outcome for outcome in caller.outcomes]
        caller.left = 0

    def _start_calls(self, *, gathered: bool = False) -> None:
        """
        Start calls while texts wait and calls are possible. The lock must be held.

        Args:
            gathered: Whether the waiting texts have waited long enough for others.
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
        Return the smallest number of texts that a call should have.

        A call costs as much CPU time as a request. Besides, if the first texts after the end of a batch were
        sent alone, they would use up all calls, and the others would have to wait until one ends.
        """
        under_way = len(self._waiting) + self._texts_in_calls
        if not self._calls or self._single or under_way <= LIGHT_LOAD:
            return 1
        return min(under_way // SHARES, self._settings.max_batch)

    @property
    def _single(self) -> bool:
        """Return whether the classifier accepts only single texts at the moment."""
        return self._clock() < self._singles_until

    def _next_batch(self) -> list[_Entry]:
        """Take the text that has waited longest, and texts of similar length. The lock must be held."""
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

    def _send(self, batch: Sequence[_Entry], leader: _Waiter | None) -> None:
        """
        Make one call in this thread, which is that of *leader* if there is one; deliver the outcomes and
        start the next calls.
        """
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
            # Without a watching thread, no call would be started for texts that wait for others.
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
        """Return the outcomes of a batch, which is halved if it fails as a whole."""
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
    """The remaining number of calls for the search in one batch."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, calls: int) -> bool:
        """Use up some calls; return whether there were enough."""
        self._left -= calls
        return self._left >= 0
