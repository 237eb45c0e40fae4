"""A shard's source counted again, segment by segment, beside its receipts and files."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow.compute as pc

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.shard import DATA_DIR, RECEIPTS_DIR, REJECTS_DIR, Chunk, Receipt, Shard, segment_name
from klue_beam.transforms.read.shards import SegmentCount, count_records, read_shard
from klue_beam.transforms.verify.segment import REDO, Records, SegmentRecords
from klue_beam.transforms.write.chain import READ_STAGE


class SourceRecount:
    """Counts the records of a shard's source, by their ends alone where no segment has blanks.

    Where the receipt tells of blanks, the records of that segment are parsed, since only that shows which are blank.

    Args:
      shard: as planned.
      config: how the source was read.
      receipts: of the shard's segments.
    """

    def __init__(self, shard: Shard, config: ReadConfig, receipts: Sequence[Receipt]) -> None:
        self._shard = shard
        self._counts = count_records(shard, config)
        self._chunks = read_shard(shard, config, [receipt for receipt in receipts if not receipt.counts["blanks"]])

    def compare(self, receipt: Receipt, records: SegmentRecords | None) -> str:
        """Compare a segment with the source; to be called in the order of segments, and not after a difference.

        Args:
          receipt: the segment's.
          records: what its files hold, None where they are known to be faulty.

        Returns:
          The first difference, as a sentence that begins with the name of a file or source; "" if there is none.

        Raises:
          ShardReadError: if the source is gone or cannot be read.
        """
        name = segment_name(receipt.shard_id, receipt.segment)
        count = next((count for count in self._counts if count.segment == receipt.segment), None)
        fault = self._compare_range(receipt, count, name)
        if fault or records is None or count is None:
            return fault
        if records.breaks != (count.stream_break is not None):
            expected = f"one reject for {count.stream_break}" if count.stream_break else "no reject for a break"
            return f"{REJECTS_DIR}/{name}.parquet: it must hold {expected}, got {records.breaks} breaks. {REDO}"
        return self._compare_records(receipt, records, name) if receipt.counts["blanks"] else ""

    def _compare_range(self, receipt: Receipt, count: SegmentCount | None, name: str) -> str:
        if count is None or (count.begin_byte, count.end_byte, count.input_sha256) != (
            receipt.begin_byte,
            receipt.end_byte,
            receipt.input_sha256,
        ):
            return (
                f"{self._shard.source}: what stands from {receipt.begin_byte} to {receipt.end_byte} is not what was "
                f"annotated, by {RECEIPTS_DIR}/{name}.json. Restore the source, or annotate it into another folder."
            )
        for field in ("first_record", "end_record", "last_of_shard"):
            found, counted = getattr(receipt, field), getattr(count, field)
            if found != counted:
                return (
                    f"{RECEIPTS_DIR}/{name}.json: counted again in {self._shard.source}, `{field}` must be {counted}, "
                    f"got {found}. {REDO}"
                )
        return ""

    def _compare_records(self, receipt: Receipt, records: SegmentRecords, name: str) -> str:
        """Compare record by record, so that what is in neither file is blank in the source."""
        for chunk in self._read_segment(receipt.segment):
            is_read = pc.equal(chunk.rejects.column("stage"), READ_STAGE)
            rejected = chunk.rejects.column("record_index").filter(is_read).drop_null()
            pairs = (
                (DATA_DIR, records.documents, np.asarray(chunk.rows.column("record_index")), "a document"),
                (REJECTS_DIR, records.rejected, np.asarray(rejected), "rejected"),
            )
            for folder, held, read, what in pairs:
                part = _between(held, chunk.tally.first_record, chunk.tally.end_record)
                if len(lost := np.setdiff1d(read, part)):
                    fault = f"record {lost[0]} is {what} in {self._shard.source}, but not there"
                    return f"{folder}/{name}.parquet: {fault}. {REDO}"
                if len(extra := np.setdiff1d(part, read)):
                    fault = f"record {extra[0]} is not {what} in {self._shard.source}"
                    return f"{folder}/{name}.parquet: {fault}. {REDO}"
        return ""

    def _read_segment(self, segment: int) -> Iterator[Chunk]:
        for chunk in self._chunks:
            if chunk.key.segment == segment:
                yield chunk
                if chunk.key.last_of_segment:
                    return


def _between(records: Records, first: int, end: int) -> Records:
    """Give the part of ascending records that lies in a half-open range."""
    begin, stop = np.searchsorted(records, [first, end])
    return records[begin:stop]
