"""A shard's source counted again, segment by segment, beside its receipts and files."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow.compute as pc

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.shard import DATA_DIR, RECEIPTS_DIR, REJECTS_DIR, Chunk, Coverage, Receipt, Shard, segment_name
from klue_beam.transforms.base.numbering import Positions
from klue_beam.transforms.read.shards import SegmentCount, count_records, read_shard
from klue_beam.transforms.verify.segment import REDO, SegmentRecords
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
        self._counts = count_records(shard, config)
        self._chunks = read_shard(
            shard, config, [receipt for receipt in receipts if not receipt.counts["blanks"]], as_planned=False
        )

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
        if count is None:
            return self._other_content(receipt.covered[0], name)
        fault = self._compare_range(receipt, count, name)
        if fault or records is None:
            return fault
        if records.breaks != len(count.breaks):
            expected = f"one reject for {'; '.join(count.breaks)}" if count.breaks else "no reject for a break"
            return f"{REJECTS_DIR}/{name}.parquet: it must hold {expected}, got {records.breaks} breaks. {REDO}"
        return self._compare_records(receipt, records, name) if receipt.counts["blanks"] else ""

    def _compare_range(self, receipt: Receipt, count: SegmentCount, name: str) -> str:
        for told, counted in zip(receipt.covered, count.covered, strict=True):
            if (told.begin, told.end, told.input_sha256) != (counted.begin, counted.end, counted.input_sha256):
                return self._other_content(told, name)
            pairs = [(field, getattr(told, field), getattr(counted, field)) for field in ("first_record", "end_record")]
            for field, found, expected in (*pairs, ("last_of_shard", receipt.last_of_shard, count.last_of_shard)):
                if found != expected:
                    return (
                        f"{RECEIPTS_DIR}/{name}.json: counted again in {told.source}, `{field}` must be {expected}, "
                        f"got {found}. {REDO}"
                    )
        return ""

    def _other_content(self, told: Coverage, name: str) -> str:
        return (
            f"{told.source}: what stands from {told.begin} to {told.end} is not what was annotated, by "
            f"{RECEIPTS_DIR}/{name}.json. Restore the source, or annotate it into another folder."
        )

    def _compare_records(self, receipt: Receipt, records: SegmentRecords, name: str) -> str:
        """Compare record by record, so that what is in no file is blank in the source."""
        numbering, seen = records.numbering, 0
        for chunk in self._read_segment(receipt.segment):
            read = chunk.rejects.filter(
                pc.and_(
                    pc.equal(chunk.rejects.column("stage"), READ_STAGE), chunk.rejects.column("record_index").is_valid()
                )
            )
            end = seen + sum(tally.end_record - tally.first_record for tally in chunk.tallies)
            for folder, held, batch, what in (
                (DATA_DIR, records.documents, chunk.rows, "a document"),
                (REJECTS_DIR, records.rejected, read, "rejected"),
            ):
                expected = numbering.positions(batch.column("source"), batch.column("record_index"))
                part = _between(held, seen, end)
                if len(lost := np.setdiff1d(expected, part)):
                    fault = f"{numbering.describe(int(lost[0]))} is {what} in its source, but not there"
                    return f"{folder}/{name}.parquet: {fault}. {REDO}"
                if len(extra := np.setdiff1d(part, expected)):
                    fault = f"{numbering.describe(int(extra[0]))} is not {what} in its source"
                    return f"{folder}/{name}.parquet: {fault}. {REDO}"
            seen = end
        return ""

    def _read_segment(self, segment: int) -> Iterator[Chunk]:
        for chunk in self._chunks:
            if chunk.key.segment == segment:
                yield chunk
                if chunk.key.last_of_segment:
                    return


def _between(positions: Positions, first: int, end: int) -> Positions:
    """Give the part of ascending positions that lies in a half-open range."""
    begin, stop = np.searchsorted(positions, [first, end])
    return positions[begin:stop]
