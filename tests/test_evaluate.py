"""content-moderator evaluate: figures against what can be computed by hand, and the command."""

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from content_moderator.cli import main
from content_moderator.core.classification import Classification
from content_moderator.core.label import Label
from content_moderator.core.policy import Policy, Rule
from content_moderator.evaluation.labelled import LabelledRow, read_rows
from content_moderator.evaluation.report import LabelReport, reports
from tests.fake import HARMLESS, IDENTITY
from tests.fault_server import FaultServer, unused_port
from tests.live import ROOT

KIND = [
    "thank you",
    "see you at the station",
    "what a lovely day",
    "good morning",
    "that was kind",
    "well done",
]
UNKIND = [
    "you are such a pathetic idiot",
    "shut up, you stupid moron",
    "what a worthless idiot you are",
    "you are a disgusting loser",
    "nobody likes you, idiot",
    "you dumb idiot, go away",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODERATOR_CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.chdir(tmp_path)
    rows = [{"text": text, "labels": {"HR": False, "S3": False}} for text in KIND]
    rows += [{"text": text, "labels": {"HR": True}} for text in UNKIND]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["evaluate", *arguments])


def report(truth: list[bool], scores: list[float], rule: Rule | None = None) -> LabelReport:
    policy = Policy({"embedded": {"V": rule or Rule()}})
    verdicts = [policy.judge(Classification(HARMLESS | {Label.V: score}, IDENTITY)) for score in scores]
    rows = [LabelledRow("x", {"V": value}) for value in truth]
    [only] = reports(rows, verdicts, policy.rules[IDENTITY.name])
    return only


def test_figures_are_those_computed_by_hand() -> None:
    truth = [True] * 5 + [False] * 5
    scores = [0.9, 0.8, 0.7, 0.6, 0.3, 0.5, 0.4, 0.2, 0.1, 0.0]
    found = report(truth, scores, Rule(0.5, 0.85))
    assert (found.rows, found.positives) == (10, 5)
    # The five positives are at ranks 1, 2, 3, 4 and 7.
    assert found.auprc == pytest.approx((1 + 1 + 1 + 1 + 5 / 7) / 5)
    # Of 25 pairs two are the wrong way round.
    assert found.auroc == pytest.approx(23 / 25)
    # Each row is alone in its bin of ten.
    assert found.calibration == pytest.approx(np.mean(np.abs(np.array(truth) - np.array(scores))))
    assert (found.at["review"].precision, found.at["review"].recall) == (0.8, 0.8)
    assert (found.at["block"].precision, found.at["block"].recall) == (1.0, 0.2)


def test_too_few_rows_give_no_figure() -> None:
    few = report([True] * 4 + [False] * 6, [0.5] * 10, Rule(0.9))
    assert (few.auprc, few.auroc) == (None, None)
    assert few.at["review"].precision is None
    assert report([False], [0.1], Rule(0.9)).at["review"].recall == 0.0


def test_unknown_labels_are_left_out_and_any_follows() -> None:
    lines = [b'{"text": "a", "labels": {"V": true}}', b'{"text": "b", "labels": {"S": false}}']
    rows, bad = read_rows(lines, ["S", "V", "ANY"])
    assert bad == []
    assert rows[0].labels == {"V": True, "ANY": True}
    assert rows[1].labels == {"S": False}


def test_table_names_the_classifier_and_every_known_label(here: Path) -> None:
    result = run("rows.jsonl")
    assert result.exit_code == 0, result.output
    assert "embedded: content-moderator-embedded, revision" in result.output
    cells = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
        for line in result.output.splitlines()
        if line.startswith("│")
    }
    assert cells.keys() == {"HR", "S3", "ANY"}
    assert cells["HR"][:4] == ["12", "6", "1.000", "1.000"]
    assert cells["HR"][5].startswith("0.47: 1.000 / ")
    assert cells["HR"][6] == "never"
    assert cells["S3"][:4] == ["6", "0", "-", "-"]


def test_json_has_the_same_figures(here: Path) -> None:
    found = json.loads(run("rows.jsonl", "--json").stdout)
    assert found["classifier"]["name"] == "embedded"
    assert found["labels"]["HR"]["auprc"] == 1.0
    assert found["labels"]["HR"]["at"]["review"]["threshold"] == 0.47


def test_plot_is_a_picture(here: Path) -> None:
    assert run("rows.jsonl", "--plot", "plot.png").exit_code == 0
    assert (here / "plot.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_bad_rows_are_listed_and_can_be_left_out(here: Path) -> None:
    with (here / "rows.jsonl").open("a") as file:
        file.write('{"text": "x", "labels": {"XX": true}}\n')
    refused = run("rows.jsonl")
    assert refused.exit_code == 1
    assert "line 13: labels.XX: Unknown label; there are: S, H," in refused.output
    assert run("rows.jsonl", "--skip-bad-rows").exit_code == 0


def test_no_rows_are_told(here: Path) -> None:
    (here / "empty.jsonl").write_text("\n")
    assert "there are no rows" in run("empty.jsonl").output


def test_stand_in_is_not_measured_for_another(
    here: Path, upstream: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODERATOR__CLASSIFIER__NAME", "koala")
    monkeypatch.setenv("MODERATOR__CLASSIFIER__CONFIG__URL", f"http://127.0.0.1:{unused_port()}/")
    monkeypatch.setenv("MODERATOR__CLASSIFIER__ON_UNAVAILABLE", "embedded")
    monkeypatch.setenv("BEARER_TOKEN", "hf_secret")
    result = run("rows.jsonl")
    assert result.exit_code == 1
    assert "a stand-in answered some rows" in result.output


def test_missing_extra_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "content_moderator.evaluation.plot":
            raise ModuleNotFoundError(name="matplotlib")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert run("rows.jsonl").exit_code == 0, "only a plot needs it"
    result = run("rows.jsonl", "--plot", "plot.png")
    assert result.exit_code == 1
    assert "content-moderator evaluate: matplotlib is not installed; " in result.output
    assert "-m pip install '" in result.output
    assert "[evaluate]'" in result.output
