"""The Beam coders of Shard and Chunk: deterministic, and a slice of a batch carries its own rows only."""

import dataclasses
import json
from typing import Any, cast

import apache_beam as beam
import pyarrow as pa

from klue_beam.schemas.shard import Chunk, ChunkKey, Shard, SourceRange, Tally


def _shard_to_list(shard: Shard) -> list[Any]:
    return [shard.shard_id, [list(dataclasses.astuple(part)) for part in shard.ranges]]


def _shard_from_list(fields: list[Any]) -> Shard:
    shard_id, ranges = fields
    return Shard(shard_id, tuple(SourceRange(*part) for part in ranges))


def _batch_to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return cast("bytes", sink.getvalue().to_pybytes())


def _batch_from_bytes(data: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(data) as stream:
        return stream.read_next_batch()


class ShardCoder(beam.coders.Coder):
    """A shard as JSON: deterministic, since runners key and retry by it."""

    def encode(self, value: Shard) -> bytes:
        """Give the shard as bytes."""
        return json.dumps(_shard_to_list(value)).encode()

    def decode(self, encoded: bytes) -> Shard:
        """Read a shard back."""
        return _shard_from_list(json.loads(encoded))

    def is_deterministic(self) -> bool:
        """Say that equal shards give equal bytes."""
        return True

    def to_type_hint(self) -> Any:
        """Name the type that this coder is for."""
        return Shard


class ChunkCoder(beam.coders.Coder):
    """A head in JSON, then Arrow IPC streams of rows, rejects and what was dropped, each behind its length.

    RecordBatch has no coder of its own in Beam: pickled, a slice carries the whole batch that it was cut from.
    """

    def encode(self, value: Chunk) -> bytes:
        """Give the chunk as bytes, the same for an equal chunk."""
        parts = [_batch_to_bytes(batch) for batch in (value.rows, value.rejects, value.dropped)]
        head = [_shard_to_list(value.shard), value.key, value.tallies, [len(part) for part in parts]]
        return b"\n".join((json.dumps(head).encode(), b"".join(parts)))

    def decode(self, encoded: bytes) -> Chunk:
        """Read a chunk back."""
        head, _, body = encoded.partition(b"\n")
        shard, key, tallies, sizes = json.loads(head)
        batches, begin = [], 0
        for size in sizes:
            batches.append(_batch_from_bytes(body[begin : begin + size]))
            begin += size
        rows, rejects, dropped = batches
        tallies = tuple(Tally(*tally) for tally in tallies)
        return Chunk(_shard_from_list(shard), ChunkKey(*key), rows, rejects, dropped, tallies)

    def is_deterministic(self) -> bool:
        """Say that equal chunks give equal bytes."""
        return True

    def to_type_hint(self) -> Any:
        """Name the type that this coder is for."""
        return Chunk


beam.coders.registry.register_coder(Shard, ShardCoder)
beam.coders.registry.register_coder(Chunk, ChunkCoder)
