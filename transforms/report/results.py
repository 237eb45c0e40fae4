"""The result of a query written as CSV, JSON Lines or Parquet, some rows at a time."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Final, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from klue_beam.transforms.export.jsonl import shorten_floats
from klue_beam.transforms.report.queries import Query, to_plain


def read_plain_rows(query: Query) -> Iterator[list[Any]]:
    """Give the rows of a result, values as JSON has them, floats as short as they can be."""
    for batch in query.batches():
        columns = [shorten_floats(column).to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True):
            yield [to_plain(value) for value in row]


def write_csv(query: Query, file: TextIO) -> None:
    """Write CSV with a line of names; lists and structs as JSON, null as nothing."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(query.schema.names)
    for row in read_plain_rows(query):
        writer.writerow([to_cell(value, null="") for value in row])


def write_jsonl(query: Query, file: TextIO) -> None:
    """Write an object a line."""
    names = query.schema.names
    for row in read_plain_rows(query):
        file.write(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n")


def write_parquet(query: Query, file: IO[bytes]) -> None:
    """Write Parquet, compressed by zstd."""
    with pq.ParquetWriter(file, query.schema, compression="zstd") as writer:
        for batch in query.batches():
            writer.write_table(pa.Table.from_batches([batch], query.schema))


def to_cell(value: Any, null: str) -> str:
    """Write a value of JSON's kinds in a cell.

    >>> to_cell(["가"], ""), to_cell("가", ""), to_cell(None, "·"), to_cell(True, "")
    ('["가"]', '가', '·', 'true')
    """
    if value is None:
        return null
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


TEXT_WRITERS: Final[Mapping[str, Callable[[Query, TextIO], None]]] = {"csv": write_csv, "json": write_jsonl}
"""By the names of the formats."""
