"""content-moderator train: the user's own labels, together with the shipped model."""

import builtins
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from content_moderator.classifiers.embedded.classifier import EmbeddedClassifier
from content_moderator.classifiers.embedded.linear_model import HEADS, EmbeddedModel
from content_moderator.cli.main import main
from content_moderator.domain.label import Label
from content_moderator.offline.evaluation.labelled import read_rows
from content_moderator.offline.finetuning.fit import STRENGTHS
from tests.support.fake import scored

FRIENDLY = [
    "thanks for the quick reply",
    "the build is green again",
    "I pushed the fix",
    "could you look at my branch",
    "the server is slow today",
    "see you at lunch",
]
RUDE = [
    "only a noob would write this",
    "nobody wants a noob here",
    "learn to read you noob",
    "typical noob question",
    "stop posting you noob",
    "go away noob",
]


def rows(count: int = 80) -> list[dict[str, Any]]:
    """Rows of a community where one harmless word is an insult."""
    generator = random.Random(3)
    texts = [
        (f"{generator.choice(FRIENDLY)} {generator.choice(FRIENDLY)} {n}", False) for n in range(count // 2)
    ]
    texts += [(f"{n} {generator.choice(RUDE)} {generator.choice(FRIENDLY)}", True) for n in range(count // 2)]
    return [{"text": text, "labels": {"HR": rude, "ANY": rude}} for text, rude in texts]


def written(folder: Path, lines: Sequence[object]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["train", *arguments])


def harassment(model: Path | None, text: str) -> float:
    [answer] = scored(EmbeddedClassifier.load(model), [text])
    return answer.scores[Label.HR]


def test_the_model_learns_the_rows_and_keeps_what_it_knew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "mine.bin"
    result = run(written(tmp_path, rows()), "-o", str(output))
    assert result.exit_code == 0, result.output
    assert harassment(None, "what a noob") < 0.3
    assert harassment(output, "what a noob") > 0.8
    for known in ("you are such a pathetic idiot", "What a lovely morning for a walk"):
        assert harassment(output, known) == pytest.approx(harassment(None, known), abs=0.15)
    [before], [after] = (
        scored(EmbeddedClassifier.load(p), ["let's have sex tonight"]) for p in (None, output)
    )
    assert after.scores[Label.S] == pytest.approx(before.scores[Label.S], abs=0.02)
    header = EmbeddedModel.load(output).header
    assert header["retrained_from"] == EmbeddedModel.load().revision
    assert header["retrained_on"]["rows"] == 80
    assert "noob" not in json.dumps(header)


def test_the_report_is_of_rows_that_the_fit_has_not_seen(tmp_path: Path) -> None:
    """Labels by the toss of a coin cannot be learnt, however well the fit remembers them."""
    generator = random.Random(5)
    coin = [row | {"labels": {"HR": generator.random() < 0.5}} for row in rows(200)]
    result = run(written(tmp_path, coin), "-o", str(tmp_path / "coin.bin"))
    assert result.exit_code == 0, result.output
    [line] = [line for line in result.output.splitlines() if line.startswith("HR")]
    auroc_after = float(line.split("->")[2].split()[0])
    assert 0.3 < auroc_after < 0.7


def test_a_head_without_both_kinds_of_rows_stays(tmp_path: Path) -> None:
    """Only positive rows say nothing about where a label ends."""
    only = [row | {"labels": {"HR": row["labels"]["HR"], "SH": True}} for row in rows()]
    output = tmp_path / "mine.bin"
    assert run(written(tmp_path, only), "-o", str(output)).exit_code == 0
    text = ["the build is green again"]
    [before], [after] = (scored(EmbeddedClassifier.load(path), text) for path in (None, output))
    assert after.scores[Label.SH] == pytest.approx(before.scores[Label.SH], abs=0.01)


def test_thresholds_are_suggested_where_there_are_rows_enough(tmp_path: Path) -> None:
    result = run(written(tmp_path, rows(240)), "-o", str(tmp_path / "m.bin"), "--false-alarms", "0.05")
    [line] = [line for line in result.output.splitlines() if line.startswith("HR")]
    assert 0 < float(line.split()[-1]) < 1
    assert "false alarms 5.0%" in result.output


LABELS = "S, H, V, HR, SH, H2, V2, ANY"
BAD_LINES = [
    ("nonsense", "not JSON"),
    ("[1]", "not an object"),
    ('{"labels": {"S": true}}', "no field text"),
    ('{"text": " \\t", "labels": {"S": true}}', "the text is blank"),
    ('{"text": "x"}', f"no label is known; there are: {LABELS}"),
    ('{"text": "x", "labels": {}}', f"no label is known; there are: {LABELS}"),
    (
        '{"text": "x", "labels": {"S3": true}}',
        f"'S3' is no label; there are: {LABELS}, or their categories",
    ),
    ('{"text": "x", "labels": {"S": "maybe"}}', "'S' is neither true nor false, nor a share"),
    ('{"text": "x", "labels": {"S": true, "ANY": false}}', "ANY is false, but a label is true"),
]


def test_bad_rows_are_listed_by_line_and_never_quoted(tmp_path: Path) -> None:
    lines = [rows(2)[0], "", *(line for line, _ in BAD_LINES)]
    output = tmp_path / "m.bin"
    result = run(written(tmp_path, lines), "-o", str(output))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        *(f"line {number}: {problem}" for number, (_, problem) in enumerate(BAD_LINES, start=3)),
        f"Error: {len(BAD_LINES)} bad rows; mend them, or leave them out by --skip-bad-rows",
    ]
    assert not output.exists()
    result = run(written(tmp_path, [*rows(), *["nonsense"] * 30]), "-o", str(output), "--skip-bad-rows")
    assert result.exit_code == 0
    assert "... and 10 more" in result.stderr
    assert output.exists()


def test_rows_that_teach_nothing_are_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.1, *[0.2] * len(STRENGTHS), 0.1])
    monkeypatch.setattr("content_moderator.offline.finetuning.train.log_loss", lambda *_: next(losses))
    result = run(written(tmp_path, rows()), "-o", str(tmp_path / "m.bin"))
    assert result.exit_code == 0
    assert "do not make the model better" in result.output


