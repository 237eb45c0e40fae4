"""Columns of tasks whose packages are not installed are asked, shown and reported as all others."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from klue_beam import open_dataset
from klue_beam.transforms.plan.dataset import Dataset
from klue_beam.transforms.report.columns import list_label_columns
from klue_beam.transforms.report.figures import collect_figures
from klue_beam.transforms.report.moving import compare_labels
from klue_beam.transforms.report.picking import Choice, pick_sentences
from klue_beam.transforms.report.samples import read_sentences, sample_keys

MOOD = pa.struct([("label", pa.string()), ("score", pa.float32())])
SPANS = pa.list_(pa.struct([("label", pa.string()), ("begin", pa.int32()), ("end", pa.int32())]))


def add_columns(dataset: Path, moods: tuple[str, ...]) -> Dataset:
    """Add a mood to each sentence, and a span without a score."""
    for path in (dataset / "data").iterdir():
        table = pq.read_table(path)
        n_rows = table.num_rows
        mood = [{"label": moods[row % len(moods)], "score": 0.25 + 0.5 * (row % 2)} for row in range(n_rows)]
        spans = [[{"label": "first", "begin": 0, "end": 1}]] * n_rows
        table = table.append_column("mood", pa.array(mood, MOOD)).append_column("spans", pa.array(spans, SPANS))
        pq.write_table(table, path)
    return open_dataset(dataset)


@pytest.fixture
def moody(undisturbed: Path, tmp_path: Path) -> Dataset:
    return add_columns(shutil.copytree(undisturbed, tmp_path / "moody"), ("good", "bad"))


def test_they_are_counted_and_sampled(moody: Dataset) -> None:
    connection = moody.duckdb()
    figures = collect_figures(moody, connection)
    rows = moody.rows().read_all().num_rows
    *_, mood, spans = figures["labels"]
    assert (mood["task"], mood["total"], sorted(name for name, *_ in mood["rows"])) == ("mood", rows, ["bad", "good"])
    assert sum(mood["bins"]) == rows
    assert (spans["task"], spans["rows"], spans["bins"]) == ("spans", [["first", rows, None]], None)
    keys = sample_keys(connection, list_label_columns(moody.schema), 1, 0)
    assert {row["mood"]["label"] for row in read_sentences(connection, keys)} == {"good", "bad"}


def test_they_are_asked_by_sql_and_by_label(moody: Dataset) -> None:
    rows = moody.rows().read_all().num_rows
    connection = moody.duckdb()
    assert connection.execute("SELECT count(*), min(begin_char), max(end_char) FROM spans").fetchall() == [(rows, 0, 1)]
    picked = pick_sentences(moody, Choice(label="bad", lowest="mood"))
    assert {row["mood"]["label"] for row in picked} == {"bad"}
    with pytest.raises(ValueError, match=r"`lowest` must be a task .* scores, tc, ner, re, dp, mood, got 'spans'"):
        pick_sentences(moody, Choice(lowest="spans"))


def test_those_that_moved_are_counted(moody: Dataset, undisturbed: Path, tmp_path: Path) -> None:
    other = add_columns(shutil.copytree(undisturbed, tmp_path / "other"), ("good",))
    columns = {one.column: one for one in list_label_columns(moody.schema)}
    moved = {one["task"]: one for one in compare_labels(moody.duckdb(), other.duckdb(), columns)["labels"]}
    bad = moody.duckdb().execute("SELECT count(*) FROM sentences WHERE mood.label = 'bad'").fetchall()[0][0]
    assert moved["mood"]["moves"] == [["bad", "good", bad]]
    assert [moved[task]["moved"] for task in ("tc", "ner", "re", "dp", "spans")] == [0] * 5
