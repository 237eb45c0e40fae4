"""One segment on its way to its files: checked, streamed to attempt files, published whole, the receipt last."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from klue_beam.schemas.shard import (
    DATA_DIR,
    DROPPED_DIR,
    REJECTS_DIR,
    Chunk,
    PublishedFile,
    Receipt,
    Shard,
    segment_name,
)
from klue_beam.transforms.base.stores.base import Store
from klue_beam.transforms.base.stores.opening import open_store
from klue_beam.transforms.plan.files import COVERED_NAME, FOOTER_PREFIX, hash_coverage, read_rows
from klue_beam.transforms.plan.receipts import receipt_key
from klue_beam.transforms.write.chain import ChainChecker
from klue_beam.transforms.write.contract import ContractError, count_dropped, count_rows
from klue_beam.transforms.write.publish import DELETE, AttemptFile, PublishError, publish_file


class SegmentWriter:
    """Streams one segment to attempt files and publishes it whole; as a context, throws the attempt away at the end.

    Every chunk is checked: that it is the next one, that its rows keep the output contract, and that its records are
    all in the rows, in the rejects, dropped or blank.

    Args:
      dataset: the dataset's address.
      shard: the shard that the segment is of.
      segment: the segment's number in the shard.
      schema: what annotated_schema gives for the dataset.
      provenance: what `provenance` gave; it goes to the footers.
    """

    def __init__(
        self, dataset: str | Path, shard: Shard, segment: int, schema: pa.Schema, provenance: Mapping[str, str]
    ) -> None:
        self._store = open_store(dataset)
        self._shard = shard
        self._segment = segment
        self._name = segment_name(shard.shard_id, segment)
        self._provenance = {
            **provenance,
            f"{FOOTER_PREFIX}shard": str(shard.shard_id),
            f"{FOOTER_PREFIX}segment": str(segment),
        }
        self._config_hash = self._provenance[f"{FOOTER_PREFIX}config_hash"]
        self._receipt_key = receipt_key(shard.shard_id, segment)
        self._schema = schema
        self._chain = ChainChecker(shard, segment, schema)
        self._row_counts: Counter[str] = Counter()
        self._dropped_counts: Counter[str] = Counter()
        self._attempts: dict[str, AttemptFile] = {}

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
        self._row_counts.update(count_rows(chunk.rows))
        self._dropped_counts.update(count_dropped(chunk.dropped))
        for folder, batch in ((DATA_DIR, chunk.rows), (REJECTS_DIR, chunk.rejects), (DROPPED_DIR, chunk.dropped)):
            if batch.num_rows:
                self._write(folder, batch)

    def publish(self) -> Receipt:
        """Publish data, rejects, what was dropped and, last, the receipt; each only where none is there yet.

        A file that an attempt published which was cut short before its receipt is adopted. Where the receipt itself is
        there, another attempt has won and this one is thrown away.

        Returns:
          The receipt that stands in the dataset now.

        Raises:
          ContractError: if the segment's last chunk has not come.
          PublishError: if a file or receipt stands there that is not this segment's.
        """
        if not self._chain.ended:
            raise self.broken("the segment's last chunk has not come")
        try:
            if self._store.stat(self._receipt_key) is not None:
                return self._stored_receipt()
            return self._publish_receipt(self._publish_files())
        finally:
            self.discard()

    def discard(self) -> None:
        """Throw the attempt files away; what is published stays."""
        for attempt in self._attempts.values():
            attempt.discard()
        self._attempts.clear()

    def _write(self, folder: str, batch: pa.RecordBatch) -> None:
        if folder not in self._attempts:
            suffix = "" if folder == DATA_DIR else f".{folder.removeprefix('_')}"
            schema = batch.schema.with_metadata(self._provenance)
            self._attempts[folder] = AttemptFile(self._store, self._name + suffix, schema)
        self._attempts[folder].write(batch)

    def _publish_files(self) -> Receipt:
        chain, covered = self._chain, self._chain.covered
        counts = {
            "records": sum(part.end_record - part.first_record for part in covered),
            "documents": chain.documents,
            "blanks": chain.blanks,
            "rejected_records": chain.rejected_records,
            "rejects": self._attempts[REJECTS_DIR].rows if REJECTS_DIR in self._attempts else 0,
        }
        if self._dropped_counts:
            counts |= {"dropped_documents": chain.dropped_documents, **self._dropped_counts}
        facts = {**counts, COVERED_NAME: hash_coverage(covered)}
        footer = {f"{FOOTER_PREFIX}{name}": str(value) for name, value in facts.items()}
        data, is_own = self._publish_file(DATA_DIR, footer)
        adopted = data is not None and not is_own
        rejects, _ = self._publish_file(REJECTS_DIR, footer)
        dropped, _ = self._publish_file(DROPPED_DIR, footer)
        return Receipt(
            shard_id=self._shard.shard_id,
            segment=self._segment,
            last_of_shard=chain.last_of_shard,
            config_hash=self._config_hash,
            covered=covered,
            counts={**counts, **(_count_file(self._store, data.path) if data and adopted else self._row_counts)},
            data=data,
            rejects=rejects,
            dropped=dropped,
        )

    def _publish_file(self, folder: str, footer: Mapping[str, str]) -> tuple[PublishedFile | None, bool]:
        key = f"{folder}/{self._name}.parquet"
        if (attempt := self._attempts.get(folder)) is not None:
            attempt.close(footer)
            return publish_file(self._store, attempt.path, key)
        if self._store.stat(key) is not None:
            raise PublishError(
                f"{self._store.address(key)} is there without a receipt, but this segment has no such rows. {DELETE}"
            )
        return None, True

    def _publish_receipt(self, receipt: Receipt) -> Receipt:
        is_put = self._store.put_if_absent(self._receipt_key, receipt.to_json().encode())
        return receipt if is_put else self._stored_receipt()

    def _stored_receipt(self) -> Receipt:
        """Read the receipt that another attempt at this segment published, and check that it is of this segment."""
        path = self._store.address(self._receipt_key)
        try:
            stored = Receipt.from_json(self._store.read(self._receipt_key))
        except ValueError as error:
            raise PublishError(f"{path} is no receipt: {error} {DELETE}") from error
        own = {
            "shard_id": self._shard.shard_id,
            "segment": self._segment,
            "config_hash": self._config_hash,
            "covered": self._chain.covered,
        }
        for name, value in own.items():
            there = getattr(stored, name)
            if there != value:
                raise PublishError(f"{path} is of another segment: `{name}` is {there!r}, not {value!r}. {DELETE}")
        return stored


def _count_file(store: Store, key: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for rows in read_rows(store, key):
        counts.update(count_rows(rows))
    return counts
