"""content-moderator scan: every row exactly once, whatever happens."""

import csv
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content_moderator.cli.main import main
from content_moderator.config.settings import PolicySettings
from content_moderator.domain import errors
from content_moderator.domain.call_context import CallContext
from content_moderator.domain.classification import Outcome
from content_moderator.domain.errors import ClassifierError, ScanError
from content_moderator.domain.moderator import Moderator
from content_moderator.offline.scanning import scan as module
from content_moderator.offline.scanning.scan import Job, Scan, discard
from tests.support.fake import FakeClassifier
from tests.support.fault_server import FaultServer, Step, reply, scores, unused_port, wait_until
from tests.support.live import without_coverage
from tests.support.paths import ROOT

ROWS = int(os.environ.get("SCAN_ROWS", "40000"))
"""Rows of the scan that is killed."""

INSULT = "you are such a pathetic idiot"
REVIEWED = PolicySettings().thresholds["embedded"]["HR"].review


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in; the settings are the shipped ones."""
    monkeypatch.setenv("MODERATOR_CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["scan", *arguments], input=given)


def read(path: Path | str) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        pytest.param("in.jsonl", f'{{"text": "good day"}}\n\n{{"text": "{INSULT}"}}\n', [1, 3], id="objects"),
        pytest.param("in.ndjson", f'"good day"\n"{INSULT}"', [1, 2], id="json texts, no last line end"),
        pytest.param(
            "in.csv", f'id,text\n1,"good\n\nday"\n\n2,{INSULT}\n', [2, 6], id="csv with line ends in it"
        ),
        pytest.param(
            "in.csv", f"\ufefftext,id\r\ngood day,1\r\n{INSULT},2\r\n", [2, 3], id="csv of a spreadsheet"
        ),
        pytest.param("in.tsv", f"id\ttext\n1\tgood, day\n2\t{INSULT}\n", [2, 3], id="tab-separated"),
        pytest.param("in.txt", f"\ufeffgood day\r\n\r\n  \n{INSULT}\r\n", [1, 4], id="plain lines"),
    ],
)
def test_rows_of_every_form_are_judged(name: str, content: str, lines: list[int], here: Path) -> None:
    (here / name).write_bytes(content.encode())
    result = run(name, "-o", "out.jsonl")
    assert result.exit_code == 0, result.output
    rows = read("out.jsonl")
    assert [row["line"] for row in rows] == lines
    assert [row["decision"] for row in rows] == ["allow", "review"]
    assert {each["label"]: each["score"] for each in rows[1]["labels"]}["HR"] > 0.9
    [reason, *_] = rows[1]["reasons"]
    assert (reason["label"], reason["threshold"], reason["action"]) == ("HR", REVIEWED, "review")
    assert sorted(path.name for path in here.iterdir()) == sorted([name, "out.jsonl"])


def test_standard_input_is_plain_lines_unless_told_otherwise(here: Path) -> None:
    assert run("-", "-o", "a.jsonl", given=f"{INSULT}\n".encode()).exit_code == 0
    assert run("-", "-o", "b.jsonl", "--format", "jsonl", given=f'"{INSULT}"'.encode()).exit_code == 0
    assert read("a.jsonl") == read("b.jsonl")


def test_text_is_written_only_on_demand(here: Path) -> None:
    (here / "in.jsonl").write_text('{"body": "good day", "id": 7, "more": [1]}\n')
    assert (
        run("in.jsonl", "-o", "out.jsonl", "--text-field", "body", "--keep", "id", "--keep", "gone").exit_code
        == 0
    )
    [row] = read("out.jsonl")
    assert (row["id"], row["gone"]) == (7, None)
    assert "good day" not in Path("out.jsonl").read_text()
    assert run("in.jsonl", "-o", "all.jsonl", "--text-field", "body", "--keep", "body").exit_code == 0
    assert read("all.jsonl")[0]["body"] == "good day"


def test_output_may_be_csv(here: Path) -> None:
    (here / "in.jsonl").write_text(json.dumps({"text": INSULT, "id": 'a "b", c', "tags": ["x"]}) + "\n")
    assert run("in.jsonl", "-o", "out.csv", "--keep", "id", "--keep", "tags").exit_code == 0
    [row] = csv.DictReader(io.StringIO(Path("out.csv").read_text()))
    assert (row["line"], row["id"], row["tags"]) == ("1", 'a "b", c', '["x"]')
    assert (row["decision"], row["flagged"], row["degraded"]) == ("review", "true", "false")
    assert row["reasons"] == "HR:review;ANY:review"
    assert float(row["HR"]) > 0.9


@pytest.mark.parametrize(
    ("name", "content", "line", "problem"),
    [
        pytest.param("in.jsonl", b"{oops\n", 1, "not JSON in UTF-8", id="not json"),
        pytest.param("in.jsonl", b'{"text": "\xff"}\n', 1, "not JSON in UTF-8", id="json not utf-8"),
        pytest.param("in.jsonl", b"5\n", 1, "neither an object nor a text", id="a number"),
        pytest.param("in.jsonl", b'{"txt": "a"}\n', 1, "no field text", id="no text"),
        pytest.param("in.jsonl", b'{"text": 5}\n', 1, "text is not a text", id="text a number"),
        pytest.param("in.jsonl", b'\n{"text": " "}\n', 2, "text is blank", id="blank"),
        pytest.param("in.jsonl", b'"%b"\n' % (b"a" * 20_481), 1, "text has 20481 characters", id="too long"),
        pytest.param("in.csv", b"id,text\n1,a,b\n", 2, "3 columns, but the header has 2", id="columns"),
        pytest.param("in.csv", b'id,text\n1,"a"b\n', 2, "not CSV: ", id="quotes"),
        pytest.param("in.csv", b"id,text\n1,\n", 2, "text is blank", id="empty cell"),
        pytest.param("in.csv", b"id,text\n1,\xff\n", 2, "not UTF-8", id="csv not utf-8"),
        pytest.param("in.csv", b'id,text\n1,"never closed\nand on\n', 2, "not CSV: ", id="never closed"),
        pytest.param("in.txt", b"caf\xe9\n", 1, "not UTF-8", id="line not utf-8"),
    ],
)
def test_bad_row_is_kept_apart(name: str, content: bytes, line: int, problem: str, here: Path) -> None:
    good = {"in.jsonl": b'"good day"\n', "in.csv": b"", "in.txt": b"good day\n"}[name]
    (here / name).write_bytes(content + good)
    result = run(name, "-o", "out.jsonl")
    assert result.exit_code == (0 if good else 1), result.output
    assert ("nothing could be judged" in result.output) is not bool(good)
    [bad] = read("out.jsonl.bad.jsonl")
    assert bad["line"] == line
    assert bad["problem"].startswith(problem)
    assert bad["row"].strip(), "what was read is there"
    assert len(read("out.jsonl")) == bool(good)
    assert "out.jsonl.bad.jsonl" in result.output.replace("\n", "")


def test_good_rows_after_a_bad_one_in_csv_are_judged(here: Path) -> None:
    (here / "in.csv").write_text('id,text\n1,"a"b\n2,a,b\n3,good day\n')
    assert run("in.csv", "-o", "out.jsonl").exit_code == 0
    assert [row["line"] for row in read("out.jsonl")] == [4]
    assert [row["line"] for row in read("out.jsonl.bad.jsonl")] == [2, 3]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        pytest.param(
            "in.csv",
            "id,body\n1,a\n",
            [],
            "no column 'text'; there are: 'id', 'body'. --text-field",
            id="no column",
        ),
        pytest.param("in.csv", "", [], "the input is empty", id="empty csv"),
        pytest.param("in.csv", '"a"b\n', [], "the header is not CSV", id="bad header"),
        pytest.param("in.csv", "text\na\n", ["--keep", "id"], "no column 'id'", id="no column to keep"),
        pytest.param("in.txt", "a\n", ["--keep", "id"], "plain lines have no fields", id="nothing to keep"),
    ],
)
def test_what_cannot_be_scanned_at_all_is_told(
    name: str, content: str, options: list[str], message: str, here: Path
) -> None:
    (here / name).write_text(content)
    result = run(name, "-o", "out.jsonl", *options)
    assert result.exit_code == 1
    assert message in result.output
    assert not (here / "out.jsonl").exists()


def test_summary_counts_everything(here: Path) -> None:
    (here / "in.txt").write_text(f"{INSULT}\ngood day\nthank you\n")
    output = run("in.txt", "-o", "out.jsonl").output
    table = {
        cells[0].strip(): cells[1].strip()
        for line in output.splitlines()
        if len(cells := line.strip("│┃ ").replace("┃", "│").split("│")) == 3
    }
    assert table["allow"] == "2"
    assert table["review"] == "1"
    assert table["review harassment"] == "1"
    assert table["bad"] == "0"
    assert "3 rows" in output


def test_finished_output_is_not_overwritten_unless_told(here: Path) -> None:
    (here / "in.txt").write_text("good day\n")
    assert run("in.txt", "-o", "out.jsonl").exit_code == 0
    (here / "in.txt").write_text(f"good day\n{INSULT}\n")
    refused = run("in.txt", "-o", "out.jsonl")
    assert refused.exit_code == 1
    assert "out.jsonl exists; --restart overwrites it" in refused.output
    assert len(read("out.jsonl")) == 1
    assert run("in.txt", "-o", "out.jsonl", "--restart").exit_code == 0
    assert len(read("out.jsonl")) == 2


def moderator(classifier: FakeClassifier) -> Moderator:
    return Moderator(classifier, PolicySettings().build())


def work(job: Job, classifier: FakeClassifier | None = None, waits: list[float] | None = None) -> Scan:
    wait = (lambda seconds: None) if waits is None else waits.append
    return Scan(job, moderator(classifier or FakeClassifier()), terms={}, max_chars=100, wait=wait)


def finish(job: Job, content: bytes, classifier: FakeClassifier | None = None) -> Scan:
    scan = work(job, classifier)
    for _ in scan.run(io.BytesIO(content)):
        pass
    return scan


@pytest.fixture
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints after each batch."""
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


