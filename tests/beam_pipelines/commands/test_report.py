"""`klue-beam report`: one file, the same for the same dataset, harmless whatever the data say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from klue_beam import open_dataset
from klue_beam.beam_pipelines.cli import main


def read_data(path: Path) -> dict[str, Any]:
    """What the page draws."""
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.S
    )
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def report(dataset: Path, output: Path, *arguments: str) -> dict[str, Any]:
    assert main(["report", str(dataset), "--output", str(output), *arguments]) == 0
    return read_data(output)


def test_the_figures_are_those_of_the_rows(undisturbed: Path, tmp_path: Path) -> None:
    (figures,) = report(undisturbed, tmp_path / "report.html")["figures"]
    rows = open_dataset(undisturbed).rows().read_all().to_pylist()
    counts = dict(figures["counts"])
    assert counts["sentences"] == len(rows)
    assert counts["rejects"] == 1
    topics, entities, relations, arcs = figures["labels"]
    assert [one["task"] for one in figures["labels"]] == ["tc", "ner", "re", "dp"]
    assert {name: n for name, n, _ in topics["rows"]} == count(row["topic"]["label"] for row in rows)
    assert {name: n for name, n, _ in entities["rows"]} == count(e["label"] for row in rows for e in row["entities"])
    assert sum(arcs["bins"]) == arcs["total"] == sum(len(row["dependencies"]) for row in rows)
    assert [sum(column) for column in zip(*topics["by_part"], strict=True)][-1] == len(rows)
    for label, text, number in figures["entities"]:
        assert number == sum(e["text"] == text and e["label"] == label for row in rows for e in row["entities"])
    assert sum(number for *_, number in figures["types_by_topic"]) == entities["total"]
    assert sum(triple[5] for triple in figures["triples"]) <= relations["total"]
    characters = figures["lengths"][0]
    assert dict(characters["quantiles"])["most"] == max(len(row["text"]) for row in rows)
    assert sum(number for *_, number in characters["bins"]) == len(rows)
    (reject,) = (fault for fault in figures["faults"] if fault["kind"] == "reject")
    assert reject["count"] == 1
    assert reject["examples"][0][1] == 40
    assert '{"id": "broken", "te' in reject["examples"][0][3]


def count(values: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return found


def test_the_same_dataset_and_seed_give_the_same_file(undisturbed: Path, tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one.html", "two.html", "other.html"))
    report(undisturbed, one, "--sample", "5")
    report(undisturbed, two, "--sample", "5")
    assert one.read_bytes() == two.read_bytes()
    report(undisturbed, other, "--sample", "5", "--seed", "1")
    assert one.read_bytes() != other.read_bytes()


def test_each_label_has_a_sampled_sentence(undisturbed: Path, tmp_path: Path) -> None:
    data = report(undisturbed, tmp_path / "report.html", "--sample", "1")
    sampled = {entity["label"] for (row,) in data["samples"] for entity in row["entities"]}
    assert sampled == {name for name, *_ in data["figures"][0]["labels"][1]["rows"]}
    assert report(undisturbed, tmp_path / "none.html", "--sample", "0")["samples"] == []


def test_a_dataset_compared_with_itself_has_moved_no_label(undisturbed: Path, tmp_path: Path) -> None:
    data = report(undisturbed, tmp_path / "report.html", "--compare", str(undisturbed), "--sample", "5")
    rows = open_dataset(undisturbed).rows().read_all().num_rows
    assert data["moved"]["sentences"] == [rows, rows, rows]
    assert [one["moved"] for one in data["moved"]["labels"]] == [0, 0, 0, 0]
    assert [one["same"] for one in data["moved"]["labels"]] == [one["total"] for one in data["figures"][0]["labels"]]
    assert all(row == other for row, other in data["samples"])


def test_data_of_markup_are_harmless(undisturbed: Path, tmp_path: Path) -> None:
    bad = tmp_path / "<script>alert(1)<"
    bad.symlink_to(undisturbed)
    text = tmp_path / "report.html"
    data = report(bad, text, "--sample", "3")
    assert data["names"] == ["<script>alert(1)<"]
    page = text.read_text(encoding="utf-8")
    assert page.count("<script") == 2
    assert "<title>Report on &lt;script&gt;alert(1)&lt;</title>" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{none}"], "A dataset must hold a plan, got no "),
        (["{data}", "--compare", "{none}"], "A dataset must hold a plan, got no "),
        (["{data}", "--sample", "-1"], "`--sample` must be from 0 to 5,000, got -1. Leave it out for 300."),
        (["{data}", "--output", "{data}"], "`output` must not be there yet, got "),
    ],
)
def test_a_wrong_call_is_told_in_a_line(
    arguments: list[str],
    message: str,
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"none": tmp_path / "none", "data": undisturbed}
    assert main(["report", *(argument.format_map(places) for argument in arguments)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("klue-beam report: ")
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
