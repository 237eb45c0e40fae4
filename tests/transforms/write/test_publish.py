"""Attempt files hold bounded row groups, and are published where nothing is yet."""

import re
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.transforms.base.stores.local import LocalStore
from klue_beam.transforms.base.stores.opening import locate
from klue_beam.transforms.plan.files import describe_file, read_footer
from klue_beam.transforms.write.publish import MAX_GROUP_BYTES, MAX_GROUP_ROWS, AttemptFile

SCHEMA = pa.schema(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("spans", pa.list_(pa.struct([("begin", pa.int32()), ("form", pa.string())]))),
        pa.field("raw", pa.binary()),
    ]
)
FOOTER = {"klue_beam.config_hash": "abc", "klue_beam.source": "뉴스.txt"}

text = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("한글\u1112\u1161\u11ab🇰🇷👩\u200d👩\u200d👧\0"),
    max_size=20,
)
span = st.fixed_dictionaries({"begin": st.integers(-(2**31), 2**31 - 1), "form": text})
row = st.fixed_dictionaries(
    {"text": text, "spans": st.none() | st.lists(span, max_size=4), "raw": st.none() | st.binary(max_size=20)}
)


def write(folder, batches, name="part"):
    attempt = AttemptFile(LocalStore(str(folder)), name, SCHEMA.with_metadata(FOOTER))
    for batch in batches:
        attempt.write(batch)
    attempt.close({"klue_beam.end_record": "7"})
    return attempt


def texts(*values):
    return pa.RecordBatch.from_pylist([{"text": value, "spans": None, "raw": None} for value in values], schema=SCHEMA)


@settings(deadline=None)  # it waits for the disk
@given(st.lists(st.lists(row, max_size=5), min_size=1, max_size=4))
def test_rows_come_back_as_they_were_written(groups):
    batches = [pa.RecordBatch.from_pylist(rows, schema=SCHEMA) for rows in groups]
    with tempfile.TemporaryDirectory() as folder:
        attempt = write(folder, batches)
        table = pq.read_table(attempt.path)
        assert table.to_pylist() == [row for rows in groups for row in rows]
        assert table.schema.equals(SCHEMA)
        assert attempt.rows == table.num_rows


def test_the_footer_holds_what_was_known_first_and_what_was_known_last(tmp_path):
    attempt = write(tmp_path, [texts("하나")])
    assert read_footer(*locate(str(attempt.path))) == {**FOOTER, "klue_beam.end_record": "7"}
    assert pq.read_schema(attempt.path).metadata[b"klue_beam.config_hash"] == b"abc"


def test_the_same_rows_give_the_same_bytes_in_every_attempt(tmp_path):
    batches = [texts(*(f"문장 {i}" for i in range(1000)))] * 3
    first, second = write(tmp_path, batches), write(tmp_path, batches)
    assert first.path != second.path
    assert first.path.read_bytes() == second.path.read_bytes()
    assert second.path.name.encode() not in second.path.read_bytes()


def test_row_groups_are_bounded_by_rows(tmp_path):
    batch = texts(*("가" * (i % 3) for i in range(20_000)))
    metadata = pq.read_metadata(write(tmp_path, [batch] * 5).path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [60_000, 40_000]
    assert max(60_000, 40_000) <= MAX_GROUP_ROWS


def test_row_groups_are_bounded_by_bytes_even_when_one_batch_is_larger(tmp_path):
    megabyte = "가" * (1024 * 1024 // 3)
    metadata = pq.read_metadata(write(tmp_path, [texts(*[megabyte] * 40), texts("끝")]).path)
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sum(sizes) == 41
    assert max(sizes) <= MAX_GROUP_BYTES // (1024 * 1024) + 1
    assert len(sizes) <= 4


def test_a_row_larger_than_a_row_group_is_a_group_of_its_own(tmp_path):
    huge = "나" * (MAX_GROUP_BYTES // 2)
    attempt = write(tmp_path, [texts("앞"), texts(huge), texts("뒤")])
    metadata = pq.read_metadata(attempt.path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [1, 1, 1]
    assert pq.read_table(attempt.path)["text"].to_pylist() == ["앞", huge, "뒤"]


def test_discarding_removes_the_file_open_or_closed_and_twice(tmp_path):
    closed = write(tmp_path, [texts("하나")])
    opened = AttemptFile(LocalStore(str(tmp_path)), "part", SCHEMA)
    opened.write(texts("둘"))
    for attempt in (closed, opened, opened):
        attempt.discard()
    assert list((tmp_path / "_attempts").iterdir()) == []


def test_a_description_says_path_rows_size_and_hash(tmp_path):
    attempt = write(tmp_path, [texts("하나", "둘")])
    described = describe_file(LocalStore(str(tmp_path)), f"_attempts/{attempt.path.name}")
    assert described.path == f"_attempts/{attempt.path.name}"
    assert (described.rows, described.size_bytes) == (2, attempt.path.stat().st_size)
    assert re.fullmatch("[0-9a-f]{64}", described.sha256)
