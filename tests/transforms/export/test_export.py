"""A dataset is exported whole or not at all, by exporters of klue-beam and of packages of one's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import klue_beam
from klue_beam.transforms.export.jsonl import shorten_floats
from tests.plugins import install_plugin, plugin_environment


def test_jsonl_has_an_object_for_each_sentence_with_all_columns(undisturbed: Path, tmp_path: Path) -> None:
    dataset, path = klue_beam.open_dataset(undisturbed), tmp_path / "new" / "rows.jsonl"
    klue_beam.export(dataset, "jsonl", path)
    written = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    rows = dataset.rows().read_all()
    assert [list(row) for row in written] == [rows.column_names] * rows.num_rows
    back = pa.Table.from_pylist(written, schema=rows.schema)
    assert back.equals(rows)
    assert os.listdir(path.parent) == ["rows.jsonl"]


def test_floats_are_short_wherever_they_are() -> None:
    item = pa.struct([("score", pa.float32()), ("tags", pa.list_(pa.float32()))])
    values = [
        [{"score": 0.1, "tags": [0.7, None]}, None],
        None,
        [],
        [{"score": None, "tags": None}, {"score": 0.30000001, "tags": []}],
    ]
    assert shorten_floats(pa.array(values, pa.list_(item))).to_pylist() == [
        [{"score": 0.1, "tags": [0.7, None]}, None],
        None,
        [],
        [{"score": None, "tags": None}, {"score": 0.3, "tags": []}],
    ]
    sliced = pa.array(values, pa.list_(item)).slice(3)
    assert shorten_floats(sliced).to_pylist() == [[{"score": None, "tags": None}, {"score": 0.3, "tags": []}]]


def test_what_is_there_is_not_overwritten(undisturbed: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("kept")
    message = rf"`output` must not be there yet, got '{path}'\. Choose another, or take it away\."
    with pytest.raises(FileExistsError, match=message):
        klue_beam.export(klue_beam.open_dataset(undisturbed), "jsonl", path)
    assert path.read_text() == "kept"


def test_an_exporter_that_nobody_knows_is_refused(undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^`to` must be one of jsonl, got 'conllx'\. Choose one of them\.$"):
        klue_beam.export(klue_beam.open_dataset(undisturbed), "conllx", tmp_path / "rows")


def test_an_export_that_fails_leaves_nothing(undisturbed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(undisturbed), str(copy)], check=True)
    path = sorted((copy / "data").iterdir())[-1]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="A file of a dataset must be as it was written"):
        klue_beam.export(klue_beam.open_dataset(copy), "jsonl", tmp_path / "rows.jsonl")
    assert os.listdir(tmp_path) == ["copy"]


def test_an_entry_point_of_a_package_adds_an_exporter(undisturbed: Path, tmp_path: Path) -> None:
    """One file, and one line in the package's metadata."""
    code = '''"""Texts of each source in a file of its own."""
from klue_beam.transforms.export.base import Exporter


def write(dataset, folder):
    folder.mkdir()
    for batch in dataset.rows(columns=["record_index", "text"]):
        for record, text in zip(*(column.to_pylist() for column in batch.columns)):
            with (folder / f"{record}.txt").open("a") as file:
                file.write(text + "\\n")


EXPORTER = Exporter(name="folders", summary="a file a record", suffix="", write=write)
'''
    package = install_plugin(
        tmp_path / "site", "my_exports", code, {"klue_beam.exporters": {"folders": "my_exports:EXPORTER"}}
    )
    call = "import sys, klue_beam; klue_beam.export(klue_beam.open_dataset(sys.argv[1]), 'folders', sys.argv[2])"
    command = [sys.executable, "-c", call, undisturbed, tmp_path / "texts"]
    subprocess.run(command, check=True, env=plugin_environment(package))
    rows = klue_beam.open_dataset(undisturbed).rows().read_all().to_pylist()
    assert {path.name for path in (tmp_path / "texts").iterdir()} == {f"{row['record_index']}.txt" for row in rows}
    assert (tmp_path / "texts" / "0.txt").read_text().splitlines() == [
        row["text"] for row in rows if row["record_index"] == 0
    ]


def test_the_exporter_of_the_docs_works(undisturbed: Path, tmp_path: Path, checkout: Path) -> None:
    code = (checkout / "docs" / "stores.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exporters = {"klue_beam.exporters": {"texts": "texts_export:EXPORTER"}}
    package = install_plugin(tmp_path / "site", "texts_export", code, exporters)
    command = [
        sys.executable,
        "-m",
        "klue_beam",
        "export",
        undisturbed,
        "--to",
        "texts",
        "--output",
        tmp_path / "a.txt",
    ]
    subprocess.run(command, check=True, env=plugin_environment(package))
    texts = klue_beam.open_dataset(undisturbed).rows(columns=["text"]).read_all()["text"].to_pylist()
    assert (tmp_path / "a.txt").read_text(encoding="utf-8").splitlines() == texts
