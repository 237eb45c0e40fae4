"""Split documents into sentences."""

import dataclasses
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

import apache_beam as beam
import numpy as np
import pyarrow as pa

from klue_beam.schemas.sentence import SENTENCE
from klue_beam.schemas.shard import Chunk
from klue_beam.transforms.base.coder import ChunkCoder  # noqa: F401  (registers the coder of what passes here)
from klue_beam.transforms.split.splitters.fast import fast_splitter, fast_version
from klue_beam.transforms.split.splitters.kiwi import kiwi_splitter, kiwi_version
from klue_beam.transforms.split.splitters.kss import kss_splitter, kss_version
from klue_beam.transforms.split.splitters.simple import newline_splitter, whole_text_splitter
from klue_beam.transforms.split.splitters.spans import Splitter, TextBatch

FALLBACK_FLAG: Final = "splitter_fallback"

_LOADERS: Final[Mapping[str, Callable[[], Splitter]]] = {
    "fast": fast_splitter,
    "kss": lambda: kss_splitter(load_splitter("fast")),
    "kiwi": lambda: kiwi_splitter(load_splitter("fast")),
    "newline": newline_splitter,
    "none": whole_text_splitter,
}
_VERSIONS: Final[Mapping[str, Callable[[], str]]] = {
    "fast": fast_version,
    "kss": lambda: f"{kss_version()}/fast-{fast_version()}",
    "kiwi": lambda: f"{kiwi_version()}/fast-{fast_version()}",
    "newline": lambda: "1",
    "none": lambda: "1",
}

_loading = threading.RLock()


@functools.cache
def _load_once(name: str) -> Splitter:
    return _LOADERS[name]()


def _require_name(name: str) -> None:
    if name not in _LOADERS:
        raise ValueError(f"`splitter` must be one of {', '.join(_LOADERS)}, got {name!r}. Choose one of them.")


def load_splitter(name: str) -> Splitter:
    """Load a sentence splitter; a process loads each one once.

    Args:
      name: `fast`, `kss`, `kiwi`, `newline` (a sentence a line) or `none` (a sentence a document).

    Returns:
      A callable text -> [(begin, end), …], half-open code points, with the batch twin `split_batch` over an Arrow
      string array. Spans are sorted, disjoint and not empty, and only white space (str.isspace) lies outside.

    Raises:
      ValueError: on another name.
      ModuleNotFoundError: if the package of the splitter is not installed.

    >>> load_splitter("fast")("밥을 먹었다. 맛있었다.")
    [(0, 7), (8, 13)]
    """
    _require_name(name)
    with _loading:
        return _load_once(name)


def splitter_version(name: str) -> str:
    """Name the version of a splitter, everything that its result depends on, without loading it.

    Raises:
      ValueError: on a name that `load_splitter` does not know.
      ModuleNotFoundError: if the package of the splitter is not installed.
    """
    _require_name(name)
    return _VERSIONS[name]()


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
