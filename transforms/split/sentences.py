"""Split documents into sentences."""

import dataclasses
from collections.abc import Iterator
from typing import Final, cast

import apache_beam as beam
import numpy as np
import pyarrow as pa

from klue_beam.schemas.sentence import SENTENCE
from klue_beam.schemas.shard import Chunk
from klue_beam.transforms.base.coder import ChunkCoder  # noqa: F401  (registers the coder of what passes here)
from klue_beam.transforms.split.splitters.base import load_splitter, splitter_version
from klue_beam.transforms.split.splitters.spans import Splitter, TextBatch

__all__ = ["SplitSentences", "load_splitter", "split_sentences", "splitter_version"]

FALLBACK_FLAG: Final = "splitter_fallback"


def split_sentences(rows: pa.RecordBatch, splitter: Splitter) -> pa.RecordBatch:
    """Split each document of a batch.

    Args:
      rows: documents, of the schema DOCUMENT.
      splitter: from `load_splitter`.

    Returns:
      One row a sentence, of the schema SENTENCE, in the order of the text. A document of white space gives none.
      A sentence that the splitter had to leave to `fast` carries the flag `splitter_fallback`.
    """
    texts = rows.column("text")
    spans = splitter.split_batch(texts)
    batch = TextBatch(texts)
    document_begin = batch.begins[spans.row]
    row = pa.array(spans.row)
    columns = {name: rows.column(name).take(row) for name in ("doc_id", "source", "record_index", "metadata")}
    first_of_row = np.searchsorted(spans.row, spans.row)
    columns["sentence_index"] = pa.array(np.arange(len(row)) - first_of_row, pa.int32())
    columns["begin"], columns["end"] = pa.array(spans.begin), pa.array(spans.end)
    columns["text"] = batch.take(document_begin + spans.begin, document_begin + spans.end)
    columns["flags"] = _flags(spans.fell_back)
    return pa.RecordBatch.from_arrays([columns[name] for name in SENTENCE.names], schema=SENTENCE)


def _flags(fell_back: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> pa.ListArray:
    offsets = np.zeros(len(fell_back) + 1, dtype=np.int32)
    np.cumsum(fell_back, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array([FALLBACK_FLAG] * int(offsets[-1]), pa.string()))


class _SplitChunk(beam.DoFn):
    """Splits the documents of a chunk; the splitter is loaded once a process."""

    def __init__(self, splitter_name: str) -> None:
        self._splitter_name = splitter_name

    def setup(self) -> None:
        self._splitter = load_splitter(self._splitter_name)

    def process(self, chunk: Chunk) -> Iterator[Chunk]:
        yield dataclasses.replace(chunk, rows=split_sentences(chunk.rows, self._splitter))


class SplitSentences(beam.PTransform):
    """Split the documents of each chunk into sentences: PCollection[Chunk] -> PCollection[Chunk].

    Rows come as DOCUMENT and leave as SENTENCE; all else of a chunk stays.
    """

    def __init__(self, splitter_name: str = "fast") -> None:
        """Choose the splitter.

        Raises:
          ValueError: on a name that `load_splitter` does not know.
          ModuleNotFoundError: if the package of the splitter is not installed here.
        """
        super().__init__()
        splitter_version(splitter_name)
        self.splitter_name = splitter_name

    def expand(self, chunks: beam.PCollection[Chunk]) -> beam.PCollection[Chunk]:
        """Apply the splitter to each chunk."""
        split = beam.ParDo(_SplitChunk(self.splitter_name)).with_output_types(Chunk)
        return cast("beam.PCollection[Chunk]", chunks | "Split" >> split)
