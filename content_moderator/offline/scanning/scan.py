"""Judges all rows of an input. A scan can be interrupted without losing or repeating a row."""

import contextlib
import fcntl
import itertools
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import tenacity

from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import raise_copy
from content_moderator.domain.deadline import Deadline
from content_moderator.domain.errors import ClassifierError, DeadlineExceededError, ScanError
from content_moderator.domain.moderator import Moderator
from content_moderator.domain.verdict import Verdict
from content_moderator.offline.scanning.checkpoint import Checkpoint
from content_moderator.offline.scanning.record import LAYOUT, Writer, bad_record, check_keep
from content_moderator.offline.scanning.row import Form, Lines, Row, RowReader
from content_moderator.text.normalization import is_unicode

CHECKPOINT_SECONDS: Final = 1.0
"""
The time between checkpoints, which is the work that is repeated after a kill. Flushing to disk after each
batch would take most of the time.
"""

MIN_WAIT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """
    The description of a scan.

    Args:
        output: The file of the answers; rows that cannot be judged go to another file next to it.
        form: The format of the rows.
        text_field: The field with the text.
        keep: Other fields to copy to the output.
        encoding: The encoding of the input; None to detect it.
        batch_rows: The number of rows in one call.
        patience_seconds: How long to wait for an unavailable classifier.
    """

    output: Path
    form: Form
    text_field: str = "text"
    keep: Sequence[str] = ()
    encoding: str | None = None
    batch_rows: int = 256
    patience_seconds: float = 300.0

    @property
    def bad(self) -> Path:
        """The file of rows that cannot be judged."""
        return self.output.with_name(f"{self.output.name}.bad.jsonl")

    @property
    def progress(self) -> Path:
        """The file of the checkpoint, which exists until the scan is complete."""
        return self.output.with_name(f"{self.output.name}.progress")

    def terms(self) -> dict[str, Any]:
        """Return what must be the same to resume."""
        return {
            "layout": LAYOUT,
            "form": self.form,
            "text_field": self.text_field,
            "keep": list(self.keep),
            "encoding": self.encoding,
        }


