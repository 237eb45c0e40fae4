"""One segment of a dataset, checked against its receipt: the files, and that each record is in them exactly once."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.shard import DATA_DIR, RECEIPTS_DIR, REJECTS_DIR, PublishedFile, Receipt, Shard, segment_name
from klue_beam.transforms.plan.files import FOOTER_PREFIX
from klue_beam.transforms.write.chain import READ_STAGE
from klue_beam.transforms.write.publish import fingerprint_file, read_footer

Records = npt.NDArray[np.int64]

BATCH_ROWS: Final = 64 * 1024

_NONE: Final[Records] = np.empty(0, np.int64)

COUNTED: Final = ("records", "documents", "blanks", "rejected_records", "rejects", "sentences")
"""What every receipt counts, beside what its tasks and flags add."""

REDO: Final = "Delete the segment's receipt and files, and run the same command again."


@dataclasses.dataclass(frozen=True, slots=True)
class SegmentRecords:
    """Which records of its source a segment's files hold.

    Attributes:
      documents: with rows in the data, ascending.
      rejected: refused by the readers, ascending.
      breaks: rejects that tell of a break of the source.
    """

    documents: Records
    rejected: Records
    breaks: int


class SegmentVerifier:
    """Checks one segment and gathers what is wrong with it.

    Args:
      dataset: the dataset's folder.
      shard: the segment's shard, as planned.
      segment: its number.
      schema: what annotated_schema gives for the dataset.
      config_hash: the plan's.

    Attributes:
      faults: what is wrong, as sentences that begin with a file's name.
      receipt_name: where the receipt lies, relative to the dataset.
      data_name, rejects_name: where data and rejects lie if there are any, relative to the dataset.
    """

    def __init__(self, dataset: Path, shard: Shard, segment: int, schema: pa.Schema, config_hash: str) -> None:
        name = segment_name(shard.shard_id, segment)
        self.faults: list[str] = []
        self._dataset = dataset
        self._shard = shard
        self._segment = segment
        self._schema = schema
        self._config_hash = config_hash
        self.receipt_name = f"{RECEIPTS_DIR}/{name}.json"
        self.data_name, self.rejects_name = (f"{folder}/{name}.parquet" for folder in (DATA_DIR, REJECTS_DIR))

    def load_receipt(self) -> Receipt | None:
        """Load the receipt if it is this segment's; None, and a fault, where it is not."""
        try:
            receipt = Receipt.from_json((self._dataset / self.receipt_name).read_bytes())
            _check_types(receipt)
        except (OSError, ValueError) as error:
            self._fault(self.receipt_name, f"it cannot be read: {error}")
            return None
        expected = {
            "shard_id": self._shard.shard_id,
            "segment": self._segment,
            "source": self._shard.source,
            "config_hash": self._config_hash,
        }
        for name, value in expected.items():
            found = getattr(receipt, name)
            if found != value:
                self._fault(self.receipt_name, f"it is foreign: `{name}` must be {value!r}, got {found!r}")
                return None
        return receipt

    def check_files(self, receipt: Receipt) -> SegmentRecords | None:
        """Check data and rejects against the receipt, and that each of its records is in them at most once.

        Returns:
          The records found, None where a file is not as the receipt says.
        """
        self._check_counts(receipt)
        data = self._is_whole(receipt, receipt.data, self.data_name, self._schema)
        rejects = self._is_whole(receipt, receipt.rejects, self.rejects_name, REJECT)
        if not (data and rejects):
            return None
        documents = self._read_documents(receipt)
        rejected, late, breaks = self._read_rejects(receipt)
        if self.faults:
            return None
        self._check_records(receipt, documents, rejected, late)
        return None if self.faults else SegmentRecords(documents, rejected, breaks)

    def _check_counts(self, receipt: Receipt) -> None:
        counts, records = receipt.counts, receipt.end_record - receipt.first_record
        parts = [counts[name] for name in ("documents", "blanks", "rejected_records")]
        if counts["records"] != records or sum(parts) != records or min(parts) < 0:
            told = "{} documents, {} blanks and {} rejected records".format(*parts)
            self._fault(self.receipt_name, f"it covers {records} records, but counts {told}")
        for name, file in (("sentences", receipt.data), ("rejects", receipt.rejects)):
            rows = file.rows if file else 0
            if counts[name] != rows:
                self._fault(self.receipt_name, f"it counts {counts[name]} {name}, but names a file of {rows} rows")

    def _is_whole(self, receipt: Receipt, published: PublishedFile | None, name: str, schema: pa.Schema) -> bool:
        """Check one file: present, of this segment, unchanged."""
        if published is None:
            return True
        if published.path != name:
            self._fault(self.receipt_name, f"its file must be {name}, got {published.path}")
            return False
        path = self._dataset / name
        if not path.is_file():
            self._fault(name, "it is missing")
            return False
        expected = {
            "config_hash": self._config_hash,
            "source": receipt.source,
            "shard": str(receipt.shard_id),
            "segment": str(receipt.segment),
            "first_record": str(receipt.first_record),
            "end_record": str(receipt.end_record),
        }
        fault = _footer_fault(path, expected) or _content_fault(path, published, schema)
        if fault:
            self._fault(name, fault)
        return not fault

    def _read_documents(self, receipt: Receipt) -> Records:
        """Give the records with rows; check that the sentences of each follow each other, in one run."""
        if receipt.data is None:
            return _NONE
        found, record_before, sentence_before = [_NONE], -1, -1
        for batch in _read_columns(self._dataset / receipt.data.path, ["source", "record_index", "sentence_index"]):
            self._check_source(receipt.data.path, batch)
            record = np.asarray(batch.column("record_index"))
            sentence = np.asarray(batch.column("sentence_index")).astype(np.int64)
            step = np.diff(record, prepend=record_before)
            expected = np.where(step > 0, 0, np.concatenate(([sentence_before], sentence[:-1])) + 1)
            wrong = (step < 0) | (sentence != expected)
            if wrong.any():
                row = int(wrong.argmax())
                self._fault(
                    receipt.data.path,
                    f"record {record[row]} is doubled or cut: sentence {sentence[row]} stands where sentence "
                    f"{expected[row]} of a record must",
                )
                break
            found.append(record[step > 0])
            record_before, sentence_before = int(record[-1]), int(sentence[-1])
        return np.concatenate(found)

    def _read_rejects(self, receipt: Receipt) -> tuple[Records, Records, int]:
        """Give the records that the readers refused, those with a reject of a later stage, and the count of breaks."""
        if receipt.rejects is None:
            return _NONE, _NONE, 0
        read, late, breaks = [_NONE], [_NONE], 0
        for batch in _read_columns(self._dataset / receipt.rejects.path, ["source", "record_index", "stage"]):
            self._check_source(receipt.rejects.path, batch)
            is_read = pc.equal(batch.column("stage"), READ_STAGE)
            record = batch.column("record_index")
            read.append(np.asarray(record.filter(is_read).drop_null()))
            late.append(np.asarray(record.filter(pc.invert(is_read)).drop_null()))
            breaks += record.null_count
        rejected, times = np.unique(np.concatenate(read), return_counts=True)
        if (times > 1).any():
            self._fault(receipt.rejects.path, f"record {rejected[times > 1][0]} is rejected more than once")
        return rejected, np.concatenate(late), breaks

    def _check_source(self, name: str, batch: pa.RecordBatch) -> None:
        for source in pc.unique(batch.column("source")).to_pylist():
            if source != self._shard.source:
                self._fault(name, f"it holds rows of another source, {source}")

    def _check_records(self, receipt: Receipt, documents: Records, rejected: Records, late: Records) -> None:
        data, rejects = self.data_name, self.rejects_name
        place = f"records {receipt.first_record} to {receipt.end_record - 1}"
        for name, records in ((data, documents), (rejects, rejected)):
            outside = records[(records < receipt.first_record) | (records >= receipt.end_record)]
            if len(outside):
                self._fault(name, f"record {outside[0]} is not one of the segment's {place}")
        both = np.intersect1d(documents, rejected)
        if len(both):
            self._fault(data, f"record {both[0]} is in the data and in the rejects")
        if len(stray := np.setdiff1d(late, documents)):
            self._fault(rejects, f"record {stray[0]} has a reject of a later stage, but no row in the data")
        for name, file, records in (("documents", data, documents), ("rejected_records", rejects, rejected)):
            if receipt.counts[name] != len(records):
                what = name.replace("_", " ")
                self._fault(file, f"it must hold {receipt.counts[name]} {what}, got {len(records)}")

    def _fault(self, name: str, what: str) -> None:
        self.faults.append(f"{name}: {what}. {REDO}")


