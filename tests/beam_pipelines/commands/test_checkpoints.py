"""Anyone's checkpoints, eleven of different kinds, annotate through the one command, and what they wrote verifies."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from klue_beam.beam_pipelines.cli import main
from klue_beam.schemas.labels import DEPRELS, RELATIONS, TOPICS
from tests.engines.corpus import read_rows
from tests.tiny_checkpoints import save_checkpoint, save_parser
from tests.tiny_models import SENTENCES, tiny_checkpoint

pytestmark = pytest.mark.slow

BIO = ("O", "B-PS", "I-PS", "B-OG", "I-OG", "B-DT", "I-DT")
BIOES = ("O", *(f"{mark}-{name}" for name in ("PER", "ORG", "EVT") for mark in "BIES"))
IO = ("O", "PS", "OG", "QT")

Save = Callable[[Path], object]


def classifier(kind: str, labels: Sequence[str]) -> Save:
    return lambda folder: save_checkpoint(folder, kind, labels, AutoModelForSequenceClassification)


def tagger(kind: str, labels: Sequence[str]) -> Save:
    return lambda folder: save_checkpoint(folder, kind, labels, AutoModelForTokenClassification)


def parser(kind: str) -> Save:
    return lambda folder: save_parser(folder, kind)


@dataclasses.dataclass(frozen=True)
class Case:
    """One run of the command.

    Attributes:
      checkpoints: what saves the checkpoint of each task.
      markers: how the one for relations marks the entities.
      topics, entities, relations: the labels that may come out.
    """

    checkpoints: Mapping[str, Save]
    markers: str
    topics: Sequence[str]
    entities: Sequence[str]
    relations: Sequence[str]


CASES = (
    Case(
        {
            "tc": classifier("bert-wordpiece", TOPICS),
            "ner": tagger("roberta-bytes", BIO),
            "re": classifier("bert-wordpiece", RELATIONS),
            "dp": parser("bert-wordpiece"),
        },
        "klue",
        TOPICS,
        ("PS", "OG", "DT"),
        RELATIONS,
    ),
    Case(
        {
            "tc": classifier("electra-wordpiece", ("경제", "연예", "날씨")),
            "ner": tagger("deberta-unigram", BIOES),
            "re": classifier("roberta-bytes", ("no_relation", *RELATIONS[1:8])),
            "dp": parser("roberta-unigram"),
        },
        "typed",
        ("경제", "연예", "날씨"),
        ("PS", "OG", "EVT"),
        RELATIONS[1:8],
    ),
    Case(
        {
            "tc": tiny_checkpoint,
            "ner": tagger("bert-wordpiece", IO),
            "re": classifier("electra-wordpiece", [label.upper() for label in RELATIONS]),
            "dp": tiny_checkpoint,
        },
        "punctuation",
        TOPICS,
        ("PS", "OG", "QT"),
        RELATIONS,
    ),
)


def annotate(case: Case, folder: Path) -> list[dict[str, Any]]:
    """Save the checkpoints, run the command over SENTENCES, verify what it wrote and read it."""
    source, dataset = folder / "글.txt", folder / "out"
    source.write_text("".join(f"{sentence}\n" for sentence in SENTENCES), encoding="utf-8")
    arguments = ["--input", str(source), "--output", str(dataset), "--splitter", "none", "--runner", "FnApiRunner"]
    saved: dict[Save, Path] = {}
    for task, save in case.checkpoints.items():
        if save not in saved:
            saved[save] = folder / task
            save(saved[save])
        arguments += [f"--{task}_model", str(saved[save])]
    assert main(["annotate", *arguments, "--re_markers", case.markers]) == 0
    assert main(["verify", str(dataset)]) == 0
    rows: list[dict[str, Any]] = read_rows(dataset).to_pylist()
    return rows


@pytest.mark.parametrize("case", CASES, ids=[case.markers for case in CASES])
def test_checkpoints_of_every_kind_annotate_through_the_same_command(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rows = annotate(case, tmp_path)
    assert [row["text"] for row in rows] == list(SENTENCES)
    assert all(row["topic"]["label"] in case.topics for row in rows)
    assert {entity["label"] for row in rows for entity in row["entities"]} <= set(case.entities)
    assert {relation["label"] for row in rows for relation in row["relations"]} <= set(case.relations) - {"no_relation"}
    assert {arc["deprel"] for row in rows for arc in row["dependencies"]} <= set(DEPRELS)
    assert [[arc["form"] for arc in row["dependencies"]] for row in rows] == [text.split() for text in SENTENCES]
    assert not [flag for row in rows for flag in row["flags"] if flag.endswith("_failed")]
    assert any(row["entities"] for row in rows)
    assert any(row["relations"] for row in rows)
