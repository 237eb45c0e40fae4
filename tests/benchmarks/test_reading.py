"""The sheet for readers: what it holds, what it hides, and what verdicts come to."""

import json
from pathlib import Path

import pytest

from benchmarks.reading import COLUMNS, Share, main, read_key, tabulate
from tests.tiny_models import SENTENCES, tiny_checkpoint


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reading")
    documents = [" ".join(SENTENCES[i:] + SENTENCES[:i]) for i in range(6)]
    lines = [json.dumps({"id": i, "text": text}, ensure_ascii=False) for i, text in enumerate(documents)]
    (folder / "docs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = tiny_checkpoint(folder / "model")
    other = tiny_checkpoint(folder / "other", seed=19)
    path = folder / "sheet.tsv"
    options = ["--model", str(model), "--model", str(other), "--each", "6", "--sheet", str(path), "--threads", "1"]
    assert main(["draw", "--text", f"news={folder / 'docs.jsonl'}", *options]) == 0
    return path


def rows(path: Path) -> list[dict[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "\t".join(COLUMNS)
    return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines[1:]]


def judge(path: Path, copy: Path, verdict: str) -> Path:
    lines = path.read_text(encoding="utf-8").splitlines()
    judged = [lines[0], *("\t".join([*line.split("\t")[:5], verdict, "a note"]) for line in lines[1:])]
    copy.write_text("\n".join(judged) + "\n", encoding="utf-8")
    return copy


def test_a_sheet_holds_what_both_models_found_and_hides_whose_it_is(sheet: Path) -> None:
    found = rows(sheet)
    assert {row["kind"] for row in found} == {"relation", "entity", "topic", "cut"}
    assert len({row["id"] for row in found}) == len(found)
    key = read_key(Path(f"{sheet}.key.jsonl"))
    assert {entry["id"] for entry in key} == {row["id"] for row in found}
    assert len({entry["model"] for entry in key}) == 2
    assert "model" not in sheet.read_text(encoding="utf-8").splitlines()[0]
    for row in found:
        if row["kind"] == "entity":
            name = row["sentence"].split("⟦")[1].split("⟧")[0]
            assert row["found"].startswith(f"{name}/")
        if row["kind"] == "cut":
            assert " ┃ " in row["sentence"]


def test_verdicts_are_counted_by_kind_text_label_and_band(sheet: Path) -> None:
    key = read_key(Path(f"{sheet}.key.jsonl"))
    verdicts = {row["id"]: "y" if i % 2 else "n" for i, row in enumerate(rows(sheet))}
    shares = {(kind, group): share for kind, group, share in tabulate(key, verdicts)}
    entities = [entry for entry in key if entry["kind"] == "entity"]
    assert shares["entity", "all"].of == len(entities)
    assert shares["entity", "text news"] == shares["entity", "all"]
    bands = [share.of for (kind, group), share in shares.items() if kind == "entity" and group.startswith("score")]
    assert sum(bands) == len(entities)
    low, high = Share(0, 10).interval
    assert low == 0
    assert 0.2 < high < 0.35


def test_two_readings_are_compared(sheet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, theirs = judge(sheet, tmp_path / "mine.tsv", "y"), judge(sheet, tmp_path / "theirs.tsv", "n")
    assert main(["count", str(mine), str(theirs), "--key", f"{sheet}.key.jsonl"]) == 0
    told = capsys.readouterr().out
    assert "read by both, 0.0 % alike" in told
    assert main(["count", str(judge(sheet, tmp_path / "bad.tsv", "maybe")), "--key", f"{sheet}.key.jsonl"]) == 2
    assert "a verdict must be y, n or ?" in capsys.readouterr().err
