"""What the tasks of klue-beam add to a sentence: the types of their columns."""

from typing import Final

import pyarrow as pa

SCHEMA_VERSION: Final = "1.0"
"""The output contract. Later versions only add columns."""

TOPIC: Final = pa.struct([("label", pa.string()), ("score", pa.float32())])

ENTITY: Final = pa.struct(
    [
        ("label", pa.string()),
        ("begin", pa.int32()),
        ("end", pa.int32()),
        ("text", pa.string()),
        ("score", pa.float32()),
    ]
)
"""`begin`, `end`: half-open code points in the sentence's text, and `text` is sentence_text[begin:end]."""

RELATION: Final = pa.struct(
    [
        ("label", pa.string()),
        ("subject", pa.int32()),
        ("object", pa.int32()),
        ("score", pa.float32()),
    ]
)
"""`subject`, `object`: indexes into the row's entities. no_relation is not stored."""

ARC: Final = pa.struct(
    [
        ("index", pa.int32()),
        ("form", pa.string()),
        ("begin", pa.int32()),
        ("end", pa.int32()),
        ("head", pa.int32()),
        ("deprel", pa.string()),
        ("score", pa.float32()),
    ]
)
"""One arc an eojeol, `index` from 1; `head` 0 is the root, else the 1-based index of the head."""
