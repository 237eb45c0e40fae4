"""Datasets of small files that share a shard, and of cleaned texts: whole ones pass, and what is wrong is named."""

import gzip
import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from klue_beam.beam_pipelines.local.job import close_job, open_job, plan_job
from klue_beam.schemas.config import AnnotateConfig, ModelConfig, ReadConfig
from klue_beam.transforms.base.stores.opening import locate
from klue_beam.transforms.clean.steps import parse_steps
from klue_beam.transforms.clean.texts import clean_texts
from klue_beam.transforms.plan.files import fingerprint_file
from klue_beam.transforms.read.shards import read_shard
from klue_beam.transforms.split.sentences import load_splitter, split_sentences
from klue_beam.transforms.tasks.output import annotated_schema
from klue_beam.transforms.verify.dataset import verify
from klue_beam.transforms.write.sink import provenance, write_segment

SCHEMA = annotated_schema(["tc"])
NAME = "part-000000-000000"
DROPPED = f"_dropped/{NAME}.parquet"
CONFIG = AnnotateConfig(
    read=ReadConfig(batch_bytes=40),
    splitter="newline",
    model=ModelConfig(tasks=("tc",)),
    clean=parse_steps(["min_length:characters=4", "min_sentence_length:characters=2"]),
)
TEXTS = ["첫 글이다.\n \n나\n", "\n짧다\n", "", "둘째 글이다.\n", "\n\n"]


def annotate(chunk):
    """Clean and split a chunk as the pipeline does, and say of each sentence that it is about society."""
    documents, gone = clean_texts(chunk.rows, CONFIG.clean[:1])
    sentences, parts = clean_texts(split_sentences(documents, load_splitter("newline")), CONFIG.clean[1:])
    rows = [{**row, "topic": {"label": "사회", "score": 0.5}} for row in sentences.to_pylist()]
    dropped = pa.concat_batches([gone, parts])
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    return type(chunk)(chunk.shard, chunk.key, batch, chunk.rejects, dropped, chunk.tallies)


def make(folder):
    """Annotate five small files, one of them empty, one broken at its end."""
    for number, text in enumerate(TEXTS):
        broken = b"\xff\n" if number == 3 else b""
        (folder / f"{number}.txt").write_bytes(text.encode() + broken)
    return annotate_files(folder, len(TEXTS))


def annotate_files(folder, n_files):
    """Annotate all files of a folder as the driver does, but for the engine."""
    out = folder / "out"
    job = open_job(plan_job(str(out), [str(folder / "*.txt*")], CONFIG))
    (shard,) = job.pending
    assert len(shard.ranges) == n_files
    chunks = [annotate(chunk) for chunk in read_shard(shard, CONFIG.read)]
    assert len(chunks) > 1
    footer = provenance(CONFIG, job.plan.config_hash)
    receipt = write_segment(chunks, dataset=out, shard=shard, segment=0, schema=SCHEMA, provenance=footer)
    close_job(job)
    return out, receipt


@pytest.fixture
def dataset(tmp_path):
    return make(tmp_path)[0]


def test_a_dataset_of_small_files_is_whole_and_every_record_is_counted_again(tmp_path):
    out, receipt = make(tmp_path)
    report = verify(out)
    assert report.faults == []
    assert report.counts["recounted_records"] == report.counts["records"] == 9
    counts = {name: receipt.counts[name] for name in ("records", "documents", "blanks", "rejected_records", "dropped")}
    assert counts == {"records": 9, "documents": 4, "blanks": 4, "rejected_records": 1, "dropped": 2}
    assert receipt.counts["dropped_documents"] == 2
    assert receipt.counts["dropped:min_length: fewer than 4 characters"] == 2
    assert [part.source[-5:] for part in receipt.covered] == [f"{number}.txt" for number in range(5)]


def test_a_small_compressed_file_that_breaks_off_is_told_and_the_dataset_whole(tmp_path):
    (tmp_path / "2.txt.gz").write_bytes(gzip.compress("한 문장이다.\n".encode() * 50)[:-8])
    for name in ("1.txt", "3.txt"):
        (tmp_path / name).write_text("글이다.\n글이다.\n")
    out, receipt = annotate_files(tmp_path, 3)
    assert [part.end_record for part in receipt.covered] == [2, 50, 2]
    assert (receipt.counts["rejects"], receipt.counts["rejected_records"]) == (1, 0)
    report = verify(out)
    assert report.faults == []
    assert report.counts["recounted_records"] == 54


