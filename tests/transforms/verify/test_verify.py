"""`verify` passes a whole dataset, and names the part that is deleted, swapped, doubled, cut or foreign."""

import dataclasses
import gzip
import json
import os
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from klue_beam.beam_pipelines.commands import verify as command
from klue_beam.beam_pipelines.local.job import close_job, open_job, plan_job
from klue_beam.schemas.config import AnnotateConfig, ModelConfig, ReadConfig
from klue_beam.schemas.shard import Receipt
from klue_beam.transforms.base.stores.opening import locate
from klue_beam.transforms.plan.files import fingerprint_file
from klue_beam.transforms.plan.plan import load_plan
from klue_beam.transforms.read.shards import read_shard
from klue_beam.transforms.tasks.output import annotated_schema
from klue_beam.transforms.verify.dataset import verify
from klue_beam.transforms.write.segment import SegmentWriter
from klue_beam.transforms.write.sink import provenance

SCHEMA = annotated_schema(["tc"])
MODEL = ModelConfig(tasks=("tc",))
JSONL = AnnotateConfig(read=ReadConfig(input_format="jsonl", shard_bytes=600, batch_bytes=150), model=MODEL)


def record(number):
    """Give a line of input: a document of two sentences, a blank one, or what is no JSON."""
    if number % 7 == 3:
        return '{"id": 3, "text": '
    text = " " if number % 5 == 1 else f"{number}번째 글의 처음.\n{number}번째 글의 끝."
    return json.dumps({"id": number, "text": text}, ensure_ascii=False)


def annotate(chunk):
    """Make each line of a document a sentence about society."""
    rows = []
    for document in chunk.rows.to_pylist():
        begin = 0
        for index, line in enumerate(document["text"].split("\n")):
            fields = {name: document[name] for name in ("doc_id", "source", "record_index")}
            span = {"sentence_index": index, "begin": begin, "end": begin + len(line), "text": line}
            rows.append({**fields, **span, "topic": {"label": "사회", "score": 0.5}, "flags": []})
            begin += len(line) + 1
    return dataclasses.replace(chunk, rows=pa.RecordBatch.from_pylist(rows, schema=SCHEMA))


def make(folder, inputs, config):
    """Annotate inputs into a folder as the driver does, but for the engine."""
    job = open_job(plan_job(str(folder), [str(path) for path in inputs], config))
    for shard in job.pending:
        writer = None
        for chunk in read_shard(shard, config.read):
            writer = writer or SegmentWriter(
                folder, shard, chunk.key.segment, SCHEMA, provenance(config, job.plan.config_hash)
            )
            writer.write(annotate(chunk))
            if chunk.key.last_of_segment:
                writer.publish()
                writer = None
    close_job(job)
    return folder


def write_sources(folder):
    """Write a plain source of several shards, a compressed one of several segments, and one of a single record."""
    plain, packed, late = (folder / name for name in ("가.jsonl", "나.jsonl.gz", "다.jsonl"))
    plain.write_text("".join(record(number) + "\n" for number in range(40)), encoding="utf-8")
    packed.write_bytes(gzip.compress("".join(record(number) + "\n" for number in range(50)).encode()))
    late.write_text(record(0), encoding="utf-8")
    return [plain, packed, late]


