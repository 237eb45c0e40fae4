"""One segment of a dataset, checked against its receipt: the files, and that each record is in them exactly once."""

import dataclasses
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.shard import (
    DATA_DIR,
    DROPPED_DIR,
    RECEIPTS_DIR,
    REJECTS_DIR,
    PublishedFile,
    Receipt,
    Shard,
    segment_name,
)
from klue_beam.transforms.base.numbering import Numbering, Positions
from klue_beam.transforms.base.stores.base import Store
from klue_beam.transforms.plan.files import COVERED_NAME, hash_coverage, read_rows
from klue_beam.transforms.verify.files import find_file_fault
from klue_beam.transforms.write.chain import READ_STAGE

_NONE: Final[Positions] = np.empty(0, np.int64)

COUNTED: Final = ("records", "documents", "blanks", "rejected_records", "rejects", "sentences")
"""What every receipt counts, beside what its tasks and flags add."""

REDO: Final = "Delete the segment's receipt and files, and run the same command again."


@dataclasses.dataclass(frozen=True, slots=True)
class SegmentRecords:
    """Which records a segment's files hold, as positions in `numbering`.

    Attributes:
      numbering: of what the receipt says is covered.
      documents: with rows in the data or dropped, ascending.
      rejected: refused by the readers, ascending.
      breaks: rejects that tell of a break of the source.
    """

    numbering: Numbering
    documents: Positions
    rejected: Positions
    breaks: int


