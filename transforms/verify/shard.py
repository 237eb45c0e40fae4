"""One shard of a dataset: its segments one after another, from the shard's begin to its end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import pyarrow as pa

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import Coverage, Receipt, Shard
from klue_beam.transforms.base.stores.base import Store
from klue_beam.transforms.read.shards import ShardReadError
from klue_beam.transforms.verify.recount import SourceRecount
from klue_beam.transforms.verify.segment import REDO, SegmentVerifier

RESTORE: Final = "Restore it, or annotate it into another folder."
RESUME: Final = "Run the same command again to annotate what is missing."


@dataclass
class ShardFindings:
    """What was found in one shard.

    Attributes:
      faults: what is wrong, as sentences that begin with the name of a file or source.
      not_recounted: the source that could not be counted again with the reason; empty if all were.
      counts: the counts of its receipts, and `segments`, `files` and `recounted_records`.
      files: the files of its receipts, those that are missing or broken too, relative to the dataset.
    """

    faults: list[str] = field(default_factory=list)
    not_recounted: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    files: set[str] = field(default_factory=set)


class ShardVerifier:
    """Checks one shard.

    Args:
      store: where the dataset lies.
      shard: as planned.
      end_record: the first record of the next range of the last source, None if there is none.
      schema: what annotated_schema gives for the dataset.
      config: how the source was read.
      config_hash: the plan's.
      is_recounted: whether its records are counted again in the source, which has the planned size then.
    """

    def __init__(
        self,
        store: Store,
        shard: Shard,
        *,
        end_record: int | None,
        schema: pa.Schema,
        config: ReadConfig,
        config_hash: str,
        is_recounted: bool = True,
    ) -> None:
        self._store = store
        self._shard = shard
        self._end_record = end_record
        self._schema = schema
        self._config = config
        self._config_hash = config_hash
        self._is_recounted = is_recounted
        self._findings = ShardFindings()

    def verify(self, segments: Sequence[int]) -> ShardFindings:
        """Check the shard's segments.

        Args:
          segments: those for which there is a receipt, ascending.
        """
        receipts = self._load_receipts(segments)
        self._check_chain(segments, receipts)
        source = SourceRecount(self._shard, self._config, receipts)
        is_comparable = self._is_recounted
        for receipt in receipts:
            verifier = self._verifier(receipt.segment)
            records = verifier.check_files(receipt)
            self._findings.faults += verifier.faults
            if not is_comparable:
                continue
            try:
                fault = source.compare(receipt, records)
            except ShardReadError as error:
                if isinstance(error.__cause__, OSError):  # gone, or not to be read
                    self._findings.not_recounted = {error.source: str(error)}
                else:
                    self._findings.faults.append(f"{error.source}: it is not what was annotated: {error} {RESTORE}")
                is_comparable = False
                continue
            if fault:  # what follows in the source is shifted
                self._findings.faults.append(fault)
                is_comparable = False
            else:
                self._findings.counts["recounted_records"] += receipt.records
        return self._findings

    def _verifier(self, segment: int) -> SegmentVerifier:
        return SegmentVerifier(self._store, self._shard, segment, self._schema, self._config_hash)

    def _load_receipts(self, segments: Sequence[int]) -> list[Receipt]:
        receipts = []
        for segment in segments:
            verifier = self._verifier(segment)
            receipt = verifier.load_receipt()
            self._findings.faults += verifier.faults
            if receipt is None:
                self._findings.files.update(verifier.file_names)
                continue
            receipts.append(receipt)
            published = (receipt.data, receipt.rejects, receipt.dropped)
            files = {name for name, file in zip(verifier.file_names, published, strict=True) if file is not None}
            self._findings.files |= files
            self._findings.counts.update({"segments": 1, "files": len(files), **receipt.counts})
        return receipts

    def _check_chain(self, segments: Sequence[int], receipts: Sequence[Receipt]) -> None:
        """Check that the segments follow each other from the shard's begin to its end, none missing."""
        if not segments:
            self._missing(0, f"{self._shard.describe()} is not annotated")
            return
        for segment in sorted(set(range(max(segments))).difference(segments)):
            self._missing(segment, "later ones of its shard are there")
        if receipts and receipts[0].segment == 0:
            for part, coverage in zip(self._shard.ranges, receipts[0].covered, strict=True):
                begin = part.begin if self._counts_bytes else part.first_record
                self._check_joint(0, coverage, part.first_record, begin)
        for receipt, after in pairwise(receipts):
            if receipt.last_of_shard:
                self._fault(after.segment, f"it is foreign: segment {receipt.segment} is the last of its shard. {REDO}")
            elif after.segment == receipt.segment + 1:
                before = receipt.covered[-1]
                self._check_joint(after.segment, after.covered[0], before.end_record, before.end)
        if receipts and receipts[-1].segment == max(segments):
            self._check_end(receipts[-1])

    def _check_joint(self, segment: int, coverage: Coverage, record: int, begin: int) -> None:
        for what, value, got in (
            ("`first_record`", record, coverage.first_record),
            ("`begin`", begin, coverage.begin),
        ):
            if got != value:
                self._fault(segment, f"{what} must be {value}, where the part before ends, got {got}. {REDO}")

    def _check_end(self, last: Receipt) -> None:
        if not last.last_of_shard:
            self._missing(last.segment + 1, "the one before is not the last of its shard")
            return
        end_record = last.covered[-1].end_record
        if self._end_record is not None and end_record != self._end_record:
            self._fault(last.segment, f"`end_record` must be {self._end_record}, got {end_record}. {REDO}")
        for part, coverage in zip(self._shard.ranges, last.covered, strict=True):
            if self._counts_bytes and not part.is_stream and coverage.end != part.end:
                self._fault(last.segment, f"`end` must be {part.end}, got {coverage.end}. {REDO}")

    @property
    def _counts_bytes(self) -> bool:
        """Whether ranges are counted in bytes, in which they are cut then as well."""
        return FORMATS[self._config.input_format].unit == "bytes"

    def _missing(self, segment: int, why: str) -> None:
        verifier = self._verifier(segment)
        self._findings.files.update(verifier.file_names)
        self._fault(segment, f"it is missing: {why}. {RESUME}")

    def _fault(self, segment: int, what: str) -> None:
        self._findings.faults.append(f"{self._verifier(segment).receipt_name}: {what}")
