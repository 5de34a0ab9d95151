"""content-moderator evaluate: figures against what can be computed by hand, and the command."""

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from content_moderator.cli.main import main
from content_moderator.config.settings import PolicySettings
from content_moderator.domain.classification import Classification
from content_moderator.domain.errors import ScanError
from content_moderator.domain.label import Label
from content_moderator.domain.policy import Policy, Rule
from content_moderator.offline.evaluation.labelled import LabelledRow, parse_maps, read_rows
from content_moderator.offline.evaluation.report import LabelReport, reports
from tests.support.fake import HARMLESS, IDENTITY
from tests.support.fault_server import FaultServer, unused_port
from tests.support.paths import ROOT

REVIEWED = PolicySettings().thresholds["embedded"]["HR"].review
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
    assert cells["HR"][5].startswith(f"{REVIEWED}: 1.000 / ")
    assert cells["HR"][6] == "never"
    assert cells["S3"][:4] == ["6", "0", "-", "-"]


def test_json_has_the_same_figures(here: Path) -> None:
    found = json.loads(run("rows.jsonl", "--json").stdout)
    assert found["classifier"]["name"] == "embedded"
    assert found["labels"]["HR"]["auprc"] == 1.0
    assert found["labels"]["HR"]["at"]["review"]["threshold"] == REVIEWED


