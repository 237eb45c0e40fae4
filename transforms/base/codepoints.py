"""Texts as one flat array of code points: offsets, white space and eojeols of a whole batch at once."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_WHITE_SPACE: Final = np.array([chr(code).isspace() for code in range(0x3002)])
"""By code point, as `str.isspace`; no white space lies past U+3000, so the last entry stands for all the rest."""


def is_white_space(codes: Codes) -> Bools:
    """Tell of each code point whether it is white space, as `str.isspace` has it.

    >>> is_white_space(np.array([ord(char) for char in "가 나"], dtype=np.uint32)).tolist()
    [False, True, False]
    """
    return _WHITE_SPACE.take(codes, mode="clip")


@dataclasses.dataclass(frozen=True, slots=True)
class CodePoints:
    """The code points of several texts, one after another.

    Attributes:
      codes: the code points. Shape: (n_chars,), uint32.
      offsets: where each text begins in `codes`. Shape: (n_texts + 1,).
      is_space: which of them are white space, as str.isspace. Shape: (n_chars,).
    """

    codes: Codes
    offsets: Ints
    is_space: Bools

    @property
    def lengths(self) -> Ints:
        """Code points of each text. Shape: (n_texts,)."""
        return np.diff(self.offsets)

    @property
    def text_of_char(self) -> Ints:
        """Which text each code point is of. Shape: (n_chars,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths)


def to_code_points(texts: Sequence[str]) -> CodePoints:
    """Lay texts out as one flat array of code points.

    Raises:
      UnicodeEncodeError: on a lone surrogate, which Arrow strings cannot hold.

    >>> to_code_points(["가 나", "", "다"]).offsets.tolist()
    [0, 3, 3, 4]
    """
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return CodePoints(codes, offsets, is_white_space(codes))


@dataclasses.dataclass(frozen=True, slots=True)
class Eojeols:
    """The white-space-separated words of several texts, as str.split gives them.

    Attributes:
      begin, end: half-open code points in the text. Shape: (n_eojeols,).
      offsets: where the eojeols of each text begin. Shape: (n_texts + 1,).
    """

    begin: Ints
    end: Ints
    offsets: Ints


def find_eojeols(chars: CodePoints) -> Eojeols:
    """Find the eojeols of each text.

    >>> eojeols = find_eojeols(to_code_points([" 나는  간다", "그래"]))
    >>> eojeols.begin.tolist(), eojeols.end.tolist(), eojeols.offsets.tolist()
    ([1, 5, 0], [3, 7, 2], [0, 2, 3])
    """
    solid = ~chars.is_space
    first_of_text = np.zeros(len(solid) + 1, dtype=bool)
    first_of_text[chars.offsets] = True
    before = np.concatenate(([False], solid[:-1])) if len(solid) else solid
    after = np.concatenate((solid[1:], [False])) if len(solid) else solid
    starts = solid & (~before | first_of_text[:-1])
    ends = solid & (~after | first_of_text[1:])
    begin, end = np.flatnonzero(starts), np.flatnonzero(ends) + 1
    offsets = np.searchsorted(begin, chars.offsets)
    text_begin = np.repeat(chars.offsets[:-1], np.diff(offsets))
    return Eojeols(begin - text_begin, end - text_begin, offsets)


def ranges(begin: npt.NDArray[Any], end: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    """Concatenate the integers of several half-open ranges.

    Returns:
      Which range each integer is of, and the integer. Both of shape: (sum of lengths,).

    >>> ranges(np.array([5, 0]), np.array([7, 3]))
    (array([0, 0, 1, 1, 1]), array([5, 6, 0, 1, 2]))
    """
    lengths = (end - begin).astype(np.int64)
    which = np.repeat(np.arange(len(lengths)), lengths)
    first = np.concatenate(([0], np.cumsum(lengths)))[:-1]
    return which, np.arange(len(which)) - np.repeat(first - begin, lengths)
