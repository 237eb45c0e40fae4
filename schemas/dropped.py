"""What cleaning left out: a document, or a sentence of one, which step left it out and why."""

import pyarrow as pa

DROPPED = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("record_index", pa.int64(), nullable=False),
        pa.field("begin", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("step", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("text", pa.string()),
    ]
)
"""`begin`, `end`: half-open code points of a dropped sentence in its document's text as it was split, null for a whole
document. `text` is null unless it was asked to be kept."""