class SegmentVerifier:
    """Checks one segment and gathers what is wrong with it.

    Args:
      store: where the dataset lies.
      shard: the segment's shard, as planned.
      segment: its number.
      schema: what annotated_schema gives for the dataset.
      config_hash: the plan's.

    Attributes:
      faults: what is wrong, as sentences that begin with a file's name.
      receipt_name: where the receipt lies, relative to the dataset.
      data_name, rejects_name, dropped_name: where these files lie if there are any, relative to the dataset.
    """

    def __init__(self, store: Store, shard: Shard, segment: int, schema: pa.Schema, config_hash: str) -> None:
        name = segment_name(shard.shard_id, segment)
        self.faults: list[str] = []
        self._store = store
        self._shard = shard
        self._segment = segment
        self._schema = schema
        self._config_hash = config_hash
        self.receipt_name = f"{RECEIPTS_DIR}/{name}.json"
        self.data_name, self.rejects_name, self.dropped_name = (
            f"{folder}/{name}.parquet" for folder in (DATA_DIR, REJECTS_DIR, DROPPED_DIR)
        )

    @property
    def file_names(self) -> tuple[str, str, str]:
        """Where data, rejects and what was dropped lie, if there are any."""
        return self.data_name, self.rejects_name, self.dropped_name

    def load_receipt(self) -> Receipt | None:
        """Load the receipt if it is this segment's; None, and a fault, where it is not."""
        try:
            receipt = Receipt.from_json(self._store.read(self.receipt_name))
            _check_types(receipt)
        except (OSError, ValueError) as error:
            self._fault(self.receipt_name, f"it cannot be read: {error}")
            return None
        for name, value, found in (
            ("shard_id", self._shard.shard_id, receipt.shard_id),
            ("segment", self._segment, receipt.segment),
            ("config_hash", self._config_hash, receipt.config_hash),
            ("sources", [part.source for part in self._shard.ranges], [part.source for part in receipt.covered]),
        ):
            if found != value:
                self._fault(self.receipt_name, f"it is foreign: `{name}` must be {value!r}, got {found!r}")
                return None
        return receipt

    def check_files(self, receipt: Receipt) -> SegmentRecords | None:
        """Check the files against the receipt, and that each of its records is in them at most once.

        Returns:
          The records found, None where a file is not as the receipt says.
        """
        self._check_counts(receipt)
        files = (
            (receipt.data, self.data_name, self._schema),
            (receipt.rejects, self.rejects_name, REJECT),
            (receipt.dropped, self.dropped_name, DROPPED),
        )
        whole = [self._is_whole(receipt, *file) for file in files]  # each of them, for its faults
        if not all(whole):
            return None
        covered = receipt.covered
        numbering = Numbering([(part.source, part.first_record, part.end_record) for part in covered])
        with_rows = self._read_documents(receipt, numbering)
        gone, parts = self._read_dropped(receipt, numbering)
        rejected, late, breaks = self._read_rejects(receipt, numbering)
        if self.faults:
            return None
        self._check_dropped(receipt, numbering, with_rows, gone, parts)
        documents = np.union1d(with_rows, np.union1d(gone, parts))
        self._check_records(receipt, numbering, documents, rejected, late)
        return None if self.faults else SegmentRecords(numbering, documents, rejected, breaks)

    def _check_counts(self, receipt: Receipt) -> None:
        counts, records = receipt.counts, receipt.records
        parts = [counts[name] for name in ("documents", "blanks", "rejected_records")]
        if counts["records"] != records or sum(parts) != records or min(parts) < 0:
            told = "{} documents, {} blanks and {} rejected records".format(*parts)
            self._fault(self.receipt_name, f"it covers {records} records, but counts {told}")
        files = (("sentences", receipt.data), ("rejects", receipt.rejects), ("dropped", receipt.dropped))
        for name, file in files:
            rows = file.rows if file else 0
            if counts.get(name, 0) != rows:
                self._fault(
                    self.receipt_name, f"it counts {counts.get(name, 0)} {name}, but names a file of {rows} rows"
                )

    def _is_whole(self, receipt: Receipt, published: PublishedFile | None, name: str, schema: pa.Schema) -> bool:
        """Check one file: present, of this segment, unchanged."""
        if published is None:
            return True
        if published.path != name:
            self._fault(self.receipt_name, f"its file must be {name}, got {published.path}")
            return False
        footer = {
            "config_hash": self._config_hash,
            "shard": str(receipt.shard_id),
            "segment": str(receipt.segment),
            COVERED_NAME: hash_coverage(receipt.covered),
        }
        fault = find_file_fault(self._store, published, footer, schema)
        if fault:
            self._fault(name, fault)
        return not fault

    def _read_documents(self, receipt: Receipt, numbering: Numbering) -> Positions:
        """Give the records with rows; check that the sentences of each follow each other, in one run."""
        if receipt.data is None:
            return _NONE
        found, record_before, sentence_before = [_NONE], -1, -1
        for batch in read_rows(self._store, receipt.data.path, ["source", "record_index", "sentence_index"]):
            record = self._positions(receipt.data.path, batch, numbering)
            if record is None:
                break
            sentence = np.asarray(batch.column("sentence_index")).astype(np.int64)
            step = np.diff(record, prepend=record_before)
            expected = np.where(step > 0, 0, np.concatenate(([sentence_before], sentence[:-1])) + 1)
            wrong = (step < 0) | (sentence != expected)
            if wrong.any():
                row = int(wrong.argmax())
                self._fault(
                    receipt.data.path,
                    f"{numbering.describe(int(record[row]))} is doubled or cut: sentence {sentence[row]} stands where "
                    f"sentence {expected[row]} of a record must",
                )
                break
            found.append(record[step > 0])
            record_before, sentence_before = int(record[-1]), int(sentence[-1])
        return np.concatenate(found)

    def _read_rejects(self, receipt: Receipt, numbering: Numbering) -> tuple[Positions, Positions, int]:
        """Give the records that the readers refused, those with a reject of a later stage, and the count of breaks."""
        if receipt.rejects is None:
            return _NONE, _NONE, 0
        read, late, breaks = [_NONE], [_NONE], 0
        for batch in read_rows(self._store, receipt.rejects.path, ["source", "record_index", "stage"]):
            breaks += batch.column("record_index").null_count
            named = batch.filter(batch.column("record_index").is_valid())
            record = self._positions(receipt.rejects.path, named, numbering)
            if record is None:
                break
            is_read = pc.equal(named.column("stage"), READ_STAGE).to_numpy(zero_copy_only=False)
            read.append(record[is_read])
            late.append(record[~is_read])
        rejected = self._each_once(receipt.rejects.path, np.concatenate(read), numbering, "rejected")
        return rejected, np.concatenate(late), breaks

    def _read_dropped(self, receipt: Receipt, numbering: Numbering) -> tuple[Positions, Positions]:
        """Give the documents that were dropped whole, and those of which sentences were dropped."""
        if receipt.dropped is None:
            return _NONE, _NONE
        whole, parts = [_NONE], [_NONE]
        for batch in read_rows(self._store, receipt.dropped.path, ["source", "record_index", "begin"]):
            record = self._positions(receipt.dropped.path, batch, numbering)
            if record is None:
                break
            is_whole = batch.column("begin").is_null().to_numpy(zero_copy_only=False)
            whole.append(record[is_whole])
            parts.append(record[~is_whole])
        documents = self._each_once(receipt.dropped.path, np.concatenate(whole), numbering, "dropped")
        return documents, np.unique(np.concatenate(parts))

    def _each_once(self, name: str, records: Positions, numbering: Numbering, how: str) -> Positions:
        found, times = np.unique(records, return_counts=True)
        if (times > 1).any():
            self._fault(name, f"{numbering.describe(int(found[times > 1][0]))} is {how} more than once")
        return found

    def _positions(self, name: str, batch: pa.RecordBatch, numbering: Numbering) -> Positions | None:
        """Number the records of rows through; None, and a fault, where one is not of the segment."""
        if (foreign := numbering.find_foreign(batch.column("source"))) is not None:
            self._fault(name, f"it holds rows of another source, {foreign}")
            return None
        positions = numbering.positions(batch.column("source"), batch.column("record_index"))
        if (positions < 0).any():
            row = int(positions.argmin())
            source, record = batch.column("source")[row], batch.column("record_index")[row]
            self._fault(name, f"record {record} is not one of the segment's records of {source}")
            return None
        return positions

    def _check_dropped(
        self, receipt: Receipt, numbering: Numbering, with_rows: Positions, whole: Positions, parts: Positions
    ) -> None:
        both = np.intersect1d(whole, np.union1d(with_rows, parts))
        if len(both):
            self._fault(self.dropped_name, f"{numbering.describe(int(both[0]))} is dropped, and a part of it is not")
        gone = len(np.setdiff1d(np.union1d(whole, parts), with_rows))
        counted = receipt.counts.get("dropped_documents", 0)
        if gone != counted:
            self._fault(self.dropped_name, f"it must leave {counted} documents without rows, got {gone}")

    def _check_records(
        self, receipt: Receipt, numbering: Numbering, documents: Positions, rejected: Positions, late: Positions
    ) -> None:
        data, rejects = self.data_name, self.rejects_name
        both = np.intersect1d(documents, rejected)
        if len(both):
            self._fault(data, f"{numbering.describe(int(both[0]))} is in the data and in the rejects")
        if len(stray := np.setdiff1d(late, documents)):
            record = numbering.describe(int(stray[0]))
            self._fault(rejects, f"{record} has a reject of a later stage, but no row in the data")
        for name, file, records in (("documents", data, documents), ("rejected_records", rejects, rejected)):
            if receipt.counts[name] != len(records):
                what = name.replace("_", " ")
                self._fault(file, f"it must hold {receipt.counts[name]} {what}, got {len(records)}")

    def _fault(self, name: str, what: str) -> None:
        self.faults.append(f"{name}: {what}. {REDO}")


def _check_types(receipt: Receipt) -> None:
    """Check that a receipt's numbers are numbers, since everything else here reckons with them.

    Raises:
      ValueError: if one is not.
    """
    places = ("first_record", "end_record", "begin", "end")
    numbers = [(name, getattr(part, name)) for part in receipt.covered for name in places]
    numbers += [(name, getattr(receipt, name)) for name in ("shard_id", "segment")]
    counts = receipt.counts if isinstance(receipt.counts, dict) else {}
    numbers += [(name, counts.get(name)) for name in COUNTED] + list(counts.items())
    for name, value in numbers:
        if type(value) is not int:
            raise ValueError(f"`{name}` must be a whole number, got {value!r}.")
