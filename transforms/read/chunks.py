"""Gather documents and rejects, record by record, into the chunks of a segment."""

from typing import Any

import pyarrow as pa

from klue_beam.schemas.document import DOCUMENT
from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.reject import MAX_RAW_BYTES, REJECT
from klue_beam.schemas.shard import Chunk, ChunkKey, Shard, Tally
from klue_beam.transforms.formats.text import Document

_NO_DROPPED = pa.RecordBatch.from_pylist([], schema=DROPPED)


class ChunkBuilder:
    """The chunks of one segment, in order; each covers what was added since the one before.

    Attributes:
      weight_bytes: text, metadata and rejects gathered for the chunk at hand.
    """

    def __init__(self, shard: Shard, segment: int) -> None:
        self.weight_bytes = 0
        self._shard = shard
        self._segment = segment
        self._batch = 0
        self._range_index = 0
        self._begin = (0, 0)
        self._documents = self._blanks = 0
        self._clear()

    def begin_range(self, range_index: int, first_record: int, begin: int) -> None:
        """Go on with what the segment covers of a range of the shard."""
        self._range_index = range_index
        self._source = self._shard.ranges[range_index].source
        self._begin = (first_record, begin)

    def end_range(self, end_record: int, end: int, input_sha256: str) -> None:
        """End what the segment covers of the range at hand."""
        self._add_tally(end_record, end, input_sha256)

    def add_document(self, record_index: int, document: Document, *, is_whole_source: bool = False) -> None:
        """Add a record's document; a blank one is counted and gives no row.

        Without an id of its own it is named by its source and number, by the source alone if it is the whole of it.
        """
        text = document.text
        if not text or text.isspace():
            self._blanks += 1
            return
        self._documents += 1
        default_id = self._source if is_whole_source else f"{self._source}#{record_index}"
        self._rows.append((document.doc_id or default_id, self._source, record_index, text, document.metadata))
        self.weight_bytes += len(text.encode()) + len(document.metadata or "")

    def add_reject(
        self, record_index: int | None, byte_begin: int | None, reason: str, raw: bytes | None, raw_bytes: int | None
    ) -> None:
        """Add a refused record, or a break of the source, which has no `record_index`."""
        kept = None if raw is None else raw[:MAX_RAW_BYTES]
        self._rejects.append((self._source, record_index, byte_begin, "read", reason, kept, raw_bytes))
        self.weight_bytes += len(reason) + len(kept or b"")

    def take(self, end_record: int, end: int) -> Chunk:
        """Give the chunk that ends inside a range, before its record `end_record`."""
        self._add_tally(end_record, end, "")
        return self._take(last_of_segment=False, last_of_shard=False)

    def take_last(self, *, last_of_shard: bool) -> Chunk:
        """Give the last chunk of the segment; the range at hand has been ended."""
        return self._take(last_of_segment=True, last_of_shard=last_of_shard)

    def _add_tally(self, end_record: int, end: int, input_sha256: str) -> None:
        first_record, begin = self._begin
        counts = (self._documents, self._blanks)
        self._tallies.append(Tally(self._range_index, first_record, end_record, begin, end, *counts, input_sha256))
        self._begin = (end_record, end)
        self._documents = self._blanks = 0

    def _take(self, *, last_of_segment: bool, last_of_shard: bool) -> Chunk:
        key = ChunkKey(self._segment, self._batch, last_of_segment, last_of_shard)
        rows, rejects = _to_batch(self._rows, DOCUMENT), _to_batch(self._rejects, REJECT)
        chunk = Chunk(self._shard, key, rows, rejects, _NO_DROPPED, tuple(self._tallies))
        self._batch += 1
        self._clear()
        return chunk

    def _clear(self) -> None:
        self.weight_bytes = 0
        self._documents = self._blanks = 0
        self._rows: list[tuple[Any, ...]] = []
        self._rejects: list[tuple[Any, ...]] = []
        self._tallies: list[Tally] = []


def _to_batch(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)
