"""JSON Lines: one object a sentence, with all columns."""

import json
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.transforms.export.base import Exporter
from klue_beam.transforms.plan.dataset import Dataset


def write_jsonl(dataset: Dataset, path: Path) -> None:
    """Write a line of JSON for each sentence, in the order of the dataset; `metadata` as an object."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for batch in dataset.rows():
            for row in _to_rows(batch):
                if row.get("metadata") is not None:
                    row["metadata"] = json.loads(row["metadata"])
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def _to_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    columns = [shorten_floats(column) for column in batch.columns]
    rows: list[dict[str, Any]] = pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    return rows


def shorten_floats(column: pa.Array) -> pa.Array:
    """Give 32-bit floats, also those in lists and structs, as the shortest decimals that tell them apart.

    >>> shorten_floats(pa.array([0.1], pa.float32()))[0].as_py()
    0.1
    """
    kind = column.type
    if pa.types.is_float32(kind):
        return pc.cast(pc.cast(column, pa.string()), pa.float64())
    if pa.types.is_list(kind):
        items = shorten_floats(column.flatten())
        lengths = pc.fill_null(pc.list_value_length(column), 0)
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
        return pa.ListArray.from_arrays(offsets, items, mask=column.is_null())
    if pa.types.is_struct(kind):
        fields = [shorten_floats(column.field(index)) for index in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, names=kind.names, mask=column.is_null())
    return column


EXPORTER: Final = Exporter(
    name="jsonl",
    summary="JSON Lines: one object a sentence, with all columns",
    suffix=".jsonl",
    write=write_jsonl,
)
