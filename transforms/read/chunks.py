"""Gather documents and rejects, record by record, into the chunks of a segment."""

from typing import Any

import pyarrow as pa

from klue_beam.schemas.document import DOCUMENT
from klue_beam.schemas.reject import MAX_RAW_BYTES, REJECT
from klue_beam.schemas.shard import Chunk, ChunkKey, Shard, Tally
from klue_beam.transforms.formats.text import Document


class ChunkBuilder:
    """The chunks of one segment, in order; each covers what was added since the one before.

    Attributes:
      weight_bytes: text, metadata and rejects gathered for the chunk at hand.
    """

    def __init__(self, shard: Shard, segment: int, first_record: int, begin_byte: int) -> None:
        self.weight_bytes = 0
        self._shard = shard
        self._segment = segment
        self._batch = 0
        self._begin = (first_record, begin_byte)
        self._clear()

    def add_document(self, record_index: int, document: Document, default_id: str) -> bool:
        """Add a record's document; a blank one is counted and gives no row."""
        text = document.text
        if not text or text.isspace():
            self._blanks += 1
            return False
        self._rows.append((document.doc_id or default_id, record_index, text, document.metadata))
        self.weight_bytes += len(text.encode()) + len(document.metadata or "")
        return True

    def add_reject(
        self, record_index: int | None, byte_begin: int | None, reason: str, raw: bytes | None, raw_bytes: int | None
    ) -> None:
        """Add a refused record, or a break of the source, which has no `record_index`."""
        kept = None if raw is None else raw[:MAX_RAW_BYTES]
        self._rejects.append((record_index, byte_begin, reason, kept, raw_bytes))
        self.weight_bytes += len(reason) + len(kept or b"")

    def take(self, end_record: int, end_byte: int, *, last_of_shard: bool = False, input_sha256: str = "") -> Chunk:
        """Give the chunk that ends here; the last of its segment if it brings the segment's hash."""
        first_record, begin_byte = self._begin
        last_of_segment = bool(input_sha256)
        chunk = Chunk(
            ChunkKey(self._shard.shard_id, self._segment, self._batch, last_of_segment, last_of_shard),
            self._row_batch(),
            self._reject_batch(),
            Tally(first_record, end_record, begin_byte, end_byte, len(self._rows), self._blanks, input_sha256),
        )
        self._batch += 1
        self._begin = (end_record, end_byte)
        self._clear()
        return chunk

    def _clear(self) -> None:
        self.weight_bytes = 0
        self._blanks = 0
        self._rows: list[tuple[Any, ...]] = []
        self._rejects: list[tuple[Any, ...]] = []

    def _row_batch(self) -> pa.RecordBatch:
        doc_ids, indexes, texts, metadata = _columns(self._rows, 4)
        source = [self._shard.source] * len(self._rows)
        return _to_batch([doc_ids, source, indexes, texts, metadata], DOCUMENT)

    def _reject_batch(self) -> pa.RecordBatch:
        indexes, begins, reasons, raws, sizes = _columns(self._rejects, 5)
        source, stage = [self._shard.source] * len(self._rejects), ["read"] * len(self._rejects)
        return _to_batch([source, indexes, begins, stage, reasons, raws, sizes], REJECT)


def _columns(rows: list[tuple[Any, ...]], n_columns: int) -> list[Any]:
    return list(zip(*rows, strict=True)) or [()] * n_columns


def _to_batch(columns: list[Any], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)
