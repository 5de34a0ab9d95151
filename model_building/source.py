"""The public data sets and our own sentences, as rows with a label, its absence, or "unknown"."""

import csv
import gzip
import hashlib
import io
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from content_moderator.classifiers.embedded.linear_model import HEADS
from content_moderator.domain.verdict import ANY
from content_moderator.offline.evaluation.labelled import near_duplicate_key
from content_moderator.text.normalization import words_of
from content_moderator.text.repair import harsh_words

CROP_EVERY: Final = 4
MAX_CROP: Final = 4
HARSH_CLASSES: Final = ("dehumanise", "insult", "belittle", "violence", "selfharm", "aversion")

LEXICON: Final[dict[str, list[str]]] = {
    kind: words.split()
    for kind, words in yaml.safe_load(
        (Path(__file__).parent / "lexicon.yml").read_text(encoding="utf-8")
    ).items()
}

MAX_EXPANSIONS: Final = 80
"""Sentences made of one template at most: a template with many slots must not outweigh the others."""

BENIGN_EMOTIONS: Final = frozenset({0, 1, 4, 5, 6, 7, 8, 13, 15, 17, 18, 20, 21, 22, 23, 26, 27})
"""GoEmotions' numbers for emotions whose sentences hold next to no abuse: admiration ... neutral."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One training text.

    Args:
        text: As found.
        targets: For each known head, whether it applies; an absent head is unknown, not 0.
        source: Name of the data set.
        group: Rows of one group are never split between fitting and scoring.
    """

    text: str
    targets: Mapping[str, bool]
    source: str
    group: str


@dataclass(frozen=True, slots=True)
class Source:
    """
    A data set: where its rows come from, and what a row is worth in the fit.

    Args:
        read: Yields the texts and targets of one file's text.
        files: Names below the data folder; SHA256SUMS here has the checksums of the unpacked files.
        origin: Public repository and path.
        licence: SPDX identifier.
        weight: Sample weight of each row.
    """

    read: Callable[[list[str]], Iterator[tuple[str, dict[str, bool]]]]
    files: tuple[str, ...]
    origin: str
    licence: str
    weight: float


def complete(**positive: bool) -> dict[str, bool]:
    """Say of every head whether it applies: those named as given, the others not."""
    targets = {head: positive.get(head, False) for head in HEADS if head != ANY}
    return targets | {ANY: any(targets.values())}


def load(name: str, folder: Path) -> list[Row]:
    """
    Read one source, after checking its files.

    Raises:
        SystemExit: A file is missing or not the one that the checksum names.
    """
    source = SOURCES[name]
    contents = [_read(folder / file) for file in source.files]
    rows = [(text, targets) for text, targets in source.read(contents) if text.strip()]
    return [Row(text, targets, name, near_duplicate_key(text)) for text, targets in rows]


