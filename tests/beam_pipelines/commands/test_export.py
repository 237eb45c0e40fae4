"""`klue-beam export` lists formats, writes one, and says in a line what is wrong with a call."""

import json
from pathlib import Path

import pytest

from klue_beam import open_dataset
from klue_beam.beam_pipelines.cli import main


def test_an_export_tells_how_much_was_written(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    assert main(["export", str(undisturbed), "--to", "jsonl", "--output", str(path)]) == 0
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == open_dataset(undisturbed).rows().read_all()[
        "text"
    ].to_pylist()
    assert f"{len(lines)} sentences were written to {path}" in capsys.readouterr().out


def test_the_formats_are_listed_and_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--to"]) == 0
    assert capsys.readouterr().out == "jsonl         JSON Lines: one object a sentence, with all columns (.jsonl)\n"
    assert main(["export", "--help"]) == 0
    assert "the format: jsonl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "jsonl"], "`DIR`, `--output` must be given, got none"),
        (["{none}", "--to", "jsonl", "--output", "{out}"], "A dataset must hold a plan, got no "),
        (["{data}", "--to", "xml", "--output", "{out}"], "`to` must be one of jsonl, got 'xml'. Choose one of them."),
        (["{data}", "--to", "jsonl", "--output", "{data}"], "`output` must not be there yet, got "),
    ],
)
def test_a_wrong_call_is_told_in_a_line(
    arguments: list[str], message: str, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"none": tmp_path / "none", "data": undisturbed, "out": tmp_path / "out"}
    assert main(["export", *(argument.format_map(places) for argument in arguments)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("klue-beam export: ")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
