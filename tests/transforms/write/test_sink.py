"""A segment is published whole and once, its receipt last, whatever happened to earlier attempts."""

import dataclasses
import hashlib
import json
import re
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.schemas.config import AnnotateConfig, ModelConfig, ReadConfig, hash_config
from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.shard import Chunk, Coverage, Receipt, Shard
from klue_beam.transforms.base.progress import listen
from klue_beam.transforms.base.stores.local import LocalStore
from klue_beam.transforms.plan.files import hash_coverage, read_footer
from klue_beam.transforms.plan.plan import load_plan, make_plan, save_plan
from klue_beam.transforms.read.shards import ReadShards, read_shard
from klue_beam.transforms.tasks.output import annotated_schema
from klue_beam.transforms.write.contract import ContractError
from klue_beam.transforms.write.publish import PublishError
from klue_beam.transforms.write.segment import SegmentWriter
from klue_beam.transforms.write.sink import WriteAnnotations, provenance, write_segment

CONFIG = AnnotateConfig(splitter_version="1", model=ModelConfig(model_sha256={"tc": "ab", "ner": "cd"}))
HASH = hash_config(CONFIG.to_dict())
PROVENANCE = provenance(CONFIG, HASH)
NAME = "part-000003-000000"

with_text = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \u3000가각\u1100\u1161\u11a8🙂👩\u200d👧\0"),
    min_size=1,
    max_size=20,
).filter(lambda text: text.split())


@pytest.fixture
def put(annotated, tmp_path):
    """Writes chunks as segment 0 of a shard into the dataset `tmp_path`."""

    def write(*chunks, shard=annotated.SHARD):
        return write_segment(
            chunks, dataset=tmp_path, shard=shard, segment=0, schema=annotated.SCHEMA, provenance=PROVENANCE
        )

    return write


def chunks(annotated, score=0.5, entities=2):
    """Two chunks over six records: three documents, a rejected record, a broken sentence, two blanks."""
    rows = [
        annotated.row(record, f"문장 {record} 이다.", topic={"label": "경제", "score": score}) for record in (0, 1, 4)
    ]
    rows = [{**row, "entities": row["entities"][:entities], "relations": []} for row in rows]
    rows[2]["flags"] = ["re_failed"]
    return (
        annotated.chunk(rows[:2], records=(0, 3), last=False),
        annotated.chunk(rows[2:], [annotated.reject(3), annotated.reject(4, "annotate")], batch=1, records=(3, 6)),
    )


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def stamps(folder):
    return {name: ((folder / name).stat().st_ino, (folder / name).stat().st_mtime_ns) for name in files(folder)}


PUBLISHED = [f"_receipts/{NAME}.json", f"_rejects/{NAME}.parquet", f"data/{NAME}.parquet"]


def forget_receipt(folder):
    (folder / "_receipts" / f"{NAME}.json").unlink()


