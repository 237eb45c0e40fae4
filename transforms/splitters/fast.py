"""The default splitter, `fast`: vectorised over a whole batch of documents."""

import numpy as np

from transforms.splitters.simple import CuttingSplitter, is_line_break
from transforms.splitters.spans import Bools, Codes, Ints

_TERMINAL = np.array([ord(mark) for mark in ".!?。！？…‥"], dtype=np.uint32)
_CLOSING = np.array([ord(mark) for mark in ")]}'\"”’」』》〉】"], dtype=np.uint32)


def fast_version() -> str:
    """Name the version of the rules."""
    return "0"


def _find_cuts(codes: Codes, space: Bools, _begins: Ints) -> Ints:
    """Cut at line ends, and at white space after a full stop, with or without a closing mark between."""
    gaps = np.flatnonzero(space)
    before = codes[np.maximum(gaps - 1, 0)]
    before_that = codes[np.maximum(gaps - 2, 0)]
    ended = np.isin(before, _TERMINAL) | (np.isin(before, _CLOSING) & np.isin(before_that, _TERMINAL))
    numbered = (before == ord(".")) & (before_that >= ord("0")) & (before_that <= ord("9"))
    return gaps[(ended & ~numbered) | is_line_break(codes[gaps])]


def fast_splitter() -> CuttingSplitter:
    """Load the default splitter."""
    return CuttingSplitter("fast", _find_cuts)