def test_any_follows_from_the_labels() -> None:
    def known(labels: dict[str, bool]) -> dict[str, bool]:
        [row], _ = read_rows([json.dumps({"text": " x ", "labels": labels}).encode()], HEADS)
        assert row.text == "x"
        return dict(row.labels)

    assert known({"S": True}) == {"S": True, "ANY": True}
    assert known({"S": False}) == {"S": False}
    nothing = dict.fromkeys(HEADS[:-1], False)
    assert known(nothing) == {**nothing, "ANY": False}


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    alike = [{"text": f"one two three four five six {n}", "labels": {"S": True}} for n in range(50)]
    result = run(written(tmp_path, alike), "-o", str(tmp_path / "m.bin"))
    assert result.exit_code == 1
    assert "Error: 1 rows that begin differently; at least 10 are needed" in result.stderr


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    output = tmp_path / "m.bin"
    output.write_bytes(b"precious")
    result = run(written(tmp_path, rows()), "-o", str(output))
    assert result.exit_code == 2
    assert "exists; --force overwrites it" in result.stderr
    assert output.read_bytes() == b"precious"
    assert run(written(tmp_path, rows()), "-o", str(output), "--force").exit_code == 0
    EmbeddedModel.load(output)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **kwargs: Any) -> Any:
        if name.startswith("content_moderator.offline.finetuning") and "train" in (rest[2] or ()):
            raise ModuleNotFoundError(name="sklearn")
        return real(name, *rest, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    result = run(written(tmp_path, rows()), "-o", str(tmp_path / "m.bin"))
    assert result.exit_code == 1
    assert "content-moderator train: sklearn is not installed; " in result.stderr
    assert "[train]'" in result.stderr


def test_retrained_models_can_be_retrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first.bin", tmp_path / "second.bin"
    assert run(written(tmp_path, rows()), "-o", str(first)).exit_code == 0
    monkeypatch.setenv("MODERATOR__CLASSIFIER__MODEL_PATH", str(first))
    assert run(written(tmp_path, rows()), "-o", str(second)).exit_code == 0
    assert EmbeddedModel.load(second).header["retrained_from"] == EmbeddedModel.load(first).revision