class Scan:
    """
    One scan, from the beginning of the input or from a checkpoint.

    Args:
        job: The description of the scan.
        moderator: Judges the texts.
        terms: What else must be the same to resume: the classifier, the thresholds.
        max_chars: Longer texts are bad rows.
        deadline_seconds: Longest time of a batch.
        wait: Sleeps.
    Raises:
        ScanError: Another scan writes to the same output, or the existing output is not of this scan.
    """

    def __init__(
        self,
        job: Job,
        moderator: Moderator,
        *,
        terms: Mapping[str, Any],
        max_chars: int,
        deadline_seconds: float = float("inf"),
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._job = job
        self._moderator = moderator
        self._terms = job.terms() | dict(terms)
        self._max_chars = max_chars
        self._deadline_seconds = deadline_seconds
        self._wait = wait
        self.began = Checkpoint(self._terms)
        self._goes_on = job.progress.exists()
        if self._goes_on:
            self.began = Checkpoint.load(job.progress)
            if self.began.job != self._terms:
                raise ScanError(
                    f"{job.progress} was started with other options, another classifier or other thresholds;"
                    " --restart starts from the beginning"
                )
        elif _has_content(job.output):
            raise ScanError(f"{job.output} exists; --restart overwrites it")
        self.counts: Counter[str] = Counter(self.began.counts)
        self.problems: Counter[str] = Counter()
        self.offset = self.began.offset
        self.line = self.began.line

    def run(self, stream: BinaryIO) -> Iterator[int]:
        """
        Judge the rest of *stream*, which must be at its beginning.

        Yields:
            The number of rows of each batch after it is written.
        Raises:
            ScanError: The input has changed since the checkpoint, or does not have the fields.
            ClassifierError: The classifier was unavailable for too long; finished rows are kept.
        """
        lines = Lines(stream)
        reader = RowReader(
            lines,
            self._job.form,
            text_field=self._job.text_field,
            keep=self._job.keep,
            max_chars=self._max_chars,
        )
        if self.began.offset:
            lines.skip_to(self.began.offset, self.began.line)
            if lines.digest != self.began.digest:
                raise ScanError("the input is not that of the first run; --restart starts from the beginning")
        writer = Writer(self._job.output, self._job.keep)
        with ExitStack() as stack:
            output = stack.enter_context(_opened(self._job.output))
            self._check_untouched()
            if not self.began.digest:
                # From here on the same command resumes, instead of refusing to overwrite.
                self.began.save(self._job.progress)
            bad = stack.enter_context(_opened(self._job.bad))
            output.truncate(self.began.output_bytes)
            bad.truncate(self.began.bad_bytes)
            output.seek(0, os.SEEK_END)
            bad.seek(0, os.SEEK_END)
            if not self.began.output_bytes:
                output.write(writer.header())
            try:
                yield from self._judge_all(reader, lines, writer, output, bad)
            except ScanError:
                if lines.number <= 1 and not self._goes_on:
                    # It was refused at once, so there is nothing to resume.
                    for path in (self._job.progress, self._job.bad, self._job.output):
                        path.unlink(missing_ok=True)
                raise
            _settle(output, bad)
            if not bad.tell():
                self._job.bad.unlink()
            self._job.progress.unlink()

    def _check_untouched(self) -> None:
        """Check that no other scan has written here before the output was locked."""
        progress = self._job.progress
        same = Checkpoint.load(progress) == self.began if progress.exists() else not self._goes_on
        if not same or (not self._goes_on and _has_content(self._job.output)):
            raise ScanError(f"another scan has written to {self._job.output}")

    def _judge_all(
        self, reader: RowReader, lines: Lines, writer: Writer, output: BinaryIO, bad: BinaryIO
    ) -> Iterator[int]:
        saved = time.monotonic()
        rows = iter(reader)
        while batch := list(itertools.islice(rows, self._job.batch_rows)):
            self._judge(batch, writer, output, bad)
            self.offset, self.line = lines.offset, lines.number
            if time.monotonic() - saved >= CHECKPOINT_SECONDS:
                self._save(lines, output, bad)
                saved = time.monotonic()
            yield len(batch)

    def _judge(self, batch: Sequence[Row], writer: Writer, output: BinaryIO, bad: BinaryIO) -> None:
        texts = [row.text for row in batch if row.text is not None]
        outcomes = iter(self._patiently(texts) if texts else [])
        for row in batch:
            outcome = next(outcomes) if row.text is not None else row.problem or ""
            self.counts["rows"] += 1
            if isinstance(outcome, Verdict):
                output.write(writer.record(row, outcome))
                self._count(outcome)
            else:
                problem = outcome.code if isinstance(outcome, ClassifierError) else outcome
                bad.write(bad_record(row, problem))
                self.counts["bad"] += 1
                self.problems[problem] += 1

    def _count(self, verdict: Verdict) -> None:
        self.counts[verdict.decision.value] += 1
        self.counts["degraded"] += verdict.classification.degraded
        self.counts.update(f"{reason.action} {reason.category}" for reason in verdict.reasons)

    def _patiently(self, texts: Sequence[str]) -> list[Verdict | ClassifierError]:
        """
        Judge texts; wait for an unavailable classifier, as long as it asks for, up to the patience.

        Raises:
            ClassifierError: It was unavailable for too long.
        """
        found: dict[int, Verdict | ClassifierError] = {}

        def attempt() -> None:
            left = [place for place in range(len(texts)) if place not in found]
            context = CallContext(Deadline.after(self._deadline_seconds))
            outcomes = self._moderator.moderate_each([texts[place] for place in left], context)
            away = None
            for place, outcome in zip(left, outcomes, strict=True):
                if isinstance(outcome, ClassifierError) and not outcome.about_the_text:
                    away = away or outcome
                else:
                    found[place] = outcome
            if away is not None:
                raise_copy(away)

        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_pass),
            wait=_as_told,
            stop=tenacity.stop_after_delay(self._job.patience_seconds),
            sleep=self._wait,
            reraise=True,
        )
        again(attempt)
        return [found[place] for place in range(len(texts))]

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, ClassifierError) and (
            isinstance(error, DeadlineExceededError)
            or (error.retry_after_seconds or float("inf")) <= self._job.patience_seconds
        )

    def _save(self, lines: Lines, output: BinaryIO, bad: BinaryIO) -> None:
        _settle(output, bad)
        Checkpoint(
            self._terms,
            digest=lines.digest,
            offset=lines.offset,
            line=lines.number,
            output_bytes=output.tell(),
            bad_bytes=bad.tell(),
            counts=dict(self.counts),
        ).save(self._job.progress)


def check_apart(job: Job, stream: BinaryIO) -> None:
    """
    Check that a scan writes to regular files, and not to its input under another name or through a link.

    Raises:
        ScanError: It does not, or a name cannot be used.
    """
    check_keep(job.keep)
    if not is_unicode(job.text_field):
        raise ScanError(f"there is no field {job.text_field!r}: not UTF-8")
    if job.output.exists() and not job.output.is_file():
        raise ScanError(f"{job.output} is not a file: a scan that ends could not go on")
    if not job.output.parent.is_dir():
        raise ScanError(f"there is no folder {job.output.parent}")
    try:
        source = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return  # Not a device or pipe.
    if not stat.S_ISREG(source.st_mode):
        return
    for path in (job.output, job.bad, job.progress):
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(source, path.stat()):
                raise ScanError(f"{path} is the input itself; nothing was changed")


def discard(job: Job) -> None:
    """
    Remove the files of an earlier scan.

    Raises:
        ScanError: The scan is still running.
    """
    with _opened(job.output) as output:
        job.progress.unlink(missing_ok=True)
        output.truncate(0)
        job.bad.unlink(missing_ok=True)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _opened(path: Path) -> BinaryIO:
    """Open and lock a file for this scan."""
    file = path.open("ab+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ScanError(f"another scan writes to {path}") from error
    return file


def _settle(*files: BinaryIO) -> None:
    """Flush written data to disk."""
    for file in files:
        file.flush()
        os.fsync(file.fileno())


def _as_told(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    told = error.retry_after_seconds if isinstance(error, ClassifierError) else None
    return max(told or 0.0, MIN_WAIT_SECONDS)
