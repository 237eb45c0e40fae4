"""A dataset is read back as its receipts name it, in order, as Arrow batches and as tables of DuckDB."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from klue_beam import open_dataset
from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.reject import REJECT
from klue_beam.transforms.plan.receipts import load_receipts
from tests.beam_pipelines.conftest import Corpus
from tests.engines.corpus import read_rows


def test_rows_come_in_order_and_are_those_of_the_files(undisturbed: Path) -> None:
    dataset = open_dataset(undisturbed)
    rows = dataset.rows().read_all()
    assert rows.schema.equals(dataset.schema)
    order = [("source", "ascending"), ("record_index", "ascending"), ("sentence_index", "ascending")]
    assert rows.sort_by(order).equals(read_rows(undisturbed).select(rows.column_names))
    assert [batch.num_rows for batch in dataset.rows()] == [
        receipt.data.rows for receipt in load_receipts(undisturbed) if receipt.data
    ]


def test_columns_come_in_the_order_asked_for(undisturbed: Path) -> None:
    chosen = open_dataset(undisturbed).rows(columns=["flags", "text"]).read_all()
    assert chosen.column_names == ["flags", "text"]
    assert chosen.column("text").equals(open_dataset(undisturbed).rows().read_all().column("text"))


def test_a_column_that_is_not_there_is_named(undisturbed: Path) -> None:
    message = r"`columns` must be out of doc_id, source, .*, flags, got mood\. Leave out what the dataset does not have"
    with pytest.raises(ValueError, match=message):
        open_dataset(undisturbed).rows(columns=["text", "mood"])


def test_rejects_configuration_and_provenance_are_there_too(undisturbed: Path, corpus: Corpus) -> None:
    dataset = open_dataset(str(undisturbed))
    rejects = dataset.rejects().read_all()
    assert rejects.schema.equals(REJECT)
    assert rejects["source"].to_pylist() == [str(corpus.plain)]
    assert dataset.config.splitter == "newline"
    assert [source.path for source in dataset.plan.sources] == [str(corpus.plain), str(corpus.stream)]
    assert dataset.provenance["models"]["ner"]["name"] == str(corpus.model)
    assert dataset.provenance["config_hash"] == dataset.plan.config_hash
    assert list(dataset.receipts()) == load_receipts(undisturbed)


def test_a_file_that_no_receipt_names_is_not_seen(undisturbed: Path, tmp_path: Path) -> None:
    copy = copy_of(undisturbed, tmp_path)
    rows = open_dataset(copy).rows().read_all()
    first = next((copy / "data").iterdir())
    (copy / "data" / "foreign.parquet").write_bytes(first.read_bytes())
    assert open_dataset(copy).rows().read_all().equals(rows)
    assert count(open_dataset(copy), "sentences") == rows.num_rows
    next((copy / "_receipts").iterdir()).unlink()
    assert open_dataset(copy).rows().read_all().num_rows < rows.num_rows


def test_what_is_gone_or_broken_is_named(undisturbed: Path, tmp_path: Path) -> None:
    copy = copy_of(undisturbed, tmp_path)
    path = sorted((copy / "data").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-20])
    message = rf"A file of a dataset must be as it was written, got {path} \(.*\)\. `klue-beam verify` says what"
    with pytest.raises(ValueError, match=message):
        open_dataset(copy).rows().read_all()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(path))):
        open_dataset(copy).rows().read_all()
    with pytest.raises(FileNotFoundError, match="A dataset must hold a plan, got no"):
        open_dataset(tmp_path / "none")


def copy_of(dataset: Path, folder: Path) -> Path:
    subprocess.run(["cp", "-r", str(dataset), str(folder / "copy")], check=True)
    return folder / "copy"


def count(dataset: object, table: str) -> int:
    return dataset.duckdb().execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_every_view_holds_what_the_rows_hold(undisturbed: Path) -> None:
    dataset = open_dataset(undisturbed)
    rows = dataset.rows().read_all().to_pylist()
    connection = dataset.duckdb()

    def select(query: str) -> Sequence[tuple[object, ...]]:
        return connection.execute(query).fetchall()

    names = [name for (name,) in select("SHOW TABLES")]
    assert names == ["arcs", "documents", "dropped", "entities", "rejects", "relations", "sentences"]
    assert select("SELECT doc_id, begin_char, end_char, text FROM sentences") == [
        (row["doc_id"], row["begin"], row["end"], row["text"]) for row in rows
    ]
    assert select(
        "SELECT record_index, sentence_index, entity_index, label, text, begin_char, end_char FROM entities"
    ) == [
        (row["record_index"], row["sentence_index"], n, e["label"], e["text"], e["begin"], e["end"])
        for row in rows
        for n, e in enumerate(row["entities"])
    ]
    assert select("SELECT label, subject, subject_label, object, object_label FROM relations") == [
        (r["label"], *(row["entities"][r[side]][name] for side in ("subject", "object") for name in ("text", "label")))
        for row in rows
        for r in row["relations"]
    ]
    assert select("SELECT word_index, form, head_index, deprel, begin_char, end_char FROM arcs") == [
        (a["index"], a["form"], a["head"], a["deprel"], a["begin"], a["end"])
        for row in rows
        for a in row["dependencies"]
    ]
    texts = {(row["source"], row["record_index"]) for row in rows}
    assert select("SELECT count(*), sum(sentences), sum(characters) FROM documents") == [
        (len(texts), len(rows), sum(len(row["text"]) for row in rows))
    ]
    assert select("SELECT count(*) FROM rejects WHERE record_index = 40") == [(1,)]


def test_a_dataset_without_anything_dropped_has_an_empty_view_of_it(undisturbed: Path) -> None:
    dataset = open_dataset(undisturbed)
    assert dataset.dropped().read_all().equals(DROPPED.empty_table())
    assert count(dataset, "dropped") == 0


def test_a_dataset_without_rejects_has_an_empty_view_of_them(undisturbed: Path, tmp_path: Path) -> None:
    copy = copy_of(undisturbed, tmp_path)
    for receipt in load_receipts(copy):
        if receipt.rejects is not None:
            (copy / "_receipts" / f"part-{receipt.shard_id:06d}-{receipt.segment:06d}.json").unlink()
    assert count(open_dataset(copy), "rejects") == 0


def test_names_in_a_path_are_quoted(undisturbed: Path, tmp_path: Path) -> None:
    copy = copy_of(undisturbed, tmp_path).rename(tmp_path / "it's [one] * 것")
    assert count(open_dataset(copy), "sentences") == count(open_dataset(undisturbed), "sentences")


def test_without_duckdb_the_error_says_what_to_install(undisturbed: Path) -> None:
    code = "import sys; sys.modules['duckdb'] = None; import klue_beam; klue_beam.open_dataset(sys.argv[1]).duckdb()"
    done = subprocess.run([sys.executable, "-c", code, undisturbed], capture_output=True, text=True, check=False)
    assert "ImportError: Queries need duckdb, which is not installed. Install it: pip install duckdb" in done.stderr
