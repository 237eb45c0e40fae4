"""The records of several sources counted through, so that arrays of them can be compared across sources."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Positions = npt.NDArray[np.int64]


class Numbering:
    """Gives each record of some ranges its position: those of the first range from 0, then those of the second, ….

    Args:
      ranges: source, first record and end record (exclusive) of each; the sources are all different.
    """

    def __init__(self, ranges: Sequence[tuple[str, int, int]]) -> None:
        self._sources = [source for source, _, _ in ranges]
        self._ordinals = {source: ordinal for ordinal, source in enumerate(self._sources)}
        self._firsts = np.array([first for _, first, _ in ranges], np.int64)
        self._ends = np.array([end for _, _, end in ranges], np.int64)
        self.begins = np.concatenate(([0], np.cumsum(self._ends - self._firsts)))

    def find_foreign(self, sources: pa.Array) -> str | None:
        """Give the first source that is none of the ranges', None if all are."""
        return next((source for source in sources.unique().to_pylist() if source not in self._ordinals), None)

    def positions(self, sources: pa.Array, records: pa.Array) -> Positions:
        """Give the position of each record, -1 where it lies outside of its source's range.

        Args:
          sources: the source of each record, all of them of the ranges. Shape: (n,).
          records: `record_index` of each, no nulls. Shape: (n,).
        """
        encoded = sources.dictionary_encode()
        of_dictionary = np.array([self._ordinals[source] for source in encoded.dictionary.to_pylist()], np.int64)
        ordinal = of_dictionary[np.asarray(encoded.indices)] if len(encoded) else np.empty(0, np.int64)
        record = np.asarray(records).astype(np.int64)
        inside = (record >= self._firsts[ordinal]) & (record < self._ends[ordinal])
        return np.where(inside, self.begins[ordinal] + record - self._firsts[ordinal], -1)

    def count_by_range(self, positions: Positions) -> Positions:
        """Count how many of the ascending `positions` lie in each range. Shape: (n_ranges,)."""
        return np.diff(np.searchsorted(positions, self.begins))

    def describe(self, position: int) -> str:
        """Name the record at a position for people."""
        ordinal = int(np.searchsorted(self.begins, position, side="right")) - 1
        record = int(position - self.begins[ordinal] + self._firsts[ordinal])
        return f"record {record}" if len(self._sources) == 1 else f"record {record} of {self._sources[ordinal]}"
