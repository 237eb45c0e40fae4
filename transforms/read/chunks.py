"""The chunks of a segment: what was read, and what it covers of which range."""

from typing import Final

import pyarrow as pa

from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.shard import Chunk, ChunkKey, Shard, Tally
from klue_beam.transforms.formats.base import RangeReader
from klue_beam.transforms.formats.columns import Columns

_NO_DROPPED: Final = pa.RecordBatch.from_pylist([], schema=DROPPED)


class ChunkBuilder:
    """The chunks of one segment, in order; each covers what was read since the one before.

    Attributes:
      columns: what is read for the chunk at hand.
    """

    def __init__(self, shard: Shard, segment: int, batch_bytes: int) -> None:
        self.columns = Columns(batch_bytes)
        self._shard = shard
        self._segment = segment
        self._batch = 0
        self._range_index = 0
        self._begin = (0, 0)
        self._tallies: list[Tally] = []

    def begin_range(self, range_index: int, reader: RangeReader) -> None:
        """Go on with what the segment covers of a range of the shard."""
        self._range_index = range_index
        self._begin = (reader.record_index, reader.position)
        self.columns.begin_source(self._shard.ranges[range_index].source)

    def end_range(self, reader: RangeReader) -> None:
        """End what the segment covers of the range at hand."""
        self._add_tally(reader, reader.take_sha256())

    def take_within(self, reader: RangeReader) -> Chunk:
        """Give a chunk that ends inside the range at hand."""
        self._add_tally(reader, "")
        return self.take()

    def take(self, *, last_of_segment: bool = False, last_of_shard: bool = False) -> Chunk:
        """Give a chunk that ends with the range that was ended."""
        key = ChunkKey(self._segment, self._batch, last_of_segment, last_of_shard)
        rows, rejects = self.columns.take()
        chunk = Chunk(self._shard, key, rows, rejects, _NO_DROPPED, tuple(self._tallies))
        self._batch += 1
        self._tallies = []
        return chunk

    def _add_tally(self, reader: RangeReader, input_sha256: str) -> None:
        (first_record, begin), counts = self._begin, self.columns.take_counts()
        place = (first_record, reader.record_index, begin, reader.position)
        self._tallies.append(Tally(self._range_index, *place, *counts, input_sha256))
        self._begin = (reader.record_index, reader.position)