@pytest.mark.usefixtures("_eager")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    rows=st.lists(cells, min_size=1, max_size=12),
    form=st.sampled_from(["jsonl", "csv", "lines"]),
    stops=st.lists(st.integers(0, 5), max_size=3),
    batch=st.integers(1, 3),
    torn=st.binary(max_size=5),
)
def test_interrupted_scan_ends_like_one_that_was_not(
    rows: list[str], form: Any, stops: list[int], batch: int, torn: bytes, tmp_path: Path
) -> None:
    """
    Stopped after any number of batches, with partial output after the checkpoint: the files are the same.
    """
    content = encoded(rows, form)
    whole = Job(tmp_path / "whole.jsonl", form, batch_rows=batch)
    pieces = Job(tmp_path / "pieces.jsonl", form, batch_rows=batch)
    for job in (whole, pieces):
        discard(job)
        job.output.unlink()
    counts = finish(whole, content).counts
    for stop in stops:
        if pieces.output.exists() and not pieces.progress.exists():
            break
        running = work(pieces).run(io.BytesIO(content))
        for _ in range(stop):
            if next(running, None) is None:
                break
        running.close()  # type: ignore[attr-defined]
        if pieces.progress.exists():
            for path in (pieces.output, pieces.bad):
                with path.open("ab") as file:
                    file.write(torn)
    if pieces.progress.exists() or not pieces.output.exists():
        assert finish(pieces, content).counts == counts
    for name in ("output", "bad"):
        one, other = getattr(whole, name), getattr(pieces, name)
        assert one.exists() == other.exists()
        assert not one.exists() or one.read_bytes() == other.read_bytes()
    assert not pieces.progress.exists()