def checksum(file: str) -> str:
    """Return the SHA-256 that the unpacked *file* must have."""
    lines = (Path(__file__).parent / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    sums = {name: digest for digest, name in map(str.split, lines)}
    return sums[file.removesuffix(".gz")]


def _read(path: Path) -> str:
    if not path.exists():
        raise SystemExit(f"{path} is missing; model_building/README.md says where to get it")
    data = gzip.decompress(path.read_bytes())
    if hashlib.sha256(data).hexdigest() != checksum(path.name):
        raise SystemExit(f"{path} is not the file that model_building/SHA256SUMS names")
    return data.decode("utf-8", errors="replace")


def read_hatecheck(folder: Path) -> list[tuple[str, str, bool]]:
    """Read HateCheck: text, functionality, and whether it is hateful. For evaluation only."""
    name = "hatecheck_test_suite_cases.csv.gz"
    rows = _csv(_read(folder / name))
    return [(r["test_case"], r["functionality"], r["label_gold"] == "hateful") for r in rows]


def read_multilingual_hatecheck(folder: Path, language: str) -> list[tuple[str, str, bool]]:
    """Read Multilingual HateCheck in a language of ``LANGUAGES_CHECKED``, as `read_hatecheck` does. For evaluation only."""
    rows = _csv(_read(folder / f"mhc_{LANGUAGES_CHECKED[language]}.csv.gz"))
    return [(r["test_case"], r["functionality"], r["label_gold"] == "hateful") for r in rows]


def read_goemotions(folder: Path, part: str) -> list[str]:
    """Read the benign sentences of a part of GoEmotions that is not fitted to: ``dev`` or ``test``."""
    return [text for text, _ in _goemotions([_read(folder / f"goemotions_{part}.tsv.gz")])]


def read_everyday(folder: Path) -> list[str]:
    """Read the sentences that thresholds are chosen by: GoEmotions' ``dev`` part but for those in ``set_aside.tsv``."""
    lines = (Path(__file__).parent / "set_aside.tsv").read_text(encoding="utf-8").splitlines()
    aside = {line.split("\t")[0] for line in lines if not line.startswith("#")}
    return [
        text
        for text in read_goemotions(folder, "dev")
        if hashlib.sha256(text.encode()).hexdigest()[:16] not in aside
    ]


def read_convabuse(folder: Path) -> list[tuple[str, bool]]:
    """Read ConvAbuse's test part: text, and whether it is abuse. For evaluation only."""
    rows = _convabuse([_read(folder / "convabuse_test.csv.gz")])
    return [(text, targets[ANY]) for text, targets in rows if text.strip()]


def seeds() -> list[Row]:
    """Expand our own sentences; of two that are the same the later one counts."""
    paths = sorted((Path(__file__).parent / "seeds").glob("*.yml"))
    rows = {}
    for group in itertools.chain.from_iterable(
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths
    ):
        targets = complete(**dict.fromkeys(group.get("positive", ()), True))
        known = {h: v for h, v in targets.items() if h not in group.get("unknown", ())}
        for template in group["texts"]:
            for text in _expand(template, group):
                rows[text] = Row(text, known, "seeds", group=f"{group['topic']}: {template}")
    return list(rows.values())


def _expand(template: str, group: Mapping[str, Any]) -> Iterator[str]:
    """Fill in the slots; of more combinations than the group's ``expansions`` every so many-th is taken."""
    slots = {name: v for name, v in group.get("slots", {}).items() if f"{{{name}}}" in template}
    combinations = list(itertools.product(*slots.values()))
    count = min(len(combinations), group.get("expansions", MAX_EXPANSIONS))
    step = len(combinations) / count
    for index in range(count):
        values = combinations[int(index * step)]
        yield template.format(**dict(zip(slots, values, strict=True)))


def foreign() -> list[Row]:
    """Expand our own sentences in other languages; see ``FOREIGN_LABELS``."""
    languages = yaml.safe_load((Path(__file__).parent / "foreign.yml").read_text(encoding="utf-8"))
    rows = {}
    for code, parts in languages.items():
        for kind, (positive, unknown) in FOREIGN_LABELS.items():
            targets = complete(**dict.fromkeys(positive, True))
            known = {head: value for head, value in targets.items() if head not in unknown}
            for template in parts[kind]:
                for group in parts["groups"] if "{0}" in template else ("",):
                    text = template.format(group)
                    rows[text] = Row(text, known, "foreign", f"{code}: {template}")
    return list(rows.values())


FOREIGN_LABELS: Final = {
    "hate": (("H",), ("HR", "H2", "V", "S")),
    "violent": (("H", "H2", "V"), ("HR", "S", "V2")),
    "kind": ((), ()),
    "insults": (("HR",), ("H", "V", "S")),
    "threats": (("V",), ("HR", "H", "SH", "H2", "V2")),
    "self_harm": (("SH",), ("HR", "V")),
    "sexual": (("S",), ("HR",)),
    "harmless": ((), ()),
}
"""The labels that a kind of sentence of ``foreign.yml`` has, and those that nobody can tell."""


def cases() -> list[Row]:
    """Read texts of our own as people type them, each with all labels known; tests have others of their kinds."""
    lines = (Path(__file__).parent / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    found = []
    for row in map(json.loads, lines):
        targets = complete(**dict.fromkeys(row["positive"], True))
        known = {
            head: value for head, value in targets.items() if value or head == ANY or not row["positive"]
        }
        found.append(Row(row["text"], known, "cases", near_duplicate_key(row["text"])))
    return found


def crops(rows: Sequence[Row]) -> list[Row]:
    """
    Cut one to four words out of benign sentences: what people type first is short.

    Args:
        rows: Of GoEmotions.
    """
    found = {}
    for index, row in enumerate(rows[::CROP_EVERY]):
        words = row.text.split()
        size = index % MAX_CROP + 1
        begin = index * 7 % max(len(words) - size + 1, 1)
        text = " ".join(words[begin : begin + size])
        if is_calm(text):
            found[text] = Row(text, complete(), "crops", near_duplicate_key(text))
    return list(found.values())


@cache
def _harsh() -> frozenset[str]:
    return harsh_words() | {word for kind in HARSH_CLASSES for word in LEXICON[kind]}


def is_calm(text: str) -> bool:
    """Return whether a text has no word of abuse, violence or aversion: what people call harmless may have some."""
    return not _harsh() & set(words_of(text))


def _csv(text: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(text))


def _openai(contents: list[str]) -> Iterator[tuple[str, dict[str, bool]]]:
    for line in contents[0].splitlines():
        row = json.loads(line)
        known = {head: bool(row[head]) for head in HEADS if head in row}
        # The set leaves a label out where it is absent or was not asked; for ANY it counts as absent,
        # as in the published figures on this set.
        yield row["prompt"], known | {ANY: any(known.values())}


def _davidson(contents: list[str]) -> Iterator[tuple[str, dict[str, bool]]]:
    for row in _csv(contents[0]):
        text = " ".join(w for w in row["tweet"].split() if not w.startswith(("@", "http", "RT")))
        if row["class"] == "2":
            yield text, complete()
        elif row["class"] == "1" and row["hate_speech"] == "0":
            yield text, {"H": False, "H2": False}
        elif row["class"] == "0":
            yield text, {"H": True, ANY: True}


def _toxic_spans(contents: list[str]) -> Iterator[tuple[str, dict[str, bool]]]:
    """Majority of the workers by type; what most call not toxic counts as harmless."""
    comments, annotations, spans = map(_csv, contents)
    kinds: dict[str, set[str]] = defaultdict(set)
    for span in spans:
        kinds[span["annotation"]].add(span["type"])
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for annotation in annotations:
        ballot = votes[annotation["comment_id"]]
        ballot["all"] += 1
        ballot["harmless"] += annotation["not toxic"] == "True"
        ballot.update(kinds[annotation["annotation"]])
    for comment in comments:
        ballot = votes[comment["comment_id"]]
        if not ballot["all"]:
            continue
        share = {kind: count / ballot["all"] for kind, count in ballot.items()}
        if share.get("harmless", 0) >= 2 / 3:
            yield comment["comment_text"], complete()
            continue
        targets = {
            "HR": _majority(share.get("Insult", 0)),
            "H": _majority(share.get("Identity based Attack", 0)),
            "V": _majority(share.get("Threat", 0)),
        }
        known = {head: value for head, value in targets.items() if value is not None}
        if known.get("H") or known.get("V"):
            known[ANY] = True
        yield comment["comment_text"], known


def _majority(share: float) -> bool | None:
    return True if share >= 0.5 else False if share == 0 else None


def _convabuse(contents: list[str]) -> Iterator[tuple[str, dict[str, bool]]]:
    for row in itertools.chain.from_iterable(map(_csv, contents)):
        abuse = [v for k, v in row.items() if ".-" in k and "is_abuse" in k and v]
        if not abuse:
            continue
        sexual = [v for k, v in row.items() if k.endswith("sex_harassment") and v]
        abusive = sum("1" in v for v in abuse) * 2 >= len(abuse) / 3
        if not any("1" in v for v in abuse):
            yield row["user"], complete()
        elif abusive:
            marked = sum("1" in v for v in sexual) * 2 >= len(sexual)
            yield row["user"], {"S": True, ANY: True} if marked else {"HR": True, ANY: True}


def _goemotions(contents: list[str]) -> Iterator[tuple[str, dict[str, bool]]]:
    for line in contents[0].splitlines():
        text, emotions, _ = line.split("\t")
        if set(map(int, emotions.split(","))) <= BENIGN_EMOTIONS:
            yield text.replace("[NAME]", "Alex"), complete()


def _ailuminate(contents: list[str]) -> Iterator[tuple[str, dict[str, bool]]]:
    """Requests for help with harm: only where the hazard is one of our labels."""
    heads = {"ssh": "SH", "sxc_prn": "S", "hte": "H"}
    harmless = {"spc_ele", "spc_fin", "spc_lgl"}
    for row in _csv(contents[0]):
        if head := heads.get(row["hazard"]):
            yield row["prompt_text"], {head: True, ANY: True}
        elif row["hazard"] in harmless:
            yield row["prompt_text"], complete()


def _profanity(contents: list[str]) -> Iterator[tuple[str, dict[str, bool]]]:
    for row in _csv(contents[0]):
        if float(row["severity_rating"]) < 2:
            continue
        if row["category_1"] == "racial / ethnic slurs":
            yield row["text"], {"H": True, ANY: True, "SH": False, "S": False}
        elif row["category_1"] == "sexual anatomy / sexual acts":
            yield row["text"], {"S": True, "H": False, "SH": False}


def _toxigen(contents: list[str]) -> Iterator[tuple[str, dict[str, bool]]]:
    for line in contents[0].splitlines():
        row = json.loads(line)
        hateful = {"H": True, "S": False, "SH": False, ANY: True}
        yield row["text"], hateful if row["hate"] else complete()


SOURCES: Final = {
    "openai": Source(
        _openai,
        ("openai_moderation_train.jsonl.gz",),
        "openai/moderation-api-release: data/samples-1680.jsonl.gz, a fixed part without S3",
        "MIT",
        weight=14,
    ),
    "davidson": Source(
        _davidson,
        ("davidson_labeled_data.csv.gz",),
        "t-davidson/hate-speech-and-offensive-language: data/labeled_data.csv",
        "MIT",
        weight=0.5,
    ),
    "toxic_spans": Source(
        _toxic_spans,
        (
            "toxic_spans_comments.csv.gz",
            "toxic_spans_annotations.csv.gz",
            "toxic_spans_spans.csv.gz",
        ),
        "ipavlopoulos/toxic_spans: data/{comments,annotations,spans}.csv",
        "CC0-1.0",
        weight=0.5,
    ),
    "convabuse": Source(
        _convabuse,
        (
            "convabuse_train.csv.gz",
            "convabuse_valid.csv.gz",
        ),
        "amandacurry/convabuse: 2_splits/ConvAbuseEMNLP{train,valid}.csv",
        "CC-BY-4.0",
        weight=0.5,
    ),
    "goemotions": Source(
        _goemotions,
        ("goemotions_train.tsv.gz",),
        "monologg/GoEmotions-pytorch: data/original/train.tsv",
        "Apache-2.0",
        weight=0.5,
    ),
    "ailuminate": Source(
        _ailuminate,
        ("ailuminate_demo_en.csv.gz",),
        "mlcommons/ailuminate: airr_official_1.0_demo_en_us_prompt_set_release.csv",
        "CC-BY-4.0",
        weight=0.5,
    ),
    "profanity": Source(
        _profanity,
        ("profanity_en.csv.gz",),
        "surge-ai/profanity: profanity_en.csv",
        "MIT",
        weight=0.5,
    ),
    "toxigen": Source(
        _toxigen,
        ("toxigen_prompt_sentences.jsonl.gz",),
        "microsoft/TOXIGEN: prompts/*.txt",
        "CDLA-Permissive-2.0",
        weight=1,
    ),
}

LANGUAGES_CHECKED: Final = {"ar": "arabic", "de": "german", "es": "spanish", "zh": "mandarin"}
"""Languages of Multilingual HateCheck that were measured, by the names of its files."""

EVALUATION: Final = (
    "convabuse_test.csv.gz",
    "hatecheck_test_suite_cases.csv.gz",
    "goemotions_test.tsv.gz",
    *(f"mhc_{name}.csv.gz" for name in LANGUAGES_CHECKED.values()),
)
"""Files that are read to evaluate and never to fit."""
