"""A document as the readers give it."""

import pyarrow as pa

DOCUMENT = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("record_index", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("metadata", pa.string()),
    ]
)
"""One row a document. `source` is the input's path as given, `record_index` the 0-based record in it,
`metadata` the record's other fields as JSON, null unless asked for."""
