"""Datasets that version 0.1.0 wrote are verified, resumed and extended by this one, with the same rows."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from klue_beam.beam_pipelines.cli import main

DATASETS = Path(__file__).parent / "datasets" / "v0_1_0"
JSONL = ["--splitter", "newline", "--shard_bytes", "1500", "--batch_bytes", "300", "--keep_metadata"]
SMALL = ["--splitter", "newline", "--shard_bytes", "700", "--batch_bytes", "300"]
CALLS = {
    "finished": ["--input", "plain.jsonl", "stream.jsonl.gz", *JSONL],
    "interrupted": ["--input", "plain.jsonl", "stream.jsonl.gz", *JSONL],
    "finished_rows": ["--input", "rows.parquet", "--tasks", "tc,ner", *SMALL],
    "finished_notes": ["--input", "notes.txt", "--text_unit", "block", "--tasks", "tc,dp", *SMALL],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of inputs, model and datasets; the modification times are not those that the plans hold."""
    copy = shutil.copytree(DATASETS, tmp_path / "v0_1_0", copy_function=shutil.copyfile)
    monkeypatch.chdir(copy)
    return copy


def annotate(dataset: str, *more: str) -> int:
    return main(["annotate", *CALLS[dataset], *more, "--model", "model", "--output", dataset, "--workers", "1"])


def read_rows(dataset: Path) -> pa.Table:
    order = [(name, "ascending") for name in ("source", "record_index", "sentence_index")]
    return pa.concat_tables([pq.read_table(path) for path in sorted(dataset.glob("data/*"))]).sort_by(order)


@pytest.mark.parametrize("dataset", [name for name in CALLS if name != "interrupted"])
def test_a_finished_dataset_is_whole(folder: Path, dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", dataset]) == 0
    assert "The dataset is whole." in capsys.readouterr().out


@pytest.mark.parametrize("dataset", [name for name in CALLS if name != "interrupted"])
def test_the_same_command_has_nothing_to_annotate(
    folder: Path, dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in (folder / dataset).rglob("part-*")}
    assert annotate(dataset) == 0
    assert {path: path.read_bytes() for path in (folder / dataset).rglob("part-*")} == before
    assert annotate(dataset) == 0
    assert "Nothing to do" in capsys.readouterr().out


def test_an_interrupted_dataset_is_resumed_to_the_same_rows(folder: Path) -> None:
    kept = {path.name: path.read_bytes() for path in (folder / "interrupted" / "data").iterdir()}
    assert main(["verify", "interrupted"]) == 1
    assert annotate("interrupted") == 0
    assert main(["verify", "interrupted"]) == 0
    assert read_rows(folder / "interrupted").equals(read_rows(folder / "finished"))
    assert {name: (folder / "interrupted" / "data" / name).read_bytes() for name in kept} == kept


def test_tomorrows_input_is_added(folder: Path) -> None:
    """The rows that were there stay, those of the new input stand behind them, with every field of old and new."""
    before = read_rows(folder / "finished")
    assert annotate("finished", "--input", "tomorrow.jsonl") == 0
    assert main(["verify", "finished"]) == 0
    rows = read_rows(folder / "finished")
    is_new = pa.compute.equal(rows["source"], "tomorrow.jsonl")
    assert rows.filter(pa.compute.invert(is_new)).equals(before)
    assert rows.filter(is_new).num_rows > 0
