"""What every splitter gives: sentence spans in code points of their documents, with nothing but white space outside."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from klue_beam.transforms.base.codepoints import Bools, Codes, Ints


def codes_of(text: str) -> Codes:
    """Give a text as its code points, lone surrogates included.

    >>> codes_of("가😀").tolist()
    [44032, 128512]
    """
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


@dataclasses.dataclass(frozen=True, slots=True)
class Spans:
    """Sentences of a batch of documents, in order.

    Attributes:
      row: the document of each sentence, ascending. Shape: (n_sentences,), int64.
      begin, end: half-open code points in that document. Shape: (n_sentences,), int64.
      fell_back: whether the splitter asked for had to leave the sentence to `fast`. Shape: (n_sentences,), bool.
    """

    row: Ints
    begin: Ints
    end: Ints
    fell_back: Bools

    @classmethod
    def of_documents(cls, spans: Sequence[Sequence[tuple[int, int]]]) -> "Spans":
        """Put together the spans of documents that were split one by one, without any fallback."""
        counts = np.array([len(document) for document in spans], dtype=np.int64)
        flat = np.array([span for document in spans for span in document], dtype=np.int64).reshape(-1, 2)
        rows = np.repeat(np.arange(len(spans), dtype=np.int64), counts)
        return cls(rows, flat[:, 0], flat[:, 1], np.zeros(len(rows), dtype=bool))


class Splitter(Protocol):
    """A sentence splitter. The callable and the batch method give the same spans, independent of earlier calls."""

    @property
    def name(self) -> str:
        """The name that `load_splitter` knows it by."""

    def __call__(self, text: str) -> list[tuple[int, int]]:
        """Split one text: [(begin, end), …], half-open code points, sorted, disjoint, none empty."""

    def split_batch(self, texts: pa.StringArray) -> Spans:
        """Split each text of an Arrow string array without nulls."""


class TextBatch:
    """A batch of documents laid end to end, as bytes and as code points.

    Attributes:
      begins: where each document begins in `codes`, and after them where the last one ends. Shape: (n_documents + 1,).
    """

    def __init__(self, texts: pa.StringArray) -> None:
        """Lay the documents end to end without copying their bytes.

        Raises:
          ValueError: if a text is null.
        """
        if texts.null_count:
            raise ValueError(f"`texts` must hold no nulls, got {texts.null_count}. Drop those documents first.")
        _, offsets, data = texts.buffers()
        count = len(texts) + 1
        if offsets is None or not offsets.size:
            byte_begins = np.zeros(1, dtype=np.int64)
        else:
            ends = np.frombuffer(offsets, dtype=np.int32, count=count, offset=4 * texts.offset)
            byte_begins = ends.astype(np.int64)
        first, last = int(byte_begins[0]), int(byte_begins[-1])
        size = last - first
        self.data = np.frombuffer(data, dtype=np.uint8, count=size, offset=first) if size else np.zeros(0, np.uint8)
        self._byte_of_code = np.flatnonzero((self.data & 0xC0) != 0x80)
        self.begins = np.searchsorted(self._byte_of_code, byte_begins - first).astype(np.int64)

    def codes(self) -> Codes:
        """Give the code points of all documents, end to end. Shape: (n_codes,), uint32."""
        return codes_of(self.data.tobytes().decode())

    def take(self, begins: Ints, ends: Ints) -> pa.StringArray:
        """Cut strings out of the batch: half-open positions in `codes`, sorted and disjoint."""
        byte_of_code = np.append(self._byte_of_code, len(self.data))
        byte_begins, byte_ends = byte_of_code[begins], byte_of_code[ends]
        change = np.zeros(len(self.data) + 1, dtype=np.int8)
        np.add.at(change, byte_begins, 1)
        np.subtract.at(change, byte_ends, 1)
        kept = self.data[np.cumsum(change[:-1], dtype=np.int8).view(np.bool_)]
        offsets = np.zeros(len(begins) + 1, dtype=np.int32)
        np.cumsum(byte_ends - byte_begins, out=offsets[1:])
        return pa.StringArray.from_buffers(len(begins), pa.py_buffer(offsets), pa.py_buffer(kept))


def sentences_between(cuts: Ints, space: Bools) -> tuple[Ints, Ints]:
    """Turn cuts into spans: the pieces between them, trimmed of white space, without those that were only that.

    Args:
      cuts: positions to cut at, ascending; ends of documents count as cuts too. Shape: (n_cuts,), int64.
      space: whether each code point is white space. Shape: (n_codes,), bool.

    Returns:
      begins and ends of the spans. Shape: (n_spans,) each.

    >>> space = np.array([char.isspace() for char in "네 아니요 "])
    >>> begins, ends = sentences_between(np.array([2]), space)
    >>> list(zip(begins.tolist(), ends.tolist()))
    [(0, 1), (2, 5)]
    """
    solid = (~space).nonzero()[0]
    bounds = np.empty(len(cuts) + 2, dtype=np.int64)
    bounds[0], bounds[1:-1], bounds[-1] = 0, solid.searchsorted(cuts), len(solid)
    first, past = bounds[:-1], bounds[1:]
    full = first < past
    return solid[first[full]], solid[past[full] - 1] + 1