def test_one_file_that_says_something_else_now_is_named(dataset):
    source = dataset.parent / "3.txt"
    source.write_bytes(source.read_bytes().replace("둘째".encode(), "셋째".encode()))
    (fault,) = verify(dataset).faults
    assert fault.startswith(f"{source}: what stands from 0 to {source.stat().st_size} is not what was annotated")


def test_one_file_that_is_gone_is_named_as_not_counted_again(dataset):
    (dataset.parent / "1.txt").unlink()
    report = verify(dataset)
    assert report.faults == []
    (source,) = report.not_recounted
    assert source.endswith("1.txt")
    assert re.search(
        r"Shard 0 \(5 files, .*0.txt to .*4.txt\) cannot be read at '.*1.txt'", report.not_recounted[source]
    )


def rewrite(out, part, key, counted, change):
    """Change the rows of a file, keep its footer, and make the receipt tell of the changed file."""
    path = out / part / f"{NAME}.parquet"
    table, footer = pq.read_table(path), pq.read_metadata(path).metadata
    changed = change(table)
    with pq.ParquetWriter(path, changed.schema) as writer:
        writer.write_table(changed)
        writer.add_key_value_metadata({name: text for name, text in footer.items() if name.startswith(b"klue_beam.")})
    receipt = out / "_receipts" / f"{NAME}.json"
    fields = json.loads(receipt.read_text())
    size_bytes, sha256 = fingerprint_file(*locate(str(path)))
    fields[key] |= {"rows": changed.num_rows, "size_bytes": size_bytes, "sha256": sha256}
    fields["counts"][counted] = changed.num_rows
    receipt.write_text(json.dumps(fields))


def drop_too(out, **changes):
    row = {"begin": None, "end": None, "step": "min_length", "reason": "x", "text": None, **changes}

    def change(table):
        row.setdefault("source", table["source"][0].as_py())
        return pa.concat_tables([table, pa.Table.from_pylist([row], schema=table.schema)])

    rewrite(out, "_dropped", "dropped", "dropped", change)


FAULTY = {
    "dropped deleted": (lambda out: (out / DROPPED).unlink(), f"{DROPPED}: it is missing"),
    "a foreign file of dropped": (
        lambda out: shutil.copy(out / DROPPED, out / "_dropped/copy.parquet"),
        r"_dropped/copy\.parquet: it is foreign: no plan or receipt names it",
    ),
    "a dropped document lost": (
        lambda out: rewrite(out, "_dropped", "dropped", "dropped", lambda rows: rows.slice(1)),
        f"{DROPPED}: it must leave 2 documents without rows, got 1",
    ),
    "a document dropped and kept": (
        lambda out: drop_too(out, record_index=0),
        rf"{DROPPED}: record 0 of .*0\.txt is dropped, and a part of it is not",
    ),
    "a document dropped twice": (
        lambda out: drop_too(out, record_index=2),
        rf"{DROPPED}: record 2 of .*0\.txt is dropped more than once",
    ),
    "a record that is none": (
        lambda out: drop_too(out, record_index=7),
        rf"{DROPPED}: record 7 is not one of the segment's records of .*0\.txt",
    ),
    "dropped of another source": (
        lambda out: drop_too(out, record_index=0, source="잡지.txt"),
        rf"{DROPPED}: it holds rows of another source, 잡지\.txt",
    ),
    "files of one shard swapped": (
        lambda out: rewrite(out, "data", "data", "sentences", lambda rows: rows.sort_by([("source", "descending")])),
        rf"data/{NAME}\.parquet: record 0 of .*0\.txt is doubled or cut",
    ),
    "a file that the receipt leaves out": (
        lambda out: (out / "_receipts" / f"{NAME}.json").write_text(
            json.dumps(
                (told := json.loads((out / "_receipts" / f"{NAME}.json").read_text()))
                | {"covered": told["covered"][1:]}
            )
        ),
        rf"_receipts/{NAME}\.json: it is foreign: `sources` must be \[.*0\.txt.*\], got \[.*1\.txt",
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_what_is_wrong_is_named(dataset, name):
    tamper, message = FAULTY[name]
    tamper(dataset)
    assert re.match(message, verify(dataset).faults[0])
