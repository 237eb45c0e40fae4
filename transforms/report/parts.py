"""A dataset's records in some parts, in their order, to see whether labels drift over them."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from klue_beam.schemas.shard import Receipt

MOST_PARTS: Final = 24
LEAST_RECORDS: Final = 20
"""A part has at least so many records on average; shares of fewer tell nothing."""

SOURCES_TO_PART_BY: Final = 8
"""With so many sources a part is some sources, with fewer a source is cut into ranges of records."""


@dataclass(frozen=True, slots=True)
class Parts:
    """How records are parted.

    Attributes:
      names: of the parts, in order.
      table: for each source, the number of its first part, and how many records make a part.
    """

    names: tuple[str, ...]
    table: pa.Table


def part_records(receipts: Sequence[Receipt]) -> Parts:
    """Part a dataset's records.

    Args:
      receipts: of all segments, in their order.
    """
    ends: dict[str, int] = {}
    for receipt in receipts:
        for covered in receipt.covered:
            ends[covered.source] = max(ends.get(covered.source, 0), covered.end_record)
    wanted = max(1, min(MOST_PARTS, sum(ends.values()) // LEAST_RECORDS))
    if len(ends) >= min(SOURCES_TO_PART_BY, wanted):
        return _by_sources(list(ends), wanted)
    return _by_records(ends, max(1, wanted // max(1, len(ends))))


def _by_sources(sources: Sequence[str], wanted: int) -> Parts:
    n_parts = min(wanted, len(sources))
    bounds = [part * len(sources) // n_parts for part in range(n_parts + 1)] if n_parts else [0]
    names, rows = [], []
    for part, (begin, end) in enumerate(itertools.pairwise(bounds)):
        first, last = os.path.basename(sources[begin]), os.path.basename(sources[end - 1])
        names.append(first if end - begin == 1 else f"{first} … {last}")
        rows += [(source, part, 1 << 62) for source in sources[begin:end]]
    return Parts(tuple(names), _to_table(rows))


def _by_records(ends: Mapping[str, int], parts_a_source: int) -> Parts:
    names: list[str] = []
    rows = []
    for source, end in ends.items():
        size = max(1, -(-end // parts_a_source))
        rows.append((source, len(names), size))
        for begin in range(0, max(end, 1), size):
            place = f", records {begin:,} to {min(begin + size, end) - 1:,}" if size < end else ""
            names.append(os.path.basename(source) + place)
    return Parts(tuple(names), _to_table(rows))


def _to_table(rows: Sequence[tuple[str, int, int]]) -> pa.Table:
    names = ("source", "first_part", "records_a_part")
    schema = pa.schema(list(zip(names, (pa.string(), pa.int64(), pa.int64()), strict=True)))
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema)
