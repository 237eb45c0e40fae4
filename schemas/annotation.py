"""What the tasks add to a sentence, and the schema of the annotated output."""

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from klue_beam.schemas.labels import TASKS
from klue_beam.schemas.sentence import SENTENCE

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

TASK_FIELDS: Final = {
    "tc": pa.field("topic", TOPIC),
    "ner": pa.field("entities", pa.list_(ENTITY)),
    "re": pa.field("relations", pa.list_(RELATION)),
    "dp": pa.field("dependencies", pa.list_(ARC)),
}
"""The column that each task adds. Null in a row that the task could not annotate (its flags say why)."""


def annotated_schema(tasks: Iterable[str], *, metadata: bool = False) -> pa.Schema:
    """Give the schema of the annotated output for a set of tasks.

    Args:
      tasks: names out of TASKS, in any order. A column whose task was not asked for is absent.
      metadata: whether the record's other fields were asked for.

    Returns:
      The columns of SENTENCE up to `text`, the task columns in the order of TASKS, `metadata` if asked for, `flags`.

    Raises:
      ValueError: on a name that is no task.

    >>> annotated_schema(["ner", "tc"]).names[-3:]
    ['topic', 'entities', 'flags']
    """
    asked = set(tasks)
    if unknown := asked.difference(TASKS):
        raise ValueError(f"`tasks` must be out of {', '.join(TASKS)}, got {', '.join(sorted(unknown))}.")
    fields = [field for field in SENTENCE if field.name not in ("metadata", "flags")]
    fields += [TASK_FIELDS[task] for task in TASKS if task in asked]
    fields += [SENTENCE.field("metadata")] if metadata else []
    return pa.schema([*fields, SENTENCE.field("flags")])