def encoded(rows: Sequence[str], form: str) -> bytes:
    if form == "jsonl":
        return b"\n".join(orjson.dumps({"text": row}) for row in rows)
    if form == "lines":
        return "\n".join(rows).encode()
    output = io.StringIO()
    csv.writer(output).writerows([["text", "n"], *([row, "1"] for row in rows)])
    return output.getvalue().encode()


def interrupted(job: Job, content: bytes, batches: int) -> None:
    running: Iterator[int] = work(job).run(io.BytesIO(content))
    for _ in range(batches):
        next(running)
    running.close()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("_eager")
def test_scan_goes_on_only_with_what_it_began_with(tmp_path: Path) -> None:
    job = Job(tmp_path / "out.jsonl", "lines", batch_rows=1)
    interrupted(job, b"one\ntwo\nthree\n", 2)
    with pytest.raises(ScanError, match="the input is not that of"):
        finish(job, b"one\n222\nthree\n")
    with pytest.raises(ScanError, match="shorter"):
        finish(job, b"one\n")
    with pytest.raises(ScanError, match="started with other options"):
        work(Job(tmp_path / "out.jsonl", "jsonl", batch_rows=1))
    job.progress.write_text("{")
    with pytest.raises(ScanError, match="cannot be read"):
        work(job)
    discard(job)
    assert finish(job, b"one\ntwo\nthree\n").counts["rows"] == 3


