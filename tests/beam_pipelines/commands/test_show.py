"""`klue-beam show`: the sentences chosen, drawn as the preview draws them."""

from pathlib import Path

import pytest

from klue_beam import open_dataset
from klue_beam.beam_pipelines.cli import main
from klue_beam.transforms.report.picking import Choice, pick_sentences


def heads(said: str, dataset: Path) -> list[str]:
    """The lines that tell which sentence is drawn."""
    rows = open_dataset(dataset).rows(columns=["doc_id", "sentence_index"]).read_all().to_pylist()
    known = {f"{row['doc_id']} · {row['sentence_index']}" for row in rows}
    return [head for line in said.splitlines() if (head := line.partition("  ")[0]) in known]


def show(capsys: pytest.CaptureFixture[str], dataset: Path, *arguments: str) -> list[str]:
    assert main(["show", str(dataset), *arguments]) == 0
    return heads(capsys.readouterr().out, dataset)


def test_a_document_is_drawn_whole_and_in_order(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(capsys, undisturbed, "--doc", "3") == ["3 · 0", "3 · 1"]
    assert show(capsys, undisturbed, "--doc", "3", "--limit", "1") == ["3 · 0"]


def test_a_sample_hangs_on_its_seed_alone(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = show(capsys, undisturbed)
    assert len(first) == 10
    assert show(capsys, undisturbed, "--sample", "10") == first
    assert show(capsys, undisturbed, "--sample", "4") == first[:4]
    assert show(capsys, undisturbed, "--sample", "10", "--seed", "1") != first


def test_choices_hold_together(undisturbed: Path) -> None:
    dataset = open_dataset(undisturbed)
    rows = dataset.rows().read_all().to_pylist()
    label = next(entity["label"] for row in rows for entity in row["entities"])
    have = [row for row in rows if label in {entity["label"] for entity in row["entities"]}]
    picked = pick_sentences(dataset, Choice(label=label, lowest="ner"))
    lowest = [min(entity["score"] for entity in row["entities"]) for row in picked]
    assert lowest == sorted(lowest)
    assert sorted(row["text"] for row in picked) == sorted(row["text"] for row in have)
    assert pick_sentences(dataset, Choice(where="sentence_index = 1")) == [r for r in rows if r["sentence_index"] == 1]
    assert pick_sentences(dataset, Choice(where="sentence_index = 9")) == []
    relation = next((one["label"] for row in rows for one in row["relations"]), None)
    if relation is not None:
        for row in pick_sentences(dataset, Choice(label=relation)):
            assert relation in {one["label"] for one in row["relations"]}


def test_no_sentence_is_told(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(undisturbed), "--doc", "none"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "klue-beam show: No sentence is so.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lowest", "xx"], "`lowest` must be a task of the dataset that has scores, tc, ner, re, dp, got 'xx'."),
        (["--where", "mood = 1"], 'Referenced column "mood" not found'),
        (["--where", "true); SELECT (1"], "The query must be one statement that reads, got "),
        (["--limit", "0"], "`--limit` must be at least 1, got 0."),
        (["--sample", "3", "--lowest", "ner"], "not allowed with argument"),
    ],
)
def test_a_wrong_call_is_told_in_a_line(
    arguments: list[str], message: str, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(undisturbed), *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("klue-beam show: ")
    assert message in said
    assert said.count("\n") == 1
