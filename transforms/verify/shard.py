"""One shard of a dataset: its segments one after another, from the shard's begin to its end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.shard import Receipt, Shard
from klue_beam.transforms.read.shards import ShardReadError
from klue_beam.transforms.verify.recount import SourceRecount
from klue_beam.transforms.verify.segment import REDO, SegmentVerifier

RESUME: Final = "Run the same command again to annotate what is missing."


@dataclass
class ShardFindings:
    """What was found in one shard.

    Attributes:
      faults: what is wrong, as sentences that begin with the name of a file or source.
      not_recounted: why the source could not be counted again; empty if it was.
      counts: the counts of its receipts, and `segments`, `files` and `recounted_records`.
      files: the files of its receipts, those that are missing or broken too, relative to the dataset.
    """

    faults: list[str] = field(default_factory=list)
    not_recounted: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    files: set[str] = field(default_factory=set)


class ShardVerifier:
    """Checks one shard.

    Args:
      dataset: the dataset's folder.
      shard: as planned.
      end_record: the first record of the next shard of the same source, None if there is none.
      schema: what annotated_schema gives for the dataset.
      config: how the source was read.
      config_hash: the plan's.
    """

    def __init__(
        self,
        dataset: Path,
        shard: Shard,
        *,
        end_record: int | None,
        schema: pa.Schema,
        config: ReadConfig,
        config_hash: str,
    ) -> None:
        self._dataset = dataset
        self._shard = shard
        self._end_record = end_record
        self._schema = schema
        self._config = config
        self._config_hash = config_hash
        self._findings = ShardFindings()

    def verify(self, segments: Sequence[int]) -> ShardFindings:
        """Check the shard's segments.

        Args:
          segments: those for which there is a receipt, ascending.
        """
        receipts = self._load_receipts(segments)
        self._check_chain(segments, receipts)
        source = SourceRecount(self._shard, self._config, receipts)
        is_comparable = True
        for receipt in receipts:
            verifier = self._verifier(receipt.segment)
            records = verifier.check_files(receipt)
            self._findings.faults += verifier.faults
            if not is_comparable:
                continue
            try:
                fault = source.compare(receipt, records)
            except ShardReadError as error:
                self._findings.not_recounted = str(error)
                is_comparable = False
                continue
            if fault:  # what follows in the source is shifted
                self._findings.faults.append(fault)
                is_comparable = False
            else:
                self._findings.counts["recounted_records"] += receipt.end_record - receipt.first_record
        return self._findings

    def _verifier(self, segment: int) -> SegmentVerifier:
        return SegmentVerifier(self._dataset, self._shard, segment, self._schema, self._config_hash)

    def _load_receipts(self, segments: Sequence[int]) -> list[Receipt]:
        receipts = []
        for segment in segments:
            verifier = self._verifier(segment)
            receipt = verifier.load_receipt()
            self._findings.faults += verifier.faults
            if receipt is None:
                self._findings.files |= {verifier.data_name, verifier.rejects_name}
                continue
            receipts.append(receipt)
            pairs = ((verifier.data_name, receipt.data), (verifier.rejects_name, receipt.rejects))
            files = {name for name, file in pairs if file is not None}
            self._findings.files |= files
            self._findings.counts.update({"segments": 1, "files": len(files), **receipt.counts})
        return receipts

    def _check_chain(self, segments: Sequence[int], receipts: Sequence[Receipt]) -> None:
        """Check that the segments follow each other from the shard's begin to its end, none missing."""
        if not segments:
            place = f"shard {self._shard.shard_id} of {self._shard.source}"
            self._missing(0, f"{place} is not annotated")
            return
        for segment in sorted(set(range(max(segments))).difference(segments)):
            self._missing(segment, "later ones of its shard are there")
        if receipts and receipts[0].segment == 0:
            self._check_joint(receipts[0], self._shard.first_record, self._begin)
        for receipt, after in pairwise(receipts):
            if receipt.last_of_shard:
                self._fault(after.segment, f"it is foreign: segment {receipt.segment} is the last of its shard. {REDO}")
            elif after.segment == receipt.segment + 1:
                self._check_joint(after, receipt.end_record, receipt.end_byte)
        if receipts and receipts[-1].segment == max(segments):
            self._check_end(receipts[-1])

    def _check_joint(self, receipt: Receipt, record: int, byte: int) -> None:
        expected, found = (record, byte), (receipt.first_record, receipt.begin_byte)
        for what, value, got in zip(("`first_record`", "`begin_byte`"), expected, found, strict=True):
            if got != value:
                self._fault(receipt.segment, f"{what} must be {value}, where the part before ends, got {got}. {REDO}")

    def _check_end(self, last: Receipt) -> None:
        if not last.last_of_shard:
            self._missing(last.segment + 1, "the one before is not the last of its shard")
            return
        if self._end_record is not None and last.end_record != self._end_record:
            self._fault(last.segment, f"`end_record` must be {self._end_record}, got {last.end_record}. {REDO}")
        if self._has_bytes and last.end_byte != self._shard.end:
            self._fault(last.segment, f"`end_byte` must be {self._shard.end}, got {last.end_byte}. {REDO}")

    @property
    def _begin(self) -> int:
        """Where the first receipt's byte range begins; that of Parquet counts rows, its shard's row groups."""
        return self._shard.first_record if self._config.input_format == "parquet" else self._shard.begin

    @property
    def _has_bytes(self) -> bool:
        """Whether the shard's range is in bytes, and known."""
        return not self._shard.is_stream and self._config.input_format != "parquet"

    def _missing(self, segment: int, why: str) -> None:
        verifier = self._verifier(segment)
        self._findings.files |= {verifier.data_name, verifier.rejects_name}
        self._fault(segment, f"it is missing: {why}. {RESUME}")

    def _fault(self, segment: int, what: str) -> None:
        self._findings.faults.append(f"{self._verifier(segment).receipt_name}: {what}")