@pytest.fixture
def sources(tmp_path):
    """Sources that a test may change."""
    return write_sources(tmp_path)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A dataset that is copied, since its segments take long to bring to the disk."""
    folder = tmp_path_factory.mktemp("pristine")
    return make(folder / "out", write_sources(folder), JSONL)


@pytest.fixture
def dataset(pristine, tmp_path):
    """A dataset that a test may change; its sources are shared."""
    return shutil.copytree(pristine, tmp_path / "copy")


def faults(folder):
    return verify(folder).faults


def edit_receipt(folder, name, **changes):
    path = folder / "_receipts" / f"{name}.json"
    fields = json.loads(path.read_text())
    (covered,) = fields["covered"]
    fields["covered"] = [{**covered, **{key: value for key, value in changes.items() if key in covered}}]
    fields |= {key: value for key, value in changes.items() if key not in covered}
    path.write_text(Receipt.from_json(json.dumps(fields)).to_json())


def rewrite(folder, part, name, change):
    """Change the rows of a file, keep its footer, and make the receipt tell of the changed file."""
    path = folder / part / f"{name}.parquet"
    table, footer = pq.read_table(path), pq.read_metadata(path).metadata
    kept = {key: value for key, value in footer.items() if key.startswith(b"klue_beam.")}
    changed = change(table)
    with pq.ParquetWriter(path, changed.schema) as writer:
        writer.write_table(changed)
        writer.add_key_value_metadata(kept)
    size_bytes, sha256 = fingerprint_file(*locate(str(path)))
    receipt = json.loads((folder / "_receipts" / f"{name}.json").read_text())
    key, counted = ("data", "sentences") if part == "data" else ("rejects", "rejects")
    file = {**receipt[key], "rows": changed.num_rows, "size_bytes": size_bytes, "sha256": sha256}
    edit_receipt(folder, name, **{key: file, "counts": {**receipt["counts"], counted: changed.num_rows}})


def swap(first, second):
    spare = first.with_name("spare")
    first.rename(spare)
    second.rename(first)
    spare.rename(second)


PLAIN, PLAIN_NEXT, PACKED, PACKED_NEXT = (
    "part-000000-000000",
    "part-000001-000000",
    "part-000004-000001",
    "part-000004-000002",
)


def test_a_whole_dataset_is_whole_and_every_record_is_counted_again(dataset):
    heard = []
    report = verify(dataset, lambda done, total: heard.append((done, total)))
    assert report.is_whole
    assert report.faults == []
    assert report.not_recounted == {}
    assert [shard.ranges[0].source.endswith(".gz") for shard in load_plan(str(dataset)).shards] == [False] * 4 + [
        True,
        False,
    ]
    assert heard == [(done, 6) for done in range(1, 7)]
    counts = report.counts
    assert (counts["shards"], counts["records"], counts["recounted_records"]) == (6, 91, 91)
    assert counts["segments"] > 8
    assert counts["files"] == len(list(dataset.glob("data/*"))) + len(list(dataset.glob("_rejects/*")))
    assert counts["rejected_records"] == counts["rejects"] == 13
    assert counts["documents"] * 2 == counts["sentences"]
    assert counts["documents"] + counts["blanks"] + counts["rejected_records"] == 91


def test_a_dataset_is_verified_by_its_address_as_by_its_folder(dataset):
    assert verify(f"file://{dataset}").counts == verify(dataset).counts
    with pytest.raises(ValueError, match=r"An address must be a path, or begin with file://, got 's3://bucket/out'"):
        verify("s3://bucket/out")


def test_a_source_that_is_gone_is_not_recounted_and_no_fault(tmp_path, sources, capsys):
    dataset = make(tmp_path / "out", sources, JSONL)
    assert command.main([str(dataset)]) == 0
    assert capsys.readouterr().out.endswith("\nThe dataset is whole.\n")
    sources[0].unlink()
    report = verify(dataset)
    assert report.is_whole
    assert not report.is_proved
    assert command.main([str(dataset)]) == 3
    said = capsys.readouterr().out
    assert f"not counted again: {sources[0]}: " in said
    assert said.endswith("\nThe dataset is whole as far as can be told: 1 of its sources could not be counted again.\n")
    assert list(report.not_recounted) == [str(sources[0])]
    assert "cannot be read" in report.not_recounted[str(sources[0])]
    assert report.counts["recounted_records"] == 51


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(
    "change",
    [
        lambda content: content + b'{"id": 99, "text": "\\uae00"}\n',
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"rubbish" * (len(content) // 7),
        lambda content: bytes(len(content)),
    ],
    ids=["appended to", "cut", "emptied", "rubbish", "zeros"],
)
def test_a_source_that_is_another_now_is_a_fault(tmp_path, sources, number, change, capsys):
    dataset = make(tmp_path / "out", sources, JSONL)
    sources[number].write_bytes(change(sources[number].read_bytes()))
    found = faults(dataset)
    assert found
    assert all(fault.startswith(f"{sources[number]}: ") for fault in found)
    assert command.main([str(dataset)]) == 1
    assert re.search(r"\nThe dataset is not whole: \d+ faults\.\n$", capsys.readouterr().out)


def test_a_parquet_source_that_is_rubbish_now_is_a_fault(tmp_path):
    source = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": [f"{number}번째 글이다." for number in range(9)]}), source)
    config = AnnotateConfig(read=ReadConfig(input_format="parquet"), model=MODEL)
    dataset = make(tmp_path / "out", [source], config)
    source.write_bytes(bytes(source.stat().st_size))
    (fault,) = faults(dataset)
    assert re.match(
        rf"{source}: it is not what was annotated: Shard 0 .* Restore it, or annotate it into another", fault
    )


def test_while_a_run_is_at_work_nothing_is_told(dataset, capsys):
    with locate(str(dataset / "x"))[0].lock():
        assert command.main([str(dataset)]) == 4
    assert capsys.readouterr().out == "A run is at work in the dataset. Verify it when that is done.\n"
    assert verify(dataset).is_proved


def test_a_source_that_only_looks_newer_is_counted_again(tmp_path, sources):
    dataset = make(tmp_path / "out", sources, JSONL)
    os.utime(sources[0], (1, 1))
    report = verify(dataset)
    assert report.is_whole
    assert report.counts["recounted_records"] == 91


def test_a_source_that_says_something_else_now_is_a_fault(tmp_path, sources):
    dataset = make(tmp_path / "out", sources, JSONL)
    sources[0].write_bytes(sources[0].read_bytes().replace("번째".encode(), "반째".encode(), 1))
    (fault,) = faults(dataset)
    assert re.match(
        rf"{sources[0]}: what stands from 0 to \d+ is not what was annotated, by _receipts/{PLAIN}\.json\. Res", fault
    )


def test_a_compressed_source_that_was_cut_later_is_a_fault(tmp_path, sources):
    dataset = make(tmp_path / "out", sources, JSONL)
    sources[1].write_bytes(sources[1].read_bytes()[:-30])
    size_bytes = sources[1].stat().st_size
    assert faults(dataset) == [
        f"{sources[1]}: it has {size_bytes} bytes, planned were {size_bytes + 30}: it changed since it was annotated. "
        "Restore it, or annotate it into another folder."
    ]


@pytest.mark.parametrize(
    ("input_format", "text_unit"), [("text", "line"), ("text", "block"), ("text", "file"), ("parquet", "line")]
)
def test_datasets_of_every_format_are_whole(tmp_path, input_format, text_unit):
    config = AnnotateConfig(
        read=ReadConfig(input_format=input_format, text_unit=text_unit, shard_bytes=400, batch_bytes=100), model=MODEL
    )
    if input_format == "parquet":
        source = tmp_path / "글.parquet"
        texts = [None if number % 7 == 3 else " " if number % 5 == 1 else f"글 {number}" for number in range(60)]
        pq.write_table(pa.table({"id": range(60), "text": texts}), source, row_group_size=10)
    else:
        source = tmp_path / "글.txt"
        source.write_bytes("".join(f"글 {number}\n" + "\n" * (number % 3) for number in range(60)).encode() + b"\xff\n")
    report = verify(make(tmp_path / "out", [source], config))
    assert report.faults == []
    assert report.counts["recounted_records"] == report.counts["records"] >= 1


def test_a_dataset_of_a_broken_stream_and_an_empty_source_is_whole(tmp_path, sources):
    sources[1].write_bytes(sources[1].read_bytes()[:-40])
    sources[2].write_bytes(b"")
    report = verify(make(tmp_path / "out", sources, JSONL))
    assert report.faults == []
    assert report.counts["rejects"] == report.counts["rejected_records"] + 1


TAMPERED = {
    "data deleted": (lambda out: (out / f"data/{PLAIN}.parquet").unlink(), rf"data/{PLAIN}\.parquet: it is missing"),
    "rejects deleted": (
        lambda out: (out / f"_rejects/{PACKED}.parquet").unlink(),
        rf"_rejects/{PACKED}\.parquet: it is missing",
    ),
    "receipt deleted": (
        lambda out: (out / f"_receipts/{PLAIN}.json").unlink(),
        rf"_receipts/{PLAIN}\.json: it is missing: Shard 0 \(.*가\.jsonl, 0 to \d+\) is not annotated\. Run the same",
    ),
    "receipt between others deleted": (
        lambda out: (out / f"_receipts/{PACKED}.json").unlink(),
        rf"_receipts/{PACKED}\.json: it is missing: later ones of its shard are there\. Run the same command again",
    ),
    "data cut": (
        lambda out: os.truncate(out / f"data/{PLAIN}.parquet", 500),
        rf"data/{PLAIN}\.parquet: it was cut, or is no Parquet file\. Delete the segment's receipt and files",
    ),
    "data empty": (lambda out: os.truncate(out / f"data/{PACKED}.parquet", 0), rf"data/{PACKED}\.parquet: it was cut"),
    "a byte changed": (
        lambda out: (out / f"data/{PLAIN}.parquet").write_bytes(
            (content := (out / f"data/{PLAIN}.parquet").read_bytes())[:40] + bytes([content[40] ^ 1]) + content[41:]
        ),
        rf"data/{PLAIN}\.parquet: it was changed: \d+ bytes of sha256 \w+… were written, \d+ of \w+… are there",
    ),
    "a foreign file": (
        lambda out: shutil.copy(out / f"data/{PLAIN}.parquet", out / "data/part-000009-000000.parquet"),
        r"data/part-000009-000000\.parquet: it is foreign: no plan or receipt names it\. Take it away",
    ),
    "a doubled file": (
        lambda out: shutil.copy(out / f"data/{PLAIN}.parquet", out / "data/part-000000-000001.parquet"),
        r"data/part-000000-000001\.parquet: it is foreign: no plan or receipt names it",
    ),
    "foreign rejects": (
        lambda out: shutil.copy(out / f"_rejects/{PLAIN}.parquet", out / "_rejects/copy.parquet"),
        r"_rejects/copy\.parquet: it is foreign: no plan or receipt names it",
    ),
    "a foreign receipt": (
        lambda out: shutil.copy(out / f"_receipts/{PLAIN}.json", out / "_receipts/part-000077-000000.json"),
        r"_receipts/part-000077-000000\.json: it is foreign: no plan or receipt names it",
    ),
    "something else among the receipts": (
        lambda out: (out / "_receipts/notes.txt").write_text("안녕"),
        r"_receipts/notes\.txt: it is foreign: no plan or receipt names it",
    ),
    "receipt unreadable": (
        lambda out: os.truncate(out / f"_receipts/{PLAIN}.json", 60),
        rf"_receipts/{PLAIN}\.json: it cannot be read: A receipt must hold the fields of Receipt as JSON",
    ),
    "receipt with a word for a number": (
        lambda out: edit_receipt(out, PLAIN, end_record="many"),
        rf"_receipts/{PLAIN}\.json: it cannot be read: `end_record` must be a whole number, got 'many'",
    ),
    "receipt of another configuration": (
        lambda out: edit_receipt(out, PLAIN, config_hash="abc"),
        rf"_receipts/{PLAIN}\.json: it is foreign: `config_hash` must be '\w+', got 'abc'",
    ),
    "receipt of another source": (
        lambda out: edit_receipt(out, PLAIN, source="잡지.txt"),
        rf"_receipts/{PLAIN}\.json: it is foreign: `sources` must be \['.*가\.jsonl'\], got \['잡지\.txt'\]",
    ),
    "receipt names another file": (
        lambda out: edit_receipt(
            out, PLAIN, data=json.loads((out / f"_receipts/{PLAIN_NEXT}.json").read_text())["data"]
        ),
        rf"_receipts/{PLAIN}\.json: its file must be data/{PLAIN}\.parquet, got data/{PLAIN_NEXT}\.parquet",
    ),
    "attempts left": (
        lambda out: ((out / "_attempts").mkdir(), (out / "_attempts/part-000000-000000-ab.parquet").touch()),
        r"_attempts/part-000000-000000-ab\.parquet: 1 files of attempts that were cut short are left\. Run the same",
    ),
    "no success": (
        lambda out: (out / "_SUCCESS").unlink(),
        "_SUCCESS: it is missing, so the last run did not end well",
    ),
    "success of something else": (
        lambda out: (out / "_SUCCESS").write_text("{}"),
        r"_SUCCESS: it cannot be read \('config_hash'\)\. Delete it",
    ),
    "plan missing": (lambda out: (out / "_plan.parquet").unlink(), r"_plan\.parquet: A dataset must hold a plan"),
    "plan cut": (
        lambda out: os.truncate(out / "_plan.parquet", 300),
        r"_plan\.parquet: A plan must be as `save_plan` wrote",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_tampered_with_is_named_and_nothing_else(dataset, name):
    tamper, message = TAMPERED[name]
    tamper(dataset)
    report = verify(dataset)
    assert not report.is_whole
    assert re.match(message, report.faults[0])
    names = {fault.split(": ")[0] for fault in report.faults}
    assert len(names - {"_SUCCESS"}) <= 1


@pytest.mark.parametrize("name", [PLAIN, PACKED])
def test_following_the_remedy_makes_the_dataset_whole_with_the_same_bytes(tmp_path, sources, name):
    out = make(tmp_path / "out", sources, JSONL)
    before = {path: path.read_bytes() for path in out.rglob("part-*")}
    os.truncate(out / f"data/{name}.parquet", 100)
    (fault,) = faults(out)
    assert fault.endswith("Delete the segment's receipt and files, and run the same command again.")
    for path in out.rglob(f"{name}.*"):
        path.unlink()
    make(out, sources, JSONL)
    assert faults(out) == []
    assert {path: path.read_bytes() for path in out.rglob("part-*")} == before


@pytest.mark.parametrize("part", ["data", "_rejects"])
@pytest.mark.parametrize(("first", "second"), [(PLAIN, PLAIN_NEXT), (PACKED, PACKED_NEXT), (PLAIN, PACKED)])
def test_swapped_files_are_both_named(dataset, part, first, second):
    swap(dataset / part / f"{first}.parquet", dataset / part / f"{second}.parquet")
    found = faults(dataset)
    assert [fault.split(": ")[0] for fault in found] == [f"{part}/{name}.parquet" for name in (first, second)]
    assert all("it is foreign: the " in fault and " in its footer must be " in fault for fault in found)


def test_swapped_receipts_are_both_named(dataset):
    swap(dataset / f"_receipts/{PLAIN}.json", dataset / f"_receipts/{PLAIN_NEXT}.json")
    found = faults(dataset)[:2]
    assert found[0].startswith(f"_receipts/{PLAIN}.json: it is foreign: `shard_id` must be 0, got 1")
    assert found[1].startswith(f"_receipts/{PLAIN_NEXT}.json: it is foreign: `shard_id` must be 1, got 0")


def test_a_segment_of_another_dataset_is_foreign(dataset, pristine, tmp_path):
    config = dataclasses.replace(JSONL, splitter="newline")
    other = make(tmp_path / "other", sorted(pristine.parent.glob("*.jsonl*")), config)
    for name in (f"data/{PLAIN}.parquet", f"_rejects/{PLAIN}.parquet", f"_receipts/{PLAIN}.json"):
        shutil.copy(other / name, dataset / name)
    assert faults(dataset)[0].startswith(f"_receipts/{PLAIN}.json: it is foreign: `config_hash` must be ")


def test_a_last_segment_that_was_deleted_with_all_its_files_is_missed(dataset):
    last = max(path.stem for path in (dataset / "_receipts").glob("part-000004-*.json"))
    for path in dataset.rglob(f"{last}.*"):
        path.unlink()
    found = faults(dataset)
    assert found[0].startswith(f"_receipts/{last}.json: it is missing: the one before is not the last of its shard.")


def test_a_source_that_was_deleted_from_plan_and_dataset_is_missed(dataset):
    for path in dataset.rglob("part-000005-*"):
        path.unlink()
    plan = pq.read_table(dataset / "_plan.parquet")
    pq.write_table(plan.slice(0, 5), dataset / "_plan.parquet")
    assert any(re.match(r"_SUCCESS: it tells of sources 3, the dataset has 2\.", fault) for fault in faults(dataset))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, 1, 2, 4, 5], "_plan.parquet: its shards must be numbered from 0 without a gap."),
        ([1, 2, 3, 4, 5], "_plan.parquet: its shards must be numbered from 0 without a gap."),
        ([0, 1, 2, 2, 4, 5], "_plan.parquet: its shards must be numbered from 0 without a gap."),
    ],
)
def test_a_plan_with_shards_cut_out_or_doubled_is_named(dataset, rows, message):
    plan = pq.read_table(dataset / "_plan.parquet")
    pq.write_table(plan.take(rows), dataset / "_plan.parquet")
    found = faults(dataset)
    assert found[0].startswith(message)
    assert found[1].startswith("_plan.parquet: the shards of ")
    assert "가.jsonl must follow each other from its begin to its end. Restore the plan" in found[1]


def test_a_plan_whose_configuration_was_changed_is_named(dataset):
    plan = pq.read_table(dataset / "_plan.parquet")
    metadata = {**plan.schema.metadata}
    metadata[b"klue_beam.config"] = metadata[b"klue_beam.config"].replace(b'"fast"', b'"none"')
    pq.write_table(plan.replace_schema_metadata(metadata), dataset / "_plan.parquet")
    assert re.match(
        r"_plan\.parquet: its configuration must hash to \w+, got \w+\. Restore the plan", faults(dataset)[0]
    )


# Files and receipts that were forged to agree with each other.

FORGED = {
    "a record lost": (
        lambda out: rewrite(out, "data", PLAIN, lambda rows: rows.slice(2)),
        rf"data/{PLAIN}\.parquet: it must hold \d+ documents, got \d+",
    ),
    "a sentence lost": (
        lambda out: rewrite(out, "data", PLAIN, lambda rows: rows.slice(1)),
        rf"data/{PLAIN}\.parquet: record 0 is doubled or cut: sentence 1 stands where sentence 0 of a record must",
    ),
    "a record doubled": (
        lambda out: rewrite(out, "data", PLAIN, lambda rows: pa.concat_tables([rows.slice(0, 2), rows])),
        rf"data/{PLAIN}\.parquet: record 0 is doubled or cut: sentence 0 stands where sentence 2 of a record must",
    ),
    "a record out of range": (
        lambda out: rewrite(out, "data", PLAIN, lambda rows: renumber(rows, 0, -5)),
        rf"data/{PLAIN}\.parquet: record -5 is ",
    ),
    "a document in the place of a blank": (
        lambda out: rewrite(out, "data", PLAIN, lambda rows: renumber(rows, 0, 1)),
        rf"data/{PLAIN}\.parquet: record 0 is a document in its source, but not there",
    ),
    "a document in data and rejects": (
        lambda out: rewrite(out, "data", PLAIN, lambda rows: renumber(rows, 4, 3)),
        rf"data/{PLAIN}\.parquet: record 3 is in the data and in the rejects",
    ),
    "rows of another source": (
        lambda out: rewrite(out, "data", PLAIN, lambda rows: relabel(rows, "source", "잡지.txt")),
        rf"data/{PLAIN}\.parquet: it holds rows of another source, 잡지\.txt",
    ),
    "rejects doubled": (
        lambda out: rewrite(out, "_rejects", PLAIN, lambda rows: pa.concat_tables([rows, rows])),
        rf"_rejects/{PLAIN}\.parquet: record 3 is rejected more than once",
    ),
    "rejects emptied": (
        lambda out: rewrite(out, "_rejects", PLAIN, lambda rows: rows.slice(0, 0)),
        rf"_rejects/{PLAIN}\.parquet: it must hold \d+ rejected records, got 0",
    ),
    "rejects of another stage": (
        lambda out: rewrite(out, "_rejects", PLAIN, lambda rows: relabel(rows, "stage", "annotate")),
        rf"_rejects/{PLAIN}\.parquet: record 3 has a reject of a later stage, but no row in the data",
    ),
    "a break that was none": (
        lambda out: rewrite(out, "_rejects", PACKED, lambda rows: pa.concat_tables([rows, nameless(rows)])),
        rf"_rejects/{PACKED}\.parquet: it must hold no reject for a break, got 1 breaks",
    ),
    "a column more": (
        lambda out: rewrite(out, "data", PLAIN, lambda rows: rows.append_column("mood", rows["text"])),
        rf"data/{PLAIN}\.parquet: its columns must be doc_id, .*, flags, got doc_id, .*, flags, mood\. Delete",
    ),
    "more records": (
        lambda out: edit_receipt(out, PLAIN_NEXT, end_record=1000),
        rf"_receipts/{PLAIN_NEXT}\.json: `end_record` must be \d+, got 1000",
    ),
    "records that begin elsewhere": (
        lambda out: edit_receipt(out, PACKED, first_record=0),
        rf"_receipts/{PACKED}\.json: `first_record` must be \d+, where the part before ends, got 0",
    ),
    "bytes that end elsewhere": (
        lambda out: edit_receipt(out, PLAIN, end=7),
        rf"_receipts/{PLAIN}\.json: `end` must be \d+, got 7",
    ),
    "a last segment that is not the last": (
        lambda out: edit_receipt(out, PACKED, last_of_shard=True),
        rf"_receipts/{PACKED_NEXT}\.json: it is foreign: segment 1 is the last of its shard",
    ),
    "counts that do not add up": (
        lambda out: edit_receipt(
            out, PLAIN, counts={**json.loads((out / f"_receipts/{PLAIN}.json").read_text())["counts"], "blanks": 9}
        ),
        rf"_receipts/{PLAIN}\.json: it covers \d+ records, but counts \d+ documents, 9 blanks and \d+ rejected records",
    ),
    "rows that are not counted": (
        lambda out: edit_receipt(
            out, PLAIN, counts={**json.loads((out / f"_receipts/{PLAIN}.json").read_text())["counts"], "sentences": 1}
        ),
        rf"_receipts/{PLAIN}\.json: it counts 1 sentences, but names a file of \d+ rows",
    ),
}


def relabel(rows, column, value):
    return rows.set_column(
        rows.schema.get_field_index(column), rows.schema.field(column), pa.array([value] * len(rows))
    )


def renumber(rows, old, new):
    numbers = [new if number == old else number for number in rows["record_index"].to_pylist()]
    place = rows.schema.get_field_index("record_index")
    return rows.set_column(place, rows.schema.field(place), pa.array(numbers, pa.int64()))


def nameless(rows):
    place = rows.schema.get_field_index("record_index")
    return rows.slice(0, 1).set_column(place, rows.schema.field(place), pa.array([None], pa.int64()))


@pytest.mark.parametrize("name", FORGED)
def test_forged_parts_that_agree_with_each_other_are_named(dataset, name):
    forge, message = FORGED[name]
    forge(dataset)
    assert re.match(message, faults(dataset)[0])


def test_a_folder_that_is_not_there_is_a_wrong_call(tmp_path):
    with pytest.raises(
        ValueError, match=r"`dataset` must be the folder of a dataset, got .*/none'\. Name one that is there"
    ):
        verify(tmp_path / "none")