@settings(max_examples=25, deadline=None)  # it waits for the disk
@given(st.lists(with_text, min_size=1, max_size=6))
def test_annotated_rows_come_back_as_they_went_in(annotated, texts):
    rows = [annotated.row(record, text) for record, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        write_segment(
            [annotated.chunk(rows)],
            dataset=folder,
            shard=annotated.SHARD,
            segment=0,
            schema=annotated.SCHEMA,
            provenance=PROVENANCE,
        )
        table = pq.read_table(Path(folder) / "data" / f"{NAME}.parquet")
    assert table.to_pylist() == rows
    assert table.schema.equals(annotated.SCHEMA)


def test_a_segment_is_data_rejects_and_a_receipt_and_nothing_else(annotated, put, tmp_path):
    receipt = put(*chunks(annotated))
    assert files(tmp_path) == PUBLISHED
    assert Receipt.from_json((tmp_path / PUBLISHED[0]).read_bytes()) == receipt
    data, rejects = pq.read_table(tmp_path / PUBLISHED[2]), pq.read_table(tmp_path / PUBLISHED[1])
    assert data["record_index"].to_pylist() == [0, 1, 4]
    assert rejects["record_index"].to_pylist() == [3, 4]
    assert rejects.schema.equals(REJECT)
    assert rejects["raw"].to_pylist() == [b"{\xff", b"{\xff"]


def test_the_receipt_counts_and_fingerprints_what_was_published(annotated, put, tmp_path):
    receipt = put(*chunks(annotated))
    assert dataclasses.replace(receipt, data=None, rejects=None, dropped=None) == Receipt(
        shard_id=3,
        segment=0,
        last_of_shard=True,
        config_hash=HASH,
        covered=(Coverage("뉴스.txt", 0, 6, 0, 60, "0" * 64),),
        counts={
            "records": 6,
            "documents": 3,
            "blanks": 2,
            "rejected_records": 1,
            "rejects": 2,
            "sentences": 3,
            "characters": 24,
            "entities": 6,
            "relations": 0,
            "arcs": 9,
            "flag:re_failed": 1,
        },
        data=None,
        rejects=None,
        dropped=None,
    )
    for published, rows in ((receipt.data, 3), (receipt.rejects, 2)):
        content = (tmp_path / published.path).read_bytes()
        assert (published.rows, published.size_bytes) == (rows, len(content))
        assert published.sha256 == hashlib.sha256(content).hexdigest()


def test_the_footer_says_what_made_the_rows_and_what_they_cover(annotated, put, tmp_path):
    put(*chunks(annotated))
    footer = read_footer(LocalStore(str(tmp_path)), PUBLISHED[2])
    assert PROVENANCE.items() <= footer.items()
    assert json.loads(footer["klue_beam.models"])["tc"] == {"name": "small", "sha256": "ab"}
    assert footer["klue_beam.schema_version"] == "1.0"
    assert footer["klue_beam.splitter"] == "fast"
    assert footer["klue_beam.label_sets_version"] == "klue-1.1"
    told = {name: footer[f"klue_beam.{name}"] for name in ("shard", "segment", "records", "covered_sha256")}
    covered = hash_coverage([Coverage("뉴스.txt", 0, 6, 0, 60, "0" * 64)])
    assert told == {"shard": "3", "segment": "0", "records": "6", "covered_sha256": covered}


def test_a_segment_without_rows_and_rejects_gets_a_receipt_and_no_files(annotated, put, tmp_path):
    receipt = put(annotated.chunk(records=(0, 4)))
    assert (receipt.data, receipt.rejects) == (None, None)
    assert (receipt.counts["blanks"], receipt.counts["sentences"]) == (4, 0)
    assert files(tmp_path) == PUBLISHED[:1]


def test_two_runs_give_the_same_bytes(annotated, tmp_path):
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_segment(
            chunks(annotated),
            dataset=folder,
            shard=annotated.SHARD,
            segment=0,
            schema=annotated.SCHEMA,
            provenance=PROVENANCE,
        )
        contents.append([(folder / name).read_bytes() for name in PUBLISHED])
    assert contents[0] == contents[1]


def test_an_attempt_that_comes_second_is_thrown_away(annotated, put, tmp_path):
    first = put(*chunks(annotated, score=0.5))
    before = [(tmp_path / name).read_bytes() for name in PUBLISHED]
    assert put(*chunks(annotated, score=0.25)) == first
    assert [(tmp_path / name).read_bytes() for name in PUBLISHED] == before
    assert files(tmp_path) == PUBLISHED


def test_of_racing_attempts_all_give_the_receipt_of_the_one_file_that_stands(annotated, put, tmp_path):
    start = threading.Barrier(8)

    def attempt(number):
        segment = chunks(annotated, score=number / 8, entities=number % 3)
        with SegmentWriter(tmp_path, annotated.SHARD, 0, annotated.SCHEMA, PROVENANCE) as writer:
            for chunk in segment:
                writer.write(chunk)
            start.wait(timeout=30)
            return writer.publish()

    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(attempt, range(8)))
    assert receipts == receipts[:1] * 8
    assert files(tmp_path) == PUBLISHED
    content = (tmp_path / PUBLISHED[2]).read_bytes()
    assert receipts[0].data.sha256 == hashlib.sha256(content).hexdigest()
    entities = pq.read_table(tmp_path / PUBLISHED[2])["entities"].to_pylist()
    assert receipts[0].counts["entities"] == sum(map(len, entities))


def test_what_a_killed_attempt_published_without_receipt_is_adopted_when_equal(annotated, put, tmp_path):
    first = put(*chunks(annotated))
    inode = (tmp_path / PUBLISHED[2]).stat().st_ino
    forget_receipt(tmp_path)
    (tmp_path / PUBLISHED[1]).unlink()
    assert put(*chunks(annotated)) == first
    assert (tmp_path / PUBLISHED[2]).stat().st_ino == inode
    assert files(tmp_path) == PUBLISHED


