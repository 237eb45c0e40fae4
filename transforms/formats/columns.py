"""Documents and rejects as they are read, column by column, on their way to a chunk."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.schemas.document import DOCUMENT
from klue_beam.schemas.reject import MAX_RAW_BYTES, REJECT


class Fault(NamedTuple):
    """A row that gives no document: where it stands among its rows, why, and the text's first bytes if it has any."""

    row: int
    reason: str
    raw: bytes | None
    raw_bytes: int | None


class Rows(NamedTuple):
    """Rows of a columnar format.

    Attributes:
      texts: strings, null where there is a fault. Shape: (n,).
      doc_ids: strings, null where a row names none, or None where no row does. Shape: (n,).
      metadata: JSON, or None where it is not kept. Shape: (n,).
      faults: in the order of their rows.
    """

    texts: pa.Array
    doc_ids: pa.Array | None
    metadata: pa.Array | None
    faults: list[Fault]


class Columns:
    """What was read for the chunk at hand.

    Args:
      batch_bytes: so much text, metadata and rejects make a chunk full.

    Attributes:
      documents, blanks: records of these kinds since `take_counts`.
    """

    def __init__(self, batch_bytes: int) -> None:
        self._batch_bytes = batch_bytes
        self._source = ""
        self.documents = self.blanks = 0
        self._lists: list[list[Any]] = [[] for _ in DOCUMENT]
        self._clear()

    def begin_source(self, source: str) -> None:
        """Say of which source the records are that come now."""
        self._source = source

    @property
    def is_full(self) -> bool:
        """Whether the chunk at hand is full."""
        return self._weight_bytes >= self._batch_bytes

    def add(self, record_index: int, doc_id: str, text: str, metadata: str | None) -> None:
        """Add a record's document; a blank one is counted and gives no row."""
        if not text or text.isspace():
            self.blanks += 1
            return
        self.documents += 1
        content = text.encode()
        self._weight_bytes += len(content) + len(metadata or "")
        columns = self._lists
        columns[0].append(doc_id)
        columns[1].append(self._source)
        columns[2].append(record_index)
        columns[3].append(content)  # Arrow takes the bytes as they are
        columns[4].append(metadata)

    def reject(
        self, record_index: int | None, byte_begin: int | None, reason: str, raw: bytes | None, raw_bytes: int | None
    ) -> None:
        """Add a refused record, or a break of the source, which has no `record_index`."""
        kept = None if raw is None else raw[:MAX_RAW_BYTES]
        self._rejects.append((self._source, record_index, byte_begin, "read", reason, kept, raw_bytes))
        self._weight_bytes += len(reason) + len(kept or b"")

    def add_rows(self, record_index: int, rows: Rows) -> int:
        """Add rows up to the one that fills the chunk.

        Args:
          record_index: of the first one.
          rows: those to add.

        Returns:
          How many were taken; all of them if the chunk is not full then.
        """
        weights = _weigh(rows)
        reached = np.cumsum(weights) + self._weight_bytes >= self._batch_bytes
        taken = int(reached.argmax()) + 1 if reached.any() else len(weights)
        texts = rows.texts.slice(0, taken)
        is_document = ~(texts.is_null().to_numpy(zero_copy_only=False) | _is_blank(texts))
        faults = [fault for fault in rows.faults if fault.row < taken]
        self.blanks += taken - int(is_document.sum()) - len(faults)
        self.documents += int(is_document.sum())
        self._append_batch(record_index, rows, pa.array(np.flatnonzero(is_document)))
        for fault in faults:
            self.reject(record_index + fault.row, None, fault.reason, fault.raw, fault.raw_bytes)
        self._weight_bytes += int(weights[:taken][is_document].sum())
        return taken

    def take(self) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """Give the documents and the rejects gathered, and begin the next chunk."""
        self._flush()
        batches = self._batches or [_batch([[]] * len(DOCUMENT), DOCUMENT)]
        rows = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
        columns = zip(*self._rejects, strict=True) if self._rejects else [()] * len(REJECT)
        rejects = _batch(columns, REJECT)
        self._clear()
        return rows, rejects

    def take_counts(self) -> tuple[int, int]:
        """Give documents and blanks counted since the last call."""
        counts = (self.documents, self.blanks)
        self.documents = self.blanks = 0
        return counts

    def _append_batch(self, record_index: int, rows: Rows, taken: pa.Array) -> None:
        """Append those rows that are documents, column by column."""
        if not len(taken):
            return
        self._flush()
        indexes = pc.add(taken, record_index)
        made = pc.binary_join_element_wise(self._source, pc.cast(indexes, pa.string()), "#")
        ids = made if rows.doc_ids is None else pc.coalesce(_not_empty(rows.doc_ids.take(taken)), made)
        source = pa.repeat(pa.scalar(self._source), len(taken))
        metadata = pa.nulls(len(taken), pa.string()) if rows.metadata is None else rows.metadata.take(taken)
        columns = [ids, source, indexes, rows.texts.take(taken), metadata]
        self._batches.append(pa.record_batch(columns, schema=DOCUMENT))

    def _flush(self) -> None:
        if self._lists[0]:
            self._batches.append(_batch(self._lists, DOCUMENT))
            self._lists = [[] for _ in DOCUMENT]

    def _clear(self) -> None:
        self._weight_bytes = 0
        self._batches: list[pa.RecordBatch] = []
        self._lists = [[] for _ in DOCUMENT]
        self._rejects: list[tuple[Any, ...]] = []


def _weigh(rows: Rows) -> Any:
    """Give the bytes of each row's text and the characters of its metadata, of a fault its reason and its bytes.

    Shape: (n,).
    """
    weights = np.asarray(pc.binary_length(rows.texts).fill_null(0)).astype(np.int64)
    if rows.metadata is not None:
        weights += np.asarray(pc.utf8_length(rows.metadata).fill_null(0)).astype(np.int64)
    weights[_is_blank(rows.texts)] = 0
    for fault in rows.faults:
        weights[fault.row] = len(fault.reason) + len(fault.raw or b"")
    return weights


def _is_blank(texts: pa.Array) -> Any:
    """Tell of each text whether it is empty or white space alone, as `str.isspace` sees it; of a null it is not.

    Shape: (n,).
    """
    first = pc.utf8_slice_codeunits(texts, 0, 1).dictionary_encode()
    leads = first.dictionary.to_pylist()
    blank = np.zeros(len(texts), bool)
    if not any(not lead or lead.isspace() for lead in leads):
        return blank
    is_lead = pa.array([not lead or lead.isspace() for lead in leads])
    candidates = np.flatnonzero(is_lead.take(first.indices).fill_null(False).to_numpy(zero_copy_only=False))
    for row in candidates.tolist():
        text = texts[row].as_py()
        blank[row] = not text or text.isspace()
    return blank


def _not_empty(doc_ids: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(doc_ids, ""), pa.scalar(None, pa.string()), doc_ids)


def _batch(columns: Any, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)
