"""The chain of chunks that makes a segment, checked: a runner that loses, doubles or reorders one fails loudly."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.shard import Chunk, Shard, Tally
from klue_beam.transforms.write.contract import ContractError, check_batch, check_rows

Records = npt.NDArray[np.int64]

READ_STAGE: Final = "read"
"""Rejects of this stage are records that gave no document; those of later stages belong to rows that are there."""


class ChainChecker:
    """Follows the chunks of one segment and refuses one that is not the next, or whose records are not all there.

    Attributes:
      tally: what the chunks so far cover together.
      rejected_records: how many records the readers rejected so far.
      ended: whether the segment's last chunk has come.
      last_of_shard: whether that was the shard's last as well.
    """

    def __init__(self, shard: Shard, segment: int, schema: pa.Schema) -> None:
        self._shard = shard
        self._segment = segment
        self._schema = schema
        self._batches = 0
        self.tally: Tally | None = None
        self.rejected_records = 0
        self.ended = False
        self.last_of_shard = False

    @property
    def place(self) -> str:
        """Shard and segment, as messages name them."""
        return f"Shard {self._shard.shard_id} ({self._shard.source}), segment {self._segment}"

    def follow(self, chunk: Chunk) -> None:
        """Check the next chunk and add it up.

        Raises:
          ContractError: if it is not the next one, if its rows or rejects break their contract, or if its records are
            not all in the rows, in the rejects or blank.
        """
        self._check_order(chunk)
        check_rows(chunk.rows, self._schema, self.place)
        check_batch(chunk.rejects, REJECT, self.place)
        self.rejected_records += self._check_records(chunk)
        self.tally = chunk.tally if self.tally is None else _join(self.tally, chunk.tally)
        self._batches += 1
        self.ended, self.last_of_shard = chunk.key.last_of_segment, chunk.key.last_of_shard

    def _check_order(self, chunk: Chunk) -> None:
        key, tally = chunk.key, chunk.tally
        if (key.shard_id, key.segment) != (self._shard.shard_id, self._segment):
            raise self.broken(f"shard {key.shard_id}, segment {key.segment} came before the last chunk of this segment")
        if self.ended:
            raise self.broken(f"batch {key.batch} came after the last one")
        if key.batch != self._batches:
            raise self.broken(f"batch {self._batches} must come next, got {key.batch}")
        if key.last_of_shard and not key.last_of_segment:
            raise self.broken("the last chunk of a shard must be the last of its segment as well")
        for first, end in (("first_record", "end_record"), ("begin_byte", "end_byte")):
            begins, ends = getattr(tally, first), getattr(tally, end)
            if ends < begins:
                raise self.broken(f"`{end}` must not be less than `{first}` {begins}, got {ends}")
            if self.tally is not None and begins != getattr(self.tally, end):
                raise self.broken(
                    f"`{first}` must be {getattr(self.tally, end)}, where batch {key.batch - 1} ended, got {begins}"
                )
        if self.tally is None and self._segment == 0 and tally.first_record != self._shard.first_record:
            raise self.broken(f"the shard begins with record {self._shard.first_record}, got {tally.first_record}")

    def broken(self, what: str) -> ContractError:
        """Give the error of a chain that a runner broke."""
        return ContractError(
            f"{self.place}: a runner broke the chain from read to write: {what}. Nothing was published. Use a runner "
            "that keeps the graph in one fused stage, as the local driver does."
        )

    def _check_records(self, chunk: Chunk) -> int:
        """Check that every record of the chunk is a document, blank or rejected; give how many are rejected."""
        tally = chunk.tally
        self._check_sources(chunk)
        documents = np.unique(np.asarray(chunk.rows.column("record_index")))
        rejected = self._rejected_records(chunk.rejects, documents)
        covered = np.concatenate((documents, rejected))
        outside = covered[(covered < tally.first_record) | (covered >= tally.end_record)]
        self._refuse_any(outside, f"is not one of the chunk's records {tally.first_record} to {tally.end_record - 1}")
        if len(documents) != tally.documents:
            raise self._lost(tally, f"{tally.documents} documents were read, {len(documents)} have rows")
        records = tally.end_record - tally.first_record
        if records != tally.documents + tally.blanks + len(rejected):
            raise self._lost(
                tally,
                f"{records} records were read, but there are {tally.documents} documents, {tally.blanks} blanks and "
                f"{len(rejected)} rejected records",
            )
        return len(rejected)

    def _rejected_records(self, rejects: pa.RecordBatch, documents: Records) -> Records:
        """Give the records that the readers rejected, each once; check the other rejects against the documents."""
        nameless = pc.is_null(rejects.column("record_index"))
        late = pc.not_equal(rejects.column("stage"), READ_STAGE)
        for stage in rejects.column("stage").filter(pc.and_(nameless, late)).to_pylist():
            raise ContractError(f"{self.place}: a reject of stage {stage!r} names no record.")
        late_records = np.asarray(rejects.column("record_index").filter(late))
        self._refuse_any(np.setdiff1d(late_records, documents), "has a reject of a later stage, but no row")
        read = rejects.column("record_index").filter(pc.invert(late)).drop_null()
        rejected, times = np.unique(np.asarray(read), return_counts=True)
        self._refuse_any(np.intersect1d(rejected, documents), "is in the rows and in the rejects of the readers")
        self._refuse_any(rejected[times > 1], "is in the rejects of the readers more than once")
        return rejected

    def _check_sources(self, chunk: Chunk) -> None:
        for what, batch in (("row", chunk.rows), ("reject", chunk.rejects)):
            for source in pc.unique(batch.column("source")).to_pylist():
                if source != self._shard.source:
                    raise ContractError(f"{self.place}: a {what} is of another source, {source!r}.")

    def _refuse_any(self, records: Records, what: str) -> None:
        if len(records):
            raise ContractError(f"{self.place}: record {records[0]} {what}.")

    def _lost(self, tally: Tally, what: str) -> ContractError:
        return ContractError(
            f"{self.place}: records {tally.first_record} to {tally.end_record - 1} are not all accounted for: {what}."
        )


def _join(before: Tally, after: Tally) -> Tally:
    return Tally(
        first_record=before.first_record,
        end_record=after.end_record,
        begin_byte=before.begin_byte,
        end_byte=after.end_byte,
        documents=before.documents + after.documents,
        blanks=before.blanks + after.blanks,
        input_sha256=after.input_sha256,
    )