def test_an_adopted_file_with_other_values_is_described_as_it_is(annotated, put, tmp_path):
    first = put(*chunks(annotated, entities=1))
    forget_receipt(tmp_path)
    second = put(*chunks(annotated, entities=2))
    assert second == first
    assert second.counts["entities"] == 3


def test_a_file_that_an_older_version_published_without_receipt_is_adopted(annotated, put, tmp_path):
    older = {**PROVENANCE, "klue_beam.version": "0.0.1"}
    first = write_segment(
        chunks(annotated), dataset=tmp_path, shard=annotated.SHARD, segment=0, schema=annotated.SCHEMA, provenance=older
    )
    forget_receipt(tmp_path)
    assert put(*chunks(annotated)) == first


FOREIGN = {
    "cut": (
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        r"is there without a receipt and cannot be read \(.*\)",
    ),
    "empty": (lambda path: path.write_bytes(b""), r"is there without a receipt and cannot be read \(.*\)"),
    "of another program": (
        lambda path: pq.write_table(pa.table({"a": [1]}), path),
        r"is there without a receipt and is not this segment's: its footer differs in klue_beam\.blanks, ",
    ),
    "with fewer rows": (
        lambda path: pq.write_table(pq.read_table(path).slice(1), path),
        r"is there without a receipt and is not this segment's: its footer differs in klue_beam\.blanks, ",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("file", PUBLISHED[1:])
def test_a_file_without_receipt_that_is_not_this_segments_is_named(annotated, put, tmp_path, name, file):
    change, message = FOREIGN[name]
    put(*chunks(annotated))
    forget_receipt(tmp_path)
    change(tmp_path / file)
    with pytest.raises(
        PublishError, match=rf"^{tmp_path / file} {message}.*Delete that file and run the command again\."
    ):
        put(*chunks(annotated))
    assert list((tmp_path / "_attempts").iterdir()) == []
    assert not (tmp_path / PUBLISHED[0]).exists()


def test_a_file_of_the_same_range_with_other_rows_is_not_adopted(annotated, put, tmp_path):
    put(annotated.chunk([annotated.row(0, "하나."), annotated.row(0, "둘.", 1, 4)]))
    forget_receipt(tmp_path)
    with pytest.raises(PublishError, match=r"is not this segment's: it has 2 rows, not 1\. Delete that file"):
        put(annotated.chunk([annotated.row(0, "하나. 둘.")]))


@pytest.mark.parametrize("file", PUBLISHED[1:])
def test_a_file_where_the_segment_has_none_is_named(annotated, put, tmp_path, file):
    put(*chunks(annotated))
    for name in PUBLISHED:
        if name != file:
            (tmp_path / name).unlink()
    message = f"{tmp_path / file} is there without a receipt, but this segment has no such rows. Delete that file"
    with pytest.raises(PublishError, match=re.escape(message)):
        put(annotated.chunk(records=(0, 6)))


def test_a_receipt_of_something_else_is_named(annotated, put, tmp_path):
    put(*chunks(annotated))
    path = tmp_path / PUBLISHED[0]
    with pytest.raises(
        PublishError,
        match=rf"^{path} is of another segment: `covered` is .*end_record=6.*, not .*end_record=1.* Delete that",
    ):
        put(annotated.chunk([annotated.row(0, "하나.")]))
    path.write_text("{")
    with pytest.raises(PublishError, match=rf"^{path} is no receipt: A receipt must hold .* Delete that file"):
        put(*chunks(annotated))


def test_a_segment_without_its_last_chunk_is_not_published(annotated, put, tmp_path):
    with pytest.raises(
        ContractError, match="a runner broke the chain from read to write: the segment's last chunk has not"
    ):
        put(*chunks(annotated)[:1])
    assert files(tmp_path) == []


def test_a_chunk_that_breaks_the_contract_leaves_nothing(annotated, put, tmp_path):
    good, last = chunks(annotated)
    bad = dataclasses.replace(last, key=last.key._replace(batch=2))
    with pytest.raises(ContractError, match="batch 1 must come next, got 2"):
        put(good, bad)
    assert files(tmp_path) == []


def test_provenance_names_the_installed_version():
    assert re.fullmatch(r"\d+\.\d+.*", PROVENANCE["klue_beam.version"])


# The transform, in real pipelines from files.

TOPICS_ONLY = AnnotateConfig(read=ReadConfig(shard_bytes=200, batch_bytes=60), model=ModelConfig(tasks=("tc",)))
SCHEMA = annotated_schema(["tc"])


def annotate(chunk):
    """Make each document one sentence about society."""
    rows = [
        {
            **row,
            "sentence_index": 0,
            "begin": 0,
            "end": len(row["text"]),
            "topic": {"label": "사회", "score": 0.5},
            "flags": [],
        }
        for row in chunk.rows.drop_columns(["metadata"]).to_pylist()
    ]
    return dataclasses.replace(chunk, rows=pa.RecordBatch.from_pylist(rows, schema=SCHEMA))


def lose_second_batch(chunk):
    return [] if chunk.key.batch == 1 else [chunk]


def lose_last_batch(chunk):
    return [] if chunk.key.last_of_segment else [chunk]


@pytest.fixture
def dataset(tmp_path):
    """A dataset's folder with a plan of five shards or so."""
    source = tmp_path / "글.txt"
    source.write_text(
        "".join(f"{number}번째 문서이다.\n" + "\n" * (number % 3) for number in range(40)), encoding="utf-8"
    )
    folder = tmp_path / "out"
    save_plan(str(folder), make_plan([str(source)], TOPICS_ONLY))
    return folder


def run(dataset, *between):
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        chunks = (
            pipeline
            | beam.Create(load_plan(str(dataset)).shards).with_output_types(Shard)
            | ReadShards(str(dataset), TOPICS_ONLY.read)
            | beam.Map(annotate).with_output_types(Chunk)
        )
        for number, transform in enumerate(between):
            chunks = chunks | f"break {number}" >> transform.with_output_types(Chunk)
        chunks | WriteAnnotations(dataset, TOPICS_ONLY, HASH) | beam.Map(Receipt.from_json)


def test_a_pipeline_writes_every_shard_and_a_second_run_writes_nothing(dataset):
    heard = []
    stop = listen(heard.append)
    try:
        run(dataset)
        shards = load_plan(str(dataset)).shards
        assert len(shards) > 3
        assert len(files(dataset / "data")) == len(files(dataset / "_receipts")) == len(shards)
        assert list((dataset / "_attempts").iterdir()) == []
        rows = pq.read_table(dataset / "data").to_pylist()
        assert [row["text"] for row in rows] == [f"{number}번째 문서이다." for number in range(40)]
        assert sum(progress.sentences for progress in heard) == 40
        assert sum(progress.amount for progress in heard) == (dataset.parent / "글.txt").stat().st_size
        before = stamps(dataset)
        heard.clear()
        run(dataset)
        assert stamps(dataset) == before
        assert heard == []
    finally:
        stop()


@pytest.mark.parametrize(
    ("lose", "message"),
    [
        (lose_second_batch, "segment 0: a runner broke the chain from read to write: batch 1 must come next, got 2"),
        (lose_last_batch, "segment 0: a runner broke the chain from read to write: "),
    ],
)
def test_a_graph_that_loses_a_chunk_fails_and_leaves_no_attempt(dataset, lose, message):
    with pytest.raises(ContractError, match=message):
        run(dataset, beam.FlatMap(lose))
    assert files(dataset / "_attempts") == []
    assert list(dataset.glob("data/*")) == []


def write(dataset, chunks):
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        made = pipeline | beam.Create([0]) | beam.FlatMap(lambda _: chunks).with_output_types(Chunk)
        made | WriteAnnotations(dataset, TOPICS_ONLY, HASH)


def test_a_bundle_that_ends_inside_a_segment_fails(dataset):
    shard = load_plan(str(dataset)).shards[0]
    opened = [annotate(chunk) for chunk in read_shard(shard, TOPICS_ONLY.read)][:-1]
    with pytest.raises(ContractError, match="the bundle ended before the segment's last chunk"):
        write(dataset, opened)
    assert files(dataset / "_attempts") == []


def test_an_object_store_is_refused_before_the_pipeline_runs():
    with pytest.raises(
        ValueError, match=r"An address must be a path, or begin with file://, got 'gs://bucket/out'\. Copy"
    ):
        WriteAnnotations("gs://bucket/out", CONFIG, HASH)


def test_what_killed_attempts_left_can_be_cleared(annotated, tmp_path):
    writer = SegmentWriter(tmp_path, annotated.SHARD, 0, annotated.SCHEMA, PROVENANCE)
    writer.write(chunks(annotated)[0])
    assert LocalStore(str(tmp_path)).clear_attempts() == 1
    assert files(tmp_path) == []
