"""A record that could not be annotated: where it stands, which stage refused it and why."""

from typing import Final

import pyarrow as pa

MAX_RAW_BYTES: Final = 64 * 1024
"""At most so many of a rejected record's bytes are kept; `raw_bytes` tells how many there were."""

REJECT = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("record_index", pa.int64()),
        pa.field("byte_begin", pa.int64()),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.binary()),
        pa.field("raw_bytes", pa.int64()),
    ]
)
"""`byte_begin` is the record's first byte in the source, in a compressed source in its decompressed stream, null where
records have no bytes of their own (Parquet). `record_index` is null for a break of the source itself (a truncated
file), which is no record."""