def test_plot_is_a_picture(here: Path) -> None:
    assert run("rows.jsonl", "--plot", "plot.png").exit_code == 0
    assert (here / "plot.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_bad_rows_are_listed_and_can_be_left_out(here: Path) -> None:
    with (here / "rows.jsonl").open("a") as file:
        file.write('{"text": "x", "labels": {"XX": true}}\n')
    refused = run("rows.jsonl")
    assert refused.exit_code == 1
    assert "line 13: 'XX' is no label; there are: S, H," in refused.output
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
        if name == "content_moderator.offline.evaluation.plot":
            raise ModuleNotFoundError(name="matplotlib")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert run("rows.jsonl").exit_code == 0, "only a plot needs it"
    result = run("rows.jsonl", "--plot", "plot.png")
    assert result.exit_code == 1
    assert "content-moderator evaluate: matplotlib is not installed; " in result.output
    assert "-m pip install -e '" in result.output
    assert "[evaluate]'" in result.output


JIGSAW = "id,comment_text,toxic,severe_toxic,obscene,threat,insult,identity_hate\n"


@pytest.mark.parametrize(
    ("content", "options", "labels"),
    [
        pytest.param(
            JIGSAW + 'a1,"you, idiot",1,0,0,0,1,0\n',
            [],
            {"ANY": True, "V": False, "HR": True, "H": False},
            id="Jigsaw",
        ),
        pytest.param("test_case,label_gold\nhello,non-hateful\n", [], {"H": False}, id="HateCheck"),
        pytest.param(
            '{"prompt": "x", "S": 0, "HR": 1, "more": 5}\n',
            [],
            {"S": False, "HR": True, "ANY": True},
            id="OpenAI",
        ),
        pytest.param(
            '{"text": "x", "labels": {"harassment": true}}\n', [], {"HR": True, "ANY": True}, id="categories"
        ),
        pytest.param(
            "body;bad\nx;yes\n",
            ["--text-field", "body", "--map", "bad=V"],
            {"V": True, "ANY": True},
            id="a map",
        ),
        pytest.param(
            "text,kind\nx,abuse\n",
            ["--map", "kind:abuse=HR,kind:hate=H"],
            {"HR": True, "H": False, "ANY": True},
            id="values",
        ),
        pytest.param("text,toxic\nx,0.7\n", ["--map", "toxic=ANY"], {"ANY": True}, id="a share"),
        pytest.param(
            "text,toxic,threat\nx,-1,1\n",
            ["--map", "toxic=ANY,threat=V"],
            {"V": True, "ANY": True},
            id="unknown",
        ),
    ],
)
def test_shapes_that_people_have(
    content: str, options: list[str], labels: dict[str, bool], here: Path
) -> None:
    (here / "rows").write_text(content)
    names = ["S", "H", "V", "HR", "SH", "S3", "H2", "V2", "ANY"]
    maps = parse_maps(options[-1], names) if "--map" in options else []
    field = options[1] if "--text-field" in options else None
    [row], bad = read_rows(
        (here / "rows").read_bytes().splitlines(keepends=True), names, text_field=field, maps=maps
    )
    assert not bad
    assert row.labels == labels
    assert run("rows", *options).exit_code == 0


@pytest.mark.parametrize(
    ("content", "options", "problem"),
    [
        pytest.param("a,b\n1,2\n", [], "has no column for the text: 'a', 'b'. --text-field", id="no text"),
        pytest.param("text,b\n1,2\n", [], "no column is a label: 'text', 'b'. --map", id="no label"),
        pytest.param("text,b\n1,2\n", ["--map", "c=V"], "--map: no column 'c'", id="no such column"),
        pytest.param("text,b\n1,2\n", ["--map", "b=XX"], "'XX' is no label", id="no such label"),
        pytest.param('[{"text": "a"}]', [], "this is a JSON array", id="an array"),
        pytest.param("text,HR\nx,maybe\n", [], "line 2: 'HR' is neither true nor false", id="no truth"),
        pytest.param(
            '{"id": 7, "text": "x"}\n', [], "line 1 (id 7): no label is known", id="no label in a row"
        ),
    ],
)
def test_what_cannot_be_read_is_told(content: str, options: list[str], problem: str, here: Path) -> None:
    (here / "rows").write_text(content)
    result = run("rows", *options)
    assert result.exit_code == 1
    assert problem in result.output


def test_a_map_that_meets_nothing_is_told(here: Path) -> None:
    (here / "rows.csv").write_text("text,kind\nyou fool,abuse\ngood day,fine\n")
    result = run("rows.csv", "--map", "kind:abuze=HR")
    assert "--map kind:abuze=HR: no row has that label" in result.output
    assert "no row has" not in run("rows.csv", "--map", "kind:abuse=HR").output


def test_decision_as_a_whole_is_measured_and_errors_are_written(here: Path) -> None:
    with (here / "rows.jsonl").open("a") as file:
        file.write(json.dumps({"id": "odd", "text": "good morning everybody", "labels": {"HR": True}}) + "\n")
    result = run("rows.jsonl", "--errors", "wrong.jsonl")
    assert (
        "flagged: precision 1.000, recall 0.857, false alarms 0.000 (7 rows with a label, 6 without)"
        in result.output
    )
    [wrong] = map(json.loads, (here / "wrong.jsonl").read_text().splitlines())
    assert (wrong["line"], wrong["id"], wrong["decision"]) == (13, "odd", "allow")
    found = json.loads(run("rows.jsonl", "--json").stdout)
    assert found["decisions"]["blocked"]["recall"] == 0.0


def test_the_input_is_never_written_to(here: Path) -> None:
    before = (here / "rows.jsonl").read_bytes()
    for option in ("--errors", "--plot"):
        result = run("rows.jsonl", option, "rows.jsonl")
        assert result.exit_code == 2
        assert "is the input itself" in result.output
    assert (here / "rows.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param("text,HR\ryou idiot,1\r", "no header of CSV", id="old line ends"),
        pytest.param('text,"HR\nyou idiot,1\n', "no header of CSV", id="a quotation mark that stays open"),
        pytest.param("text,HR,HR\nyou idiot,1,0\n", "several columns are named 'HR'", id="a column twice"),
        pytest.param("Text,text,HR\nyou idiot,x,0\n", "several columns are named 'text'", id="two texts"),
    ],
)
def test_headers_that_cannot_be_read_are_refused(content: str, problem: str, here: Path) -> None:
    (here / "rows.csv").write_bytes(content.encode())
    result = run("rows.csv")
    assert result.exit_code == 1
    assert problem in result.output


def test_cells_that_say_nothing_are_unknown() -> None:
    lines = ["Text;hr;sh", "you idiot;1;NaN", "good day;0_1;0", "good night;0;n/a"]
    good, bad = read_rows((f"{line}\n".encode() for line in lines), ["HR", "SH", "ANY"])
    assert [dict(row.labels) for row in good] == [{"HR": True, "ANY": True}, {"HR": False}]
    assert [row.problem for row in bad] == ["'hr' is neither true nor false, nor a share"]


def test_an_unknown_label_is_named() -> None:
    with pytest.raises(ScanError, match="'FOO' is no label"):
        parse_maps("toxic=FOO", ["HR", "ANY"])
    [mapped] = parse_maps("Toxic=ANY", ["HR", "ANY"])
    good, _ = read_rows([b"text,toxic\n", b"you idiot,1\n"], ["HR", "ANY"], maps=[mapped])
    assert good[0].labels == {"ANY": True}
