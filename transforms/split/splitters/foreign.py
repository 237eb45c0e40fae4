"""Splitters of other projects, made exact: in pieces of bounded length, realigned, with `fast` where that fails."""

import importlib.metadata
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from klue_beam.transforms.base.codepoints import is_white_space
from klue_beam.transforms.split.splitters.realign import locate_sentences
from klue_beam.transforms.split.splitters.spans import Spans, Splitter, codes_of, sentences_between

PIECE_CHARS: Final = 8192
"""Longer texts are handed over in pieces of about so many code points: kss takes more than linear time."""

_STAND_IN: Final = "\ufffd"
_UNSAFE: Final = {0: _STAND_IN} | dict.fromkeys(range(0xD800, 0xE000), _STAND_IN)
"""Code points that foreign splitters cut at or raise on; one stand-in each, so that positions stay the same."""

_log = logging.getLogger(__name__)


def require_package(package: str, remedy: str) -> str:
    """Give the version of an installed package.

    Raises:
      ModuleNotFoundError: if it is not installed.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise ModuleNotFoundError(f"This splitter needs the package `{package}`, got none. {remedy}") from error


class ForeignSplitter:
    """A foreign text -> sentences function with our guarantees: exact, linear in time, independent of earlier calls."""

    def __init__(self, name: str, sentences_of: Callable[[str], Sequence[str]], fallback: Splitter) -> None:
        """Wrap a foreign splitter.

        Args:
          name: the name that `load_splitter` knows it by.
          sentences_of: the foreign splitter; it sees no NUL, no lone surrogate and at most about PIECE_CHARS.
          fallback: splits the pieces where the foreign splitter raised or gave something else than the text.
        """
        self.name = name
        self._sentences_of = sentences_of
        self._fallback = fallback
        self._lock = threading.Lock()

    def __call__(self, text: str) -> list[tuple[int, int]]:
        """Split one text: [(begin, end), …], half-open code points."""
        return self._split(text)[0]

    def split_batch(self, texts: pa.StringArray) -> Spans:
        """Split each text of an Arrow string array; `fell_back` marks the sentences of pieces left to `fast`."""
        documents = [self._split(text) for text in texts.to_pylist()]
        fell_back = [flag for _, flags in documents for flag in flags]
        spans = Spans.of_documents([spans for spans, _ in documents])
        return Spans(spans.row, spans.begin, spans.end, np.array(fell_back, dtype=bool))

    def _split(self, text: str) -> tuple[list[tuple[int, int]], list[bool]]:
        spans: list[tuple[int, int]] = []
        fell_back: list[bool] = []
        for begin, end in self._pieces(text):
            found, failed = self._split_piece(text[begin:end])
            spans += [(begin + first, begin + past) for first, past in found]
            fell_back += [failed] * len(found)
        return spans, fell_back

    def _split_piece(self, piece: str) -> tuple[list[tuple[int, int]], bool]:
        safe = piece.translate(_UNSAFE)
        cuts = None
        try:
            with self._lock:
                cuts = locate_sentences(safe, self._sentences_of(safe))
        except Exception:
            # Whatever a foreign splitter trips over, the text must come through: the row is flagged and counted.
            _log.debug("%s failed on a piece of %d code points", self.name, len(piece), exc_info=True)
        if cuts is None:
            return self._fallback(piece), True
        begins, ends = sentences_between(cuts, is_white_space(codes_of(piece)))
        return list(zip(begins.tolist(), ends.tolist(), strict=True)), False

    def _pieces(self, text: str) -> Iterator[tuple[int, int]]:
        """Cut a long text between sentences as `fast` sees them; a longer sentence is a piece of its own."""
        if len(text) <= PIECE_CHARS:
            yield 0, len(text)
            return
        begin = end = 0
        for first, past in self._fallback(text):
            if past - begin > PIECE_CHARS and end > begin:
                yield begin, first
                begin = first
            end = past
        yield begin, len(text)