def _read_columns(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)


def _check_types(receipt: Receipt) -> None:
    """Check that a receipt's numbers are numbers, since everything else here reckons with them.

    Raises:
      ValueError: if one is not.
    """
    places = ("shard_id", "segment", "first_record", "end_record", "begin_byte", "end_byte")
    numbers = {name: getattr(receipt, name) for name in places}
    counts = receipt.counts if isinstance(receipt.counts, dict) else {}
    numbers |= {name: counts.get(name) for name in COUNTED} | counts
    for name, value in numbers.items():
        if type(value) is not int:
            raise ValueError(f"`{name}` must be a whole number, got {value!r}.")


def _footer_fault(path: Path, expected: Mapping[str, str]) -> str:
    """Say in what a file's footer shows that it is another segment's, or that there is none; else give ""."""
    try:
        footer = read_footer(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return "it was cut, or is no Parquet file"
    for name, value in expected.items():
        found = footer.get(f"{FOOTER_PREFIX}{name}", "none")
        if found != value:
            return f"it is foreign: the {name} in its footer must be {value}, got {found}"
    return ""


def _content_fault(path: Path, published: PublishedFile, schema: pa.Schema) -> str:
    """Say in what a file differs from its receipt, or from the dataset's columns; else give ""."""
    size_bytes, sha256 = fingerprint_file(path)
    if (size_bytes, sha256) != (published.size_bytes, published.sha256):
        was = f"{published.size_bytes} bytes of sha256 {published.sha256[:12]}…"
        return f"it was changed: {was} were written, {size_bytes} of {sha256[:12]}… are there"
    rows, found = pq.read_metadata(path).num_rows, pq.read_schema(path)
    if rows != published.rows:
        return f"it must have {published.rows} rows, got {rows}"
    if not found.equals(schema):
        return f"its columns must be {', '.join(schema.names)}, got {', '.join(found.names)}"
    return ""
