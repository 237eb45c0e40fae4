"""The Beam coder of Chunk: Arrow IPC, deterministic, and a slice carries its own rows only."""

import pickle
from typing import Any, cast

import apache_beam as beam
import pyarrow as pa

from klue_beam.schemas.shard import Chunk, ChunkKey, Tally


def _batch_to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return cast("bytes", sink.getvalue().to_pybytes())


def _batch_from_bytes(data: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(data) as stream:
        return stream.read_next_batch()


class ChunkCoder(beam.coders.Coder):
    """Arrow IPC streams of rows and rejects behind the key and the tally.

    RecordBatch has no coder of its own in Beam: pickled, a slice carries the whole batch that it was cut from.
    """

    def encode(self, value: Chunk) -> bytes:
        """Give the chunk as bytes, the same for an equal chunk."""
        parts = (tuple(value.key), tuple(value.tally), _batch_to_bytes(value.rows), _batch_to_bytes(value.rejects))
        return pickle.dumps(parts, protocol=5)

    def decode(self, encoded: bytes) -> Chunk:
        """Read a chunk back; the bytes come from this pipeline's own workers, never from a user's file."""
        key, tally, rows, rejects = pickle.loads(encoded)  # noqa: S301
        return Chunk(ChunkKey(*key), _batch_from_bytes(rows), _batch_from_bytes(rejects), Tally(*tally))

    def is_deterministic(self) -> bool:
        """Say that equal chunks give equal bytes."""
        return True

    def to_type_hint(self) -> Any:
        """Name the type that this coder is for."""
        return Chunk


beam.coders.registry.register_coder(Chunk, ChunkCoder)
