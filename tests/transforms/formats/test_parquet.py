"""Documents from Parquet: row-group shards, and a reject for every row that gives none."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from klue_beam.schemas.config import AnnotateConfig, ReadConfig
from klue_beam.schemas.shard import Chunk, Coverage, Receipt, Shard, SourceRange
from klue_beam.transforms.plan.plan import make_plan
from klue_beam.transforms.read.shards import count_records, read_shard


def read_table(path: Path, table: pa.Table, row_group_size: int = 1000, **fields: Any) -> list[Chunk]:
    pq.write_table(table, path, row_group_size=row_group_size)
    return read_file(path, **fields)


def read_file(path: Path, **fields: Any) -> list[Chunk]:
    """Plan and read a file, and check that chunks cover its rows without a gap, and a recount agrees."""
    config = ReadConfig(input_format="parquet", **fields)
    shards = make_plan([str(path)], AnnotateConfig(read=config)).shards
    chunks, end = [], 0
    for shard in shards:
        of_shard = list(read_shard(shard, config))
        assert [chunk.key.batch for chunk in of_shard] == list(range(len(of_shard)))
        for chunk in of_shard:
            (tally,) = chunk.tallies
            assert (tally.first_record, tally.begin, tally.end) == (end, end, tally.end_record)
            end = tally.end_record
            assert end - tally.first_record == tally.documents + tally.blanks + chunk.rejects.num_rows
        (count,) = count_records(shard, config)
        (covered,) = count.covered
        assert (covered.first_record, covered.end_record) == (of_shard[0].tallies[0].first_record, end)
        assert covered.input_sha256 == of_shard[-1].tallies[0].input_sha256
        assert of_shard[-1].key[2:] == (True, True)
        chunks += of_shard
    return chunks


def documents(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for chunk in chunks for row in chunk.rows.to_pylist()]


def rejects(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    names = ("record_index", "byte_begin", "stage", "reason", "raw", "raw_bytes")
    return [tuple(row[name] for name in names) for chunk in chunks for row in chunk.rejects.to_pylist()]


TABLE = pa.table({"id": [f"문서 {i}" for i in range(100)], "text": [f"{i}번 문장이다." for i in range(100)]})


@pytest.mark.parametrize("batch_bytes", [1, 100, 1_000_000])
def test_rows_are_the_same_however_they_are_cut(tmp_path: Path, batch_bytes: int) -> None:
    path = tmp_path / "rows.parquet"
    chunks = read_table(path, TABLE, row_group_size=7, shard_bytes=500, batch_bytes=batch_bytes)
    assert len({chunk.shard.shard_id for chunk in chunks}) > 3
    expected = [(f"문서 {i}", str(path), i, f"{i}번 문장이다.", None) for i in range(100)]
    assert documents(chunks) == expected
    assert len(chunks) >= (100 if batch_bytes == 1 else 4)


@pytest.mark.parametrize(
    "text_type", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_every_kind_of_string_column_is_read(tmp_path: Path, text_type: pa.DataType) -> None:
    table = TABLE.set_column(
        1,
        "text",
        TABLE["text"].cast(text_type)
        if text_type != pa.string_view()
        else pa.array(TABLE["text"].to_pylist(), text_type),
    )
    assert [row[3] for row in documents(read_table(tmp_path / "kinds.parquet", table))] == TABLE["text"].to_pylist()


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([1, 2], pa.int64()), ["1", "2"]),
        (pa.array([1.5, 2], pa.float64()), ["1.5", "2.0"]),
        (pa.array([decimal.Decimal("1.20"), decimal.Decimal("3.00")]), ["1.20", "3.00"]),
        (None, ["{path}#0", "{path}#1"]),
    ],
)
def test_ids_are_strings_or_numbers_or_made(tmp_path: Path, ids: pa.Array | None, expected: list[str]) -> None:
    table = pa.table({"text": ["가", "나"]} | ({} if ids is None else {"id": ids}))
    path = tmp_path / "ids.parquet"
    assert [row[0] for row in documents(read_table(path, table))] == [name.format(path=path) for name in expected]


def test_blank_rows_are_counted(tmp_path: Path) -> None:
    (chunk,) = read_table(tmp_path / "blank.parquet", pa.table({"text": ["", " \u3000", "글"]}))
    assert chunk.tallies[0][5:7] == (1, 2)


def test_each_bad_row_is_a_reject(tmp_path: Path) -> None:
    raw = [b"ok", None, b"\xff\xfe", b"x" * 50, b"last"]
    text = pa.Array.from_buffers(pa.string(), 5, pa.array(raw, pa.binary()).buffers())
    table = pa.table({"text": text, "id": pa.array(["a", "b", "c", "d", None])})
    chunks = read_table(tmp_path / "bad.parquet", table, max_record_bytes=40)
    assert [row[3] for row in documents(chunks)] == ["ok"]
    assert rejects(chunks) == [
        (1, None, "read", "wrong type: `text` must be a string, got null", None, None),
        (2, None, "read", "broken UTF-8: invalid start byte at byte 0 of `text`", b"\xff\xfe", 2),
        (3, None, "read", "record too long: 50 bytes, `max_record_bytes` is 40", b"x" * 50, 50),
        (4, None, "read", "wrong type: `id` must be a string or a number, got null", b"last", 4),
    ]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"body": ["a", "b"]}, "missing field: `text`"),
        ({"text": [1, 2]}, "wrong type: `text` must be a string, got int64"),
        ({"text": [b"a", b"b"]}, "wrong type: `text` must be a string, got binary"),
        ({"text": ["a", "b"], "id": [True, False]}, "wrong type: `id` must be a string or a number, got bool"),
    ],
)
def test_a_wrong_column_makes_each_row_a_reject(tmp_path: Path, columns: dict[str, list[Any]], reason: str) -> None:
    chunks = read_table(tmp_path / "wrong.parquet", pa.table(columns))
    assert [(row[0], row[3]) for row in rejects(chunks)] == [(0, reason), (1, reason)]


def test_rows_behind_a_broken_page_are_rejects(tmp_path: Path) -> None:
    """With one page overwritten, its row group's rows are rejects, and the other row groups are read."""
    path = tmp_path / "broken.parquet"
    table = pa.table({"text": [f"{i} {'가나다' * 20}" for i in range(90)]})
    pq.write_table(table, path, row_group_size=30, compression="snappy", use_dictionary=False)
    place = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    begin = place.data_page_offset
    data[begin : begin + place.total_compressed_size] = b"\xff" * place.total_compressed_size
    path.write_bytes(data)
    chunks = read_file(path)
    assert [row[2] for row in documents(chunks)] == [*range(30), *range(60, 90)]
    found = rejects(chunks)
    assert [row[0] for row in found] == list(range(30, 60))
    assert found[0][3].startswith("broken Parquet page: ")


