"""A sentence as the splitters give it, before any task has run."""

from typing import Final

import pyarrow as pa

SENTENCE = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("record_index", pa.int64(), nullable=False),
        pa.field("sentence_index", pa.int32(), nullable=False),
        pa.field("begin", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("metadata", pa.string()),
        pa.field("flags", pa.list_(pa.string()), nullable=False),
    ]
)
"""One row a sentence. `begin`, `end`: half-open code points in the document's text, and `text` is exactly
document_text[begin:end]. Identity is (source, record_index, sentence_index)."""

SENTENCE_FLAGS: Final = {
    "splitter_fallback": "the chosen splitter's output could not be located in the text; `fast` split it"
}
"""The flags that a sentence can have before any task has run, each with what it tells its reader."""
