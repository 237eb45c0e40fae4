"""Clean documents before they are split, and sentences after, step by step; what is dropped is kept account of."""

import dataclasses
from collections.abc import Iterator, Sequence

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.schemas.config import CleanStep
from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.registry import CLEANERS
from klue_beam.schemas.shard import Chunk
from klue_beam.transforms.base.coder import ChunkCoder  # noqa: F401  (registers the coder of what passes here)
from klue_beam.transforms.clean.base import DOCUMENT_LEVEL, SENTENCE_LEVEL, Cleaned, Cleaner, CleanerError
from klue_beam.transforms.clean.steps import complete_steps

NOTHING_LEFT = "nothing left"
"""The reason of a document of which a step leaves no text."""


def clean_texts(
    rows: pa.RecordBatch, steps: Sequence[CleanStep], *, keep_texts: bool = False
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Do steps of one level, one after another, on a batch.

    Args:
      rows: of DOCUMENT for cleaners of documents, of SENTENCE for cleaners of sentences.
      steps: complete ones (`complete_steps`).
      keep_texts: whether the dropped rows have their text, as it was before the step that dropped them.

    Returns:
      The rows that are left, sentences numbered anew within their document; and what was dropped, of DROPPED.

    Raises:
      CleanerError: if a cleaner's answer does not fit the rows, or changes a sentence.
    """
    dropped = [pa.RecordBatch.from_pylist([], schema=DROPPED)]
    is_sentences = "sentence_index" in rows.schema.names
    for step in steps:
        if not rows.num_rows:
            break
        cleaner: Cleaner = CLEANERS[step.name]
        texts, reasons = _check(step.name, cleaner.clean(rows, step.options), rows.num_rows, is_sentences)
        if texts is not None:
            reasons = _drop_blank(texts, reasons)
        if reasons is not None and reasons.null_count < len(reasons):
            gone = rows.filter(reasons.is_valid())
            dropped.append(_dropped_rows(gone, step.name, reasons.drop_null(), keep_texts))
        if texts is not None:
            rows = rows.set_column(rows.schema.get_field_index("text"), rows.schema.field("text"), texts)
        if reasons is not None:
            rows = rows.filter(reasons.is_null())
    if is_sentences and len(dropped) > 1:
        rows = _renumber(rows)
    return rows, pa.concat_batches(dropped)


def _check(name: str, cleaned: Cleaned, n_rows: int, is_sentences: bool) -> Cleaned:
    for column in cleaned:
        if column is not None and (len(column) != n_rows or column.type != pa.string()):
            raise CleanerError(
                f"The cleaner {name} must answer {n_rows} rows with {n_rows} strings, got {len(column)} of "
                f"{column.type}. Correct it."
            )
    if cleaned.texts is not None and (cleaned.texts.null_count or is_sentences):
        fault = "a null for a text" if cleaned.texts.null_count else "changed sentences, which are slices of documents"
        raise CleanerError(f"The cleaner {name} must give a text for each document, got {fault}. Correct it.")
    return cleaned


def _drop_blank(texts: pa.Array, reasons: pa.Array | None) -> pa.Array | None:
    """Drop the documents of which no text is left, unless they are dropped already."""
    blank = pa.array([not text or text.isspace() for text in texts.to_pylist()])
    if not pc.any(blank).as_py():
        return reasons
    left = pc.if_else(blank, pa.scalar(NOTHING_LEFT), pa.scalar(None, pa.string()))
    return left if reasons is None else pc.coalesce(reasons, left)


def _dropped_rows(rows: pa.RecordBatch, step: str, reasons: pa.Array, keep_texts: bool) -> pa.RecordBatch:
    n_rows = rows.num_rows
    is_sentences = "sentence_index" in rows.schema.names
    begin, end = (rows.column(name) if is_sentences else pa.nulls(n_rows, pa.int64()) for name in ("begin", "end"))
    text = rows.column("text") if keep_texts else pa.nulls(n_rows, pa.string())
    columns = [rows.column("source"), rows.column("record_index"), begin, end, pa.repeat(step, n_rows), reasons, text]
    return pa.record_batch(columns, schema=DROPPED)


def _renumber(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Number the sentences of each document from 0."""
    n_rows = rows.num_rows
    begins = np.ones(n_rows, bool)
    if n_rows > 1:
        for name in ("source", "record_index"):
            column = rows.column(name)
            same = pc.equal(column.slice(1), column.slice(0, n_rows - 1)).to_numpy(zero_copy_only=False)
            begins[1:] = ~same if name == "source" else begins[1:] | ~same
    first = np.flatnonzero(begins)
    index = np.arange(n_rows) - np.repeat(first, np.diff(np.append(first, n_rows)))
    place = rows.schema.get_field_index("sentence_index")
    return rows.set_column(place, rows.schema.field("sentence_index"), pa.array(index, pa.int32()))


class _CleanChunk(beam.DoFn):
    def __init__(self, steps: Sequence[CleanStep], keep_texts: bool) -> None:
        self._steps, self._keep_texts = steps, keep_texts

    def process(self, chunk: Chunk) -> Iterator[Chunk]:
        rows, dropped = clean_texts(chunk.rows, self._steps, keep_texts=self._keep_texts)
        yield dataclasses.replace(chunk, rows=rows, dropped=pa.concat_batches([chunk.dropped, dropped]))


class _Clean(beam.PTransform):
    """Cleaning of one level; without a step of that level it does nothing.

    Args:
      steps: of both levels, in the order in which they are done; those of the other level are passed over.
      keep_texts: whether the dropped rows have their text.

    Raises:
      ValueError: on an option that a cleaner does not have, or a value that is not of its type.
    """

    level: str

    def __init__(self, steps: Sequence[CleanStep], *, keep_texts: bool = False) -> None:
        super().__init__()
        self._steps = tuple(step for step in complete_steps(steps) if CLEANERS[step.name].level == self.level)
        self._keep_texts = keep_texts

    def expand(self, chunks: beam.PCollection[Chunk]) -> beam.PCollection[Chunk]:
        """Apply the steps to each chunk."""
        if not self._steps:
            return chunks
        return chunks | beam.ParDo(_CleanChunk(self._steps, self._keep_texts)).with_output_types(Chunk)


class CleanDocuments(_Clean):
    """Change and drop the documents of each chunk: PCollection[Chunk] -> PCollection[Chunk], rows of DOCUMENT."""

    level = DOCUMENT_LEVEL


class CleanSentences(_Clean):
    """Drop sentences of each chunk: PCollection[Chunk] -> PCollection[Chunk], rows of SENTENCE."""

    level = SENTENCE_LEVEL