def test_metadata_is_json_of_the_other_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["글"],
            "id": ["a"],
            "when": [datetime.datetime(2024, 5, 1, 12, 30)],
            "price": [decimal.Decimal("1.50")],
            "score": [float("nan")],
            "bytes": [b"\x00\xff"],
            "nested": [{"이름": ["가", None], "n": 3}],
        }
    )
    (row,) = documents(read_table(tmp_path / "metadata.parquet", table, keep_metadata=True))
    assert json.loads(row[4]) == {
        "when": "2024-05-01T12:30:00",
        "price": "1.50",
        "score": None,
        "bytes": "AP8=",
        "nested": {"이름": ["가", None], "n": 3},
    }
    assert "이름" in row[4]


def test_a_file_without_rows_gives_one_empty_chunk(tmp_path: Path) -> None:
    (chunk,) = read_table(tmp_path / "none.parquet", TABLE.slice(0, 0))
    assert chunk.key == (0, 0, True, True)
    assert chunk.rows.num_rows == 0


def test_a_false_parquet_file_is_refused_by_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "false.parquet"
    path.write_bytes(b"this is no parquet file")
    with pytest.raises(ValueError, match=r"must be a Parquet file, got '.*false.parquet' .* Take it out of the inputs"):
        make_plan([str(path)], AnnotateConfig(read=ReadConfig(input_format="parquet")))


def test_a_shard_that_is_committed_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "done.parquet"
    pq.write_table(TABLE, path)
    shard, config = Shard(0, (SourceRange(str(path), 0, "1", 0, 1, 0),)), ReadConfig(input_format="parquet")
    receipt = Receipt(0, 0, True, "0", (Coverage(str(path), 0, 100, 0, 100, ""),), {}, None, None, None)
    assert list(read_shard(shard, config, [receipt])) == []
