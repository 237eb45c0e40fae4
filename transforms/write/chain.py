"""The chain of chunks that makes a segment, checked: a runner that loses, doubles or reorders one fails loudly."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.shard import Chunk, Coverage, Shard, Tally
from klue_beam.transforms.base.numbering import Numbering, Positions
from klue_beam.transforms.write.contract import ContractError, check_batch, check_rows

READ_STAGE: Final = "read"
"""Rejects of this stage are records that gave no document; those of later stages belong to rows that are there."""


class ChainChecker:
    """Follows the chunks of one segment and refuses one that is not the next, or whose records are not all there.

    Attributes:
      documents, blanks: how many records of these kinds came so far.
      rejected_records: how many records the readers rejected so far.
      dropped_documents: how many documents have no sentence left after cleaning.
      ended: whether the segment's last chunk has come.
      last_of_shard: whether that was the shard's last as well.
    """

    def __init__(self, shard: Shard, segment: int, schema: pa.Schema) -> None:
        self._shard = shard
        self._segment = segment
        self._schema = schema
        self._batches = 0
        self._tallies: list[Tally] = []
        self.documents = self.blanks = self.rejected_records = self.dropped_documents = 0
        self.ended = False
        self.last_of_shard = False

    @property
    def place(self) -> str:
        """Shard and segment, as messages name them."""
        return f"{self._shard.describe()}, segment {self._segment}"

    @property
    def covered(self) -> tuple[Coverage, ...]:
        """What the chunks so far cover together."""
        ranges = self._shard.ranges
        return tuple(
            Coverage(ranges[t.range_index].source, t.first_record, t.end_record, t.begin, t.end, t.input_sha256)
            for t in self._tallies
        )

    def follow(self, chunk: Chunk) -> None:
        """Check the next chunk and add it up.

        Raises:
          ContractError: if it is not the next one, if its rows, rejects or dropped break their contract, or if its
            records are not all in the rows, in the rejects, dropped or blank.
        """
        self._check_order(chunk)
        for tally in chunk.tallies:
            self._add(tally)
        self._check_end(chunk)
        check_rows(chunk.rows, self._schema, self.place)
        check_batch(chunk.rejects, REJECT, self.place)
        check_batch(chunk.dropped, DROPPED, self.place)
        self._check_records(chunk)
        self._batches += 1
        self.ended, self.last_of_shard = chunk.key.last_of_segment, chunk.key.last_of_shard

    def _check_order(self, chunk: Chunk) -> None:
        key, shard_id = chunk.key, chunk.shard.shard_id
        if (shard_id, key.segment) != (self._shard.shard_id, self._segment):
            raise self.broken(f"shard {shard_id}, segment {key.segment} came before the last chunk of this segment")
        if self.ended:
            raise self.broken(f"batch {key.batch} came after the last one")
        if key.batch != self._batches:
            raise self.broken(f"batch {self._batches} must come next, got {key.batch}")
        if key.last_of_shard and not key.last_of_segment:
            raise self.broken("the last chunk of a shard must be the last of its segment as well")

    def _add(self, tally: Tally) -> None:
        """Add what a chunk covers of a range: it goes on where the last one ended, or begins the next range."""
        for first, end in (("first_record", "end_record"), ("begin", "end")):
            begins, ends = getattr(tally, first), getattr(tally, end)
            if ends < begins:
                raise self.broken(f"`{end}` must not be less than `{first}` {begins}, got {ends}")
        before = self._tallies[-1] if self._tallies else None
        if before is not None and not before.input_sha256:
            self._check_joint(before, tally)
            self._tallies[-1] = tally._replace(
                first_record=before.first_record,
                begin=before.begin,
                documents=before.documents + tally.documents,
                blanks=before.blanks + tally.blanks,
            )
        else:
            self._check_begin(tally)
            self._tallies.append(tally)

    def _check_joint(self, before: Tally, tally: Tally) -> None:
        expected = (before.range_index, before.end_record, before.end)
        found = (tally.range_index, tally.first_record, tally.begin)
        for name, value, got in zip(("range_index", "first_record", "begin"), expected, found, strict=True):
            if got != value:
                raise self.broken(f"`{name}` must be {value}, where the part before ended, got {got}")

    def _check_begin(self, tally: Tally) -> None:
        expected, ranges = len(self._tallies), self._shard.ranges
        if tally.range_index != expected or expected >= len(ranges):
            raise self.broken(f"range {expected} of {len(ranges)} must come next, got {tally.range_index}")
        first_record = ranges[expected].first_record
        if self._segment == 0 and tally.first_record != first_record:
            raise self.broken(f"the range begins with record {first_record}, got {tally.first_record}")

    def _check_end(self, chunk: Chunk) -> None:
        if not self._tallies:
            raise self.broken("a chunk must tell what it covers")
        if chunk.key.last_of_segment and not self._tallies[-1].input_sha256:
            raise self.broken("the last chunk of a segment must end its range")
        if chunk.key.last_of_segment and len(self._tallies) != len(self._shard.ranges):
            raise self.broken(f"{len(self._tallies)} of {len(self._shard.ranges)} ranges have come")

    def broken(self, what: str) -> ContractError:
        """Give the error of a chain that a runner broke."""
        return ContractError(
            f"{self.place}: a runner broke the chain from read to write: {what}. Nothing was published. Use a runner "
            "that keeps the graph in one fused stage, as the local driver does."
        )

    def _check_records(self, chunk: Chunk) -> None:
        """Check that every record of the chunk is a document, dropped, blank or rejected, and add them up."""
        ranges = self._shard.ranges
        numbering = Numbering(
            [(ranges[tally.range_index].source, tally.first_record, tally.end_record) for tally in chunk.tallies]
        )
        rows = self._positions(numbering, chunk.rows, "row")
        if (np.diff(rows) < 0).any():
            raise ContractError(f"{self.place}: the rows must be in the order of the shard's sources and records.")
        with_rows = np.unique(rows)
        dropped = self._dropped_documents(numbering, chunk.dropped, with_rows)
        documents = np.union1d(with_rows, dropped)
        rejected = self._rejected_records(numbering, chunk.rejects, documents)
        self._check_counts(chunk, numbering, documents, rejected)
        self.documents += len(documents)
        self.blanks += sum(tally.blanks for tally in chunk.tallies)
        self.rejected_records += len(rejected)
        self.dropped_documents += len(documents) - len(with_rows)

    def _positions(self, numbering: Numbering, batch: pa.RecordBatch, what: str) -> Positions:
        """Number the records of a batch through; refuse one that is not of the chunk."""
        source, record = batch.column("source"), batch.column("record_index")
        if (foreign := numbering.find_foreign(source)) is not None:
            raise ContractError(f"{self.place}: a {what} is of another source, {foreign!r}.")
        named = record.is_valid()
        positions = numbering.positions(source.filter(named), record.filter(named))
        if (positions < 0).any():
            outside = record.filter(named)[int(np.argmin(positions))].as_py()
            raise ContractError(f"{self.place}: a {what} has record {outside}, which is none of the chunk's.")
        return positions

    def _dropped_documents(self, numbering: Numbering, dropped: pa.RecordBatch, with_rows: Positions) -> Positions:
        """Give the documents of which something was dropped; check that of one dropped whole no row is there."""
        positions = self._positions(numbering, dropped, "dropped row")
        whole, times = np.unique(positions[dropped.column("begin").is_null()], return_counts=True)
        self._refuse_any(numbering, whole[times > 1], "is dropped more than once")
        self._refuse_any(numbering, np.intersect1d(whole, with_rows), "is dropped and in the rows")
        return np.unique(positions)

    def _rejected_records(self, numbering: Numbering, rejects: pa.RecordBatch, documents: Positions) -> Positions:
        """Give the records that the readers rejected, each once; check the other rejects against the documents."""
        nameless = pc.is_null(rejects.column("record_index"))
        late = pc.not_equal(rejects.column("stage"), READ_STAGE)
        for stage in rejects.column("stage").filter(pc.and_(nameless, late)).to_pylist():
            raise ContractError(f"{self.place}: a reject of stage {stage!r} names no record.")
        positions = self._positions(numbering, rejects, "reject")
        is_late = late.filter(pc.invert(nameless)).to_numpy(zero_copy_only=False).astype(bool)
        self._refuse_any(
            numbering, np.setdiff1d(positions[is_late], documents), "has a reject of a later stage, but no row"
        )
        rejected, times = np.unique(positions[~is_late], return_counts=True)
        both = np.intersect1d(rejected, documents)
        self._refuse_any(numbering, both, "is in the rows and in the rejects of the readers")
        self._refuse_any(numbering, rejected[times > 1], "is in the rejects of the readers more than once")
        return rejected

    def _check_counts(self, chunk: Chunk, numbering: Numbering, documents: Positions, rejected: Positions) -> None:
        """Compare what is there with what was read, range by range."""
        found = numbering.count_by_range(documents)
        refused = numbering.count_by_range(rejected)
        for tally, n_documents, n_rejected in zip(chunk.tallies, found.tolist(), refused.tolist(), strict=True):
            if n_documents != tally.documents:
                raise self._lost(
                    tally, f"{tally.documents} documents were read, {n_documents} have rows or are dropped"
                )
            records = tally.end_record - tally.first_record
            if records != tally.documents + tally.blanks + n_rejected:
                raise self._lost(
                    tally,
                    f"{records} records were read, but there are {tally.documents} documents, {tally.blanks} blanks "
                    f"and {n_rejected} rejected records",
                )

    def _refuse_any(self, numbering: Numbering, positions: Positions, what: str) -> None:
        if len(positions):
            raise ContractError(f"{self.place}: {numbering.describe(int(positions[0]))} {what}.")

    def _lost(self, tally: Tally, what: str) -> ContractError:
        source = self._shard.ranges[tally.range_index].source
        place = f"records {tally.first_record} to {tally.end_record - 1} of {source}"
        return ContractError(f"{self.place}: {place} are not all accounted for: {what}.")
