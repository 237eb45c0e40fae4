"""The splitters that need no model: one sentence a line, and one a document."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa

from klue_beam.transforms.base.codepoints import Bools, Codes, Ints, is_white_space
from klue_beam.transforms.split.splitters.base import SplitterEntry
from klue_beam.transforms.split.splitters.spans import Spans, TextBatch, codes_of, sentences_between

LINE_BREAKS: Final = (0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029)
"""Where `str.splitlines` breaks a line; all of them are white space."""


def is_line_break(codes: Codes) -> Bools:
    """Tell of each code point whether `str.splitlines` breaks a line there."""
    return np.isin(codes, np.array(LINE_BREAKS, dtype=np.uint32))


class CuttingSplitter:
    """A splitter made of a function that finds, over documents laid end to end, where to cut."""

    def __init__(self, name: str, find_cuts: Callable[[Codes, Bools, Ints], Ints]) -> None:
        """Name the splitter.

        Args:
          name: the name that `load_splitter` knows it by.
          find_cuts: takes codes, whether each is white space, and the documents' begins and last end; gives cuts,
            ascending. The ends of documents need not be among them.
        """
        self.name = name
        self._find_cuts = find_cuts

    def _spans(self, codes: Codes, begins: Ints) -> tuple[Ints, Ints]:
        space = is_white_space(codes)
        cuts = self._find_cuts(codes, space, begins)
        if len(begins) > 2:
            cuts = np.union1d(cuts, begins[1:-1])
        return sentences_between(cuts, space)

    def __call__(self, text: str) -> list[tuple[int, int]]:
        """Split one text: [(begin, end), …], half-open code points."""
        begins, ends = self._spans(codes_of(text), np.array([0, len(text)]))
        return list(zip(begins.tolist(), ends.tolist(), strict=True))

    def split_batch(self, texts: pa.StringArray) -> Spans:
        """Split each text of an Arrow string array."""
        batch = TextBatch(texts)
        begins, ends = self._spans(batch.codes(), batch.begins)
        row = np.searchsorted(batch.begins, begins, side="right") - 1
        return Spans(row, begins - batch.begins[row], ends - batch.begins[row], np.zeros(len(row), dtype=bool))


def _at_line_breaks(codes: Codes, _space: Bools, _begins: Ints) -> Ints:
    return np.flatnonzero(is_line_break(codes))


def _nowhere(_codes: Codes, _space: Bools, _begins: Ints) -> Ints:
    return np.zeros(0, dtype=np.int64)


def newline_splitter() -> CuttingSplitter:
    r"""Give the splitter that takes each line with text for a sentence.

    >>> newline_splitter()("첫째 줄\n\n둘째 줄\n")
    [(0, 4), (6, 10)]
    """
    return CuttingSplitter("newline", _at_line_breaks)


def whole_text_splitter() -> CuttingSplitter:
    r"""Give the splitter `none`, which takes the whole document for one sentence.

    >>> whole_text_splitter()(" 첫째 줄\n둘째 줄\n")
    [(1, 10)]
    """
    return CuttingSplitter("none", _nowhere)


NEWLINE: Final = SplitterEntry(newline_splitter, lambda: "1")
NONE: Final = SplitterEntry(whole_text_splitter, lambda: "1")