@pytest.mark.usefixtures("_eager")
def test_two_scans_never_write_to_one_output(tmp_path: Path) -> None:
    job = Job(tmp_path / "out.jsonl", "lines", batch_rows=1)
    content = b"one\ntwo\nthree\n"
    first, late = work(job), work(job)
    running = first.run(io.BytesIO(content))
    next(running)
    with pytest.raises(ScanError, match="another scan writes"):
        finish(job, content)
    with pytest.raises(ScanError, match="another scan writes"):
        discard(job)
    list(running)
    with pytest.raises(ScanError, match="another scan has written"):
        list(late.run(io.BytesIO(content)))
    assert [row["line"] for row in read(job.output)] == [1, 2, 3]


class Scripted(FakeClassifier):
    """Fails as the script says, then answers."""

    def __init__(self, *script: ClassifierError) -> None:
        super().__init__()
        self.script = list(script)

    def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
        if self.script:
            return [self.script.pop(0)] * len(texts)
        return super().classify(texts, context)


@pytest.mark.parametrize("how", ["itself", "a link", "a hard link", "the bad rows", "a link to the bad rows"])
@pytest.mark.parametrize("restart", [False, True])
def test_input_is_never_written_to(how: str, restart: bool, here: Path) -> None:
    content = b'{"text": "one"}\n{"text": "two"}\n'
    source = here / ("out.jsonl.bad.jsonl" if how == "the bad rows" else "in.jsonl")
    source.write_bytes(content)
    output = "out.jsonl"
    if how == "itself":
        output = "in.jsonl"
    elif how == "a link":
        (here / "out.jsonl").symlink_to(source)
    elif how == "a hard link":
        (here / "out.jsonl").hardlink_to(source)
    elif how == "a link to the bad rows":
        (here / "out.jsonl.bad.jsonl").symlink_to(source)
    result = run(source.name, "-o", output, *(["--restart"] if restart else []))
    assert result.exit_code == 1
    assert "is the input itself; nothing was changed" in result.output
    assert source.read_bytes() == content


