"""One segment on its way to its files: checked, streamed to attempt files, published whole, the receipt last."""

import os
import uuid
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.shard import (
    ATTEMPTS_DIR,
    DATA_DIR,
    RECEIPTS_DIR,
    REJECTS_DIR,
    Chunk,
    PublishedFile,
    Receipt,
    Shard,
    Tally,
    segment_name,
)
from klue_beam.transforms.plan.files import FOOTER_PREFIX
from klue_beam.transforms.write.chain import ChainChecker
from klue_beam.transforms.write.contract import ContractError, count_rows
from klue_beam.transforms.write.publish import (
    DELETE,
    AttemptFile,
    PublishError,
    publish_file,
    put_if_absent,
)


class SegmentWriter:
    """Streams one segment to attempt files and publishes it whole; as a context, throws the attempt away at the end.

    Every chunk is checked: that it is the next one, that its rows keep the output contract, and that its records are
    all in the rows, in the rejects or blank.

    Args:
      dataset: the dataset's folder.
      shard: the shard that the segment is of.
      segment: the segment's number in the shard.
      schema: what annotated_schema gives for the dataset.
      provenance: what `provenance` gave; it goes to the footers.
    """

    def __init__(
        self, dataset: str | Path, shard: Shard, segment: int, schema: pa.Schema, provenance: Mapping[str, str]
    ) -> None:
        self._dataset = Path(dataset)
        self._shard = shard
        self._segment = segment
        self._name = segment_name(shard.shard_id, segment)
        self._provenance = {
            **provenance,
            f"{FOOTER_PREFIX}source": shard.source,
            f"{FOOTER_PREFIX}shard": str(shard.shard_id),
            f"{FOOTER_PREFIX}segment": str(segment),
        }
        self._config_hash = self._provenance[f"{FOOTER_PREFIX}config_hash"]
        self._receipt_path = self._dataset / RECEIPTS_DIR / f"{self._name}.json"
        self._schema = schema
        self._chain = ChainChecker(shard, segment, schema)
        self._counts: Counter[str] = Counter()
        self._data: AttemptFile | None = None
        self._rejects: AttemptFile | None = None

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def broken(self, what: str) -> ContractError:
        """Give the error of a chain of chunks that a runner broke."""
        return self._chain.broken(what)

    def write(self, chunk: Chunk) -> None:
        """Check the segment's next chunk and add it to the attempt.

        Raises:
          ContractError: if it is not the next one, or its rows, rejects or record counts break their contract.
        """
        self._chain.follow(chunk)
        self._counts.update(count_rows(chunk.rows))
        if chunk.rows.num_rows:
            self._data = self._data or self._open("", self._schema)
            self._data.write(chunk.rows)
        if chunk.rejects.num_rows:
            self._rejects = self._rejects or self._open(".rejects", REJECT)
            self._rejects.write(chunk.rejects)

    def publish(self) -> Receipt:
        """Publish data, rejects and, last, the receipt; each only where none is there yet.

        A file that an attempt published which was cut short before its receipt is adopted. Where the receipt itself is
        there, another attempt has won and this one is thrown away.

        Returns:
          The receipt that stands in the dataset now.

        Raises:
          ContractError: if the segment's last chunk has not come.
          PublishError: if a file or receipt stands there that is not this segment's.
        """
        tally = self._chain.tally
        if tally is None or not self._chain.ended:
            raise self.broken("the segment's last chunk has not come")
        try:
            if self._receipt_path.exists():
                return self._stored_receipt()
            return self._publish_receipt(self._publish_files(tally))
        finally:
            self.discard()

    def discard(self) -> None:
        """Throw the attempt files away; what is published stays."""
        for attempt in (self._data, self._rejects):
            if attempt is not None:
                attempt.discard()
        self._data = self._rejects = None

    def _open(self, suffix: str, schema: pa.Schema) -> AttemptFile:
        return AttemptFile(self._dataset, self._name + suffix, schema.with_metadata(self._provenance))

    def _publish_files(self, tally: Tally) -> Receipt:
        counts = self._counts
        rejected = {
            "rejected_records": self._chain.rejected_records,
            "rejects": self._rejects.rows if self._rejects else 0,
        }
        footer = {f"{FOOTER_PREFIX}{name}": str(value) for name, value in {**tally._asdict(), **rejected}.items()}
        data, is_own = self._publish_file(self._data, DATA_DIR, footer)
        if data is not None and not is_own:
            counts = _count_file(self._dataset / data.path)
        rejects, _ = self._publish_file(self._rejects, REJECTS_DIR, footer)
        records = {
            "records": tally.end_record - tally.first_record,
            "documents": tally.documents,
            "blanks": tally.blanks,
        }
        return Receipt(
            shard_id=self._shard.shard_id,
            segment=self._segment,
            last_of_shard=self._chain.last_of_shard,
            source=self._shard.source,
            config_hash=self._config_hash,
            first_record=tally.first_record,
            end_record=tally.end_record,
            begin_byte=tally.begin_byte,
            end_byte=tally.end_byte,
            input_sha256=tally.input_sha256,
            counts={**records, **rejected, **counts},
            data=data,
            rejects=rejects,
        )

    def _publish_file(
        self, attempt: AttemptFile | None, folder: str, footer: Mapping[str, str]
    ) -> tuple[PublishedFile | None, bool]:
        target = self._dataset / folder / f"{self._name}.parquet"
        if attempt is not None:
            attempt.close(footer)
            return publish_file(attempt.path, self._dataset, target)
        if target.exists():
            raise PublishError(f"{target} is there without a receipt, but this segment has no such rows. {DELETE}")
        return None, True

    def _publish_receipt(self, receipt: Receipt) -> Receipt:
        attempt = self._dataset / ATTEMPTS_DIR / f"{self._name}-{uuid.uuid4().hex}.json"
        attempt.parent.mkdir(parents=True, exist_ok=True)
        try:
            with attempt.open("xb") as file:
                file.write(receipt.to_json().encode())
                file.flush()
                os.fsync(file.fileno())
            if put_if_absent(attempt, self._receipt_path):
                return receipt
        finally:
            attempt.unlink(missing_ok=True)
        return self._stored_receipt()

    def _stored_receipt(self) -> Receipt:
        """Read the receipt that another attempt at this segment published, and check that it is of this segment."""
        path, tally = self._receipt_path, self._chain.tally
        try:
            stored = Receipt.from_json(path.read_bytes())
        except ValueError as error:
            raise PublishError(f"{path} is no receipt: {error} {DELETE}") from error
        own = {
            "shard_id": self._shard.shard_id,
            "segment": self._segment,
            "source": self._shard.source,
            "config_hash": self._config_hash,
            "first_record": tally and tally.first_record,
            "end_record": tally and tally.end_record,
        }
        for name, value in own.items():
            there = getattr(stored, name)
            if there != value:
                raise PublishError(f"{path} is of another segment: `{name}` is {there!r}, not {value!r}. {DELETE}")
        return stored


def _count_file(path: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    with pq.ParquetFile(path) as file:
        for rows in file.iter_batches():
            counts.update(count_rows(rows))
    return counts