def test_standard_input_is_never_written_to(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("one\ntwo\n")
    with source.open("rb") as stdin:
        finished = subprocess.run(
            [sys.executable, "-m", "content_moderator", "scan", "-", "-o", str(source), "--restart"],
            stdin=stdin, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert finished.returncode == 1
    assert source.read_text() == "one\ntwo\n"


def test_scan_that_was_killed_before_its_first_checkpoint_goes_on(tmp_path: Path) -> None:
    job = Job(tmp_path / "out.jsonl", "lines", batch_rows=2)
    running = work(job).run(io.BytesIO(b"one\ntwo\nthree\nfour\n"))
    next(running)
    # As after kill -9: what was written stays, and nobody tidies up.
    left = {path: path.read_bytes() for path in tmp_path.iterdir()}
    del running
    (tmp_path / "out.jsonl").write_bytes(b'{"line":1,"half of a li')
    (tmp_path / "out.jsonl.progress").write_bytes(left[job.progress])
    assert finish(job, b"one\ntwo\nthree\nfour\n").counts["rows"] == 4
    assert [row["line"] for row in read(job.output)] == [1, 2, 3, 4]


@pytest.mark.parametrize("form", ["lines", "jsonl", "csv"])
def test_long_line_is_a_bad_row_and_takes_no_memory(form: Any, tmp_path: Path) -> None:
    size = 100_000_000
    path = tmp_path / "in"
    rows = {
        "lines": (b"one\n", b"two\n"),
        "jsonl": (b'"one"\n', b'"two"\n'),
        "csv": (b"text\none\n", b"two\n"),
    }
    with path.open("wb") as file:
        file.write(rows[form][0])
        for _ in range(size // 1_000_000):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + rows[form][1])
    job = Job(tmp_path / "out.jsonl", form)
    tracemalloc.start()
    try:
        with path.open("rb") as stream:
            scan = work(job)
            list(scan.run(stream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row["line"] for row in read(job.output)] == ([2, 4] if form == "csv" else [1, 3])
    [bad] = read(job.bad)
    assert bad["problem"].startswith(f"the line has {size + 1} bytes; ")
    assert peak < 50_000_000


def test_full_disk_ends_the_command_in_one_line_and_it_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        (tmp_path / "in.txt").write_text("".join(f"text number {n}\n" for n in range(8000)))
        command = [sys.executable, "-m", "content_moderator", "scan", str(tmp_path / "in.txt")]
        command += ["-o", str(folder / "out.csv")]
        full = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
        assert full.returncode == 1
        assert "No space left on device" in full.stderr
        assert "the same command goes on from there" in " ".join(full.stderr.split())
        assert "Traceback" not in full.stderr
        subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True)
        again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
        assert again.returncode == 0, again.stderr
        assert len((folder / "out.csv").read_text().splitlines()) == 8001
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def test_classifier_that_is_away_is_waited_for_as_long_as_it_says(tmp_path: Path) -> None:
    job = Job(tmp_path / "out.jsonl", "lines")
    away = Scripted(
        errors.WarmingUpError(retry_after_seconds=7),
        errors.DeadlineExceededError(),
        errors.OverloadedError(retry_after_seconds=0.1),
    )
    waits: list[float] = []
    list(work(job, away, waits).run(io.BytesIO(b"one\n")))
    assert waits == [7, 1, 1]
    assert len(read(job.output)) == 1


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(errors.QuotaExhaustedError(), id="for longer than the patience"),
        pytest.param(errors.CredentialsRefusedError(), id="for good"),
    ],
)
def test_classifier_that_stays_away_ends_the_scan_which_can_go_on(
    error: ClassifierError, tmp_path: Path
) -> None:
    job = Job(tmp_path / "out.jsonl", "lines", batch_rows=1)
    away, waits = Scripted(error), list[float]()
    with pytest.raises(type(error)):
        list(work(job, away, waits).run(io.BytesIO(b"one\ntwo\n")))
    assert waits == []
    assert finish(job, b"one\ntwo\n").counts["rows"] == 2
    assert [row["line"] for row in read(job.output)] == [1, 2]


def test_patience_ends(tmp_path: Path) -> None:
    job = Job(tmp_path / "out.jsonl", "lines", patience_seconds=0.0)
    with pytest.raises(errors.OverloadedError):
        list(
            work(job, Scripted(*[errors.OverloadedError(retry_after_seconds=0)] * 9)).run(io.BytesIO(b"a\n"))
        )


def test_text_that_cannot_be_answered_is_a_bad_row(tmp_path: Path) -> None:
    class Choosy(FakeClassifier):
        def classify(self, texts: Sequence[str], context: CallContext) -> list[Outcome]:
            answers = super().classify(texts, context)
            return [errors.BadReplyError() if t == "two" else a for t, a in zip(texts, answers, strict=True)]

    job = Job(tmp_path / "out.jsonl", "lines")
    counts = finish(job, b"one\ntwo\nthree\n", Choosy()).counts
    assert [row["line"] for row in read(job.output)] == [1, 3]
    assert read(job.bad) == [{"line": 2, "problem": "classifier_bad_reply", "row": "two"}]
    assert (counts["rows"], counts["bad"]) == (3, 1)


def test_remote_classifier_that_refuses_ends_the_command_in_one_line(
    here: Path, upstream: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.play(Step(401))
    monkeypatch.setenv("MODERATOR__CLASSIFIER__NAME", "koala")
    monkeypatch.setenv("MODERATOR__CLASSIFIER__CONFIG__URL", upstream.url)
    monkeypatch.setenv("BEARER_TOKEN", "hf_secret")
    (here / "in.txt").write_text("one\n")
    result = run("in.txt", "-o", "out.jsonl")
    assert result.exit_code == 1
    assert "classifier_credentials_refused" in result.output
    assert "the same command goes on from there" in result.output
    upstream.play(reply(scores()))
    again = run("in.txt", "-o", "out.jsonl")
    assert again.exit_code == 0, again.output
    assert read("out.jsonl")[0]["classifier"]["name"] == "koala"


def test_what_a_stand_in_judged_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATOR__CLASSIFIER__NAME", "koala")
    monkeypatch.setenv("MODERATOR__CLASSIFIER__CONFIG__URL", f"http://127.0.0.1:{unused_port()}/")
    monkeypatch.setenv("MODERATOR__CLASSIFIER__ON_UNAVAILABLE", "embedded")
    monkeypatch.setenv("BEARER_TOKEN", "hf_secret")
    (here / "in.txt").write_text("one\n")
    result = run("in.txt", "-o", "out.jsonl")
    assert "degraded" in result.output
    assert read("out.jsonl")[0]["degraded"] is True


WORDS = tuple("talk long kind people met you idiot see tomorrow pathetic lovely thank".split())  # noqa: SIM905


def generate(path: Path) -> tuple[list[int], list[int]]:
    """Write rows of which some are bad; give the lines of the good and of the bad ones."""
    chance = random.Random(5)
    good: list[int] = []
    bad: list[int] = []
    with path.open("w") as file:
        for line in range(1, ROWS + 1):
            text = " ".join(chance.choices(WORDS, k=20))
            is_bad = line % 997 == 0
            file.write("{broken\n" if is_bad else json.dumps({"text": f"{text} {line}"}) + "\n")
            (bad if is_bad else good).append(line)
    return good, bad


def start(*options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "content_moderator", "scan", "in.jsonl", "-o", "out.jsonl", *options]
    # An interrupt that meets coverage while it holds its lock is lost, and so is the lock.
    # The encoder would be asked about each of these made-up words, which are of no language.
    without = {"MODERATOR__CLASSIFIER__SECOND_OPINION": "false"}
    environ = without_coverage() | {"PYTHONPATH": str(ROOT)} | without
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def line_reached() -> int:
    try:
        return int(json.loads(Path("out.jsonl.progress").read_bytes())["line"])
    except (FileNotFoundError, json.JSONDecodeError):
        return 0


def test_scan_that_is_killed_twice_ends_complete(here: Path) -> None:
    """kill -9 in the middle, twice; in the end each row is there once, in order, and the summary is whole."""
    good, bad = generate(here / "in.jsonl")
    before = 0
    for _ in range(2):
        with start("--batch", "4") as process:
            wait_until(lambda: line_reached() > before or process.poll() is not None, seconds=60)  # noqa: B023
            assert process.poll() is None, "it was over before it could be killed"
            process.kill()
        before = line_reached()
        assert before < ROWS
    with start() as process:
        output = process.communicate(timeout=110)[0].decode()
    assert process.returncode == 0, output
    assert f"going on after line {before}" in output
    assert [row["line"] for row in read("out.jsonl")] == good
    assert [row["line"] for row in read("out.jsonl.bad.jsonl")] == bad
    assert f"{ROWS:,} rows in out.jsonl" in output
    assert not (here / "out.jsonl.progress").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_scan_that_is_asked_to_end_says_how_to_go_on(number: int, here: Path) -> None:
    generate(here / "in.jsonl")
    with start("--batch", "4") as process:
        wait_until(lambda: line_reached() > 0 or process.poll() is not None, seconds=60)
        process.send_signal(number)
        output = process.communicate(timeout=30)[0].decode()
    assert process.returncode == 130, output
    assert "the same command goes on from there" in output
    assert "Traceback" not in output


def test_field_to_keep_that_cannot_be_written_makes_a_bad_row(here: Path) -> None:
    Path("in.csv").write_bytes(b"text,id\nhello,\xff\nbye,2\n")
    Path("in.jsonl").write_text(
        '{"text": "hi", "id": ' + "[" * 300 + "]" * 300 + '}\n{"text": "bye", "id": 2}\n'
    )
    for source in ("in.csv", "in.jsonl"):
        for output in ("out.csv", "out.jsonl"):
            result = run(source, "-o", output, "--keep", "id", "--restart")
            assert result.exit_code == 0, result.output
            [bad] = read(f"{output}.bad.jsonl")
            assert bad["problem"] == "a field to keep is not UTF-8, or has too many levels"
            assert "bye" not in bad["row"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(["-o", "/dev/null"], "/dev/null is not a file", id="a device"),
        pytest.param(["-o", "nowhere/out"], "there is no folder nowhere", id="no folder"),
        pytest.param(["-o", "out", "--keep", "decision"], "cannot keep 'decision'", id="a name of ours"),
        pytest.param(["-o", "out", "--keep", "V"], "cannot keep 'V'", id="a label"),
        pytest.param(["-o", "out", "--keep", "\udcff"], "not UTF-8", id="a name of other bytes"),
        pytest.param(["-o", "out", "--text-field", "\udcff"], "not UTF-8", id="a field of other bytes"),
        pytest.param(["-o", "out", "--text-field", "twice"], "several columns are named 'twice'", id="twice"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_written(
    here: Path, arguments: Sequence[str], problem: str
) -> None:
    Path("in.csv").write_text("text,decision,V,twice,twice\nhello,1,2,3,4\n")
    result = run("in.csv", *arguments)
    assert result.exit_code != 0
    assert problem in result.output
    assert isinstance(result.exception, SystemExit)
    assert not any(path.stat().st_size for path in here.iterdir() if path.name != "in.csv")


def test_header_of_another_encoding_is_named(here: Path) -> None:
    Path("in.csv").write_bytes("text,caf\u00e9\nhello,1\n".encode("cp1252"))
    result = run("in.csv", "-o", "out")
    assert result.exit_code == 1
    assert "the header is not UTF-8" in result.output


def test_a_scan_that_is_refused_at_once_leaves_nothing(here: Path) -> None:
    Path("in.jsonl").write_text('[{"text": "good day"}]', encoding="utf-8")
    result = run("in.jsonl", "-o", "out")
    assert result.exit_code == 1
    assert "JSON array" in result.output
    assert [path.name for path in here.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_columns_of_other_delimiters_are_named(delimiter: str, here: Path) -> None:
    Path("in.csv").write_text(delimiter.join(["id", "Comment", "note"]) + "\n", encoding="utf-8")
    result = run("in.csv", "-o", "out")
    assert "there are: 'id', 'Comment', 'note'" in " ".join(result.output.split())


def test_a_first_row_in_the_place_of_a_header_is_not_shown_whole(here: Path) -> None:
    Path("in.csv").write_text(f"1,{'a secret that nobody should read ' * 3}\n", encoding="utf-8")
    output = " ".join(run("in.csv", "-o", "out").output.split())
    assert "'a secret that nobody should..." in output.replace("shoul...", "should...")
    assert "read a secret" not in output


COMMENTS = ["id,text", f'1,"{INSULT}"', "2,caf\u00e9 and cake", "3,thank you \u2013 that was kind"]


@pytest.mark.parametrize(
    ("encoding", "options"),
    [
        pytest.param("utf-16", [], id="UTF-16 with a byte order mark"),
        pytest.param("utf-8-sig", [], id="UTF-8 with one"),
        pytest.param("utf-32", [], id="UTF-32 with one"),
        pytest.param("utf-16-le", ["--encoding", "utf-16-le"], id="UTF-16 without"),
        pytest.param("cp1252", ["--encoding", "cp1252"], id="Windows"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_encodings_and_gzip(encoding: str, options: list[str], packed: bool, here: Path) -> None:
    (here / "plain.csv").write_text("\n".join(COMMENTS) + "\n", encoding="utf-8")
    assert run("plain.csv", "-o", "plain.jsonl", "--keep", "text").exit_code == 0
    data = ("\r\n".join(COMMENTS) + "\r\n").encode(encoding)
    name = "in.csv.gz" if packed else "in.csv"
    (here / name).write_bytes(gzip.compress(data) if packed else data)
    result = run(name, "-o", "out.jsonl", "--keep", "text", *options)
    assert result.exit_code == 0, result.output
    assert read("out.jsonl") == read("plain.jsonl")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"PK\x03\x04 and so on", "is a zip archive, as .xlsx is", id="zip"),
        pytest.param(
            "id,text\n1,hello there\n".encode("utf-16-le"), "looks like utf-16-le", id="UTF-16 without"
        ),
        pytest.param(b"id,text\n1,a\x00b\n", "has NUL bytes: it is no text", id="NUL"),
        pytest.param(b"\x1f\x8bnot gzip", "is not intact gzip", id="not gzip"),
        pytest.param(b"PAR1....", "is Parquet", id="Parquet"),
    ],
)
def test_what_is_no_text_is_refused_in_a_sentence(content: bytes, problem: str, here: Path) -> None:
    (here / "in.csv").write_bytes(content)
    result = run("in.csv", "-o", "out.jsonl")
    assert result.exit_code == 1
    assert problem in result.output
    assert run("in.csv", "-o", "out.jsonl", "--encoding", "klingon").exit_code == 1


@pytest.mark.parametrize("content", ['[{"text": "a"}]', '[\n{"text": "a"},\n{"text": "b"}\n]'])
def test_json_array_is_refused(content: str, here: Path) -> None:
    (here / "export.json").write_text(content)
    result = run("export.json", "-o", "out.jsonl")
    assert result.exit_code == 1
    assert "is a JSON array; rows are one JSON object a line" in result.output


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
def test_delimiters_are_found_out(delimiter: str, here: Path) -> None:
    (here / "in.csv").write_text(
        delimiter.join(["id", " Text ", "at"]) + "\n" + delimiter.join(["1", INSULT, "x"]) + "\n"
    )
    result = run("in.csv", "-o", "out.jsonl")
    assert result.exit_code == 0, result.output
    assert read("out.jsonl")[0]["decision"] == "review"


def test_members_of_members_are_followed(here: Path) -> None:
    rows = [{"comment": {"body": INSULT, "by": {"id": 7}}}, {"comment.body": INSULT}, {"comment": [1]}]
    (here / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--text-field", "comment.body", "--keep", "comment.by.id"]
    result = run("in.jsonl", "-o", "out.jsonl", *options)
    assert result.exit_code == 0, result.output
    assert [row["comment.by.id"] for row in read("out.jsonl")] == [7, None]
    assert run("in.jsonl", "-o", "again.jsonl", "--text-field", "/comment/body").exit_code == 0
    assert len(read("again.jsonl")) == 1
    assert run("in.jsonl", "-o", "strict.jsonl", "--strict", *options).exit_code == 1


def test_summary_says_what_was_wrong_and_names_the_option(here: Path) -> None:
    (here / "in.csv").write_bytes(b"text\nhello there\ncaf\xe9\n")
    result = run("in.csv", "-o", "out.jsonl")
    assert result.exit_code == 0
    assert "1: not UTF-8" in result.output
    assert "--encoding" in result.output
