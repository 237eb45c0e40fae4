"""The output contract, checked for every row on its way to the file, vectorised.

What a check finds is a fault of this program or of the runner, never of the input: bad input is a reject long before.
"""

from collections import Counter
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.schemas.labels import NO_RELATION
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.base.codepoints import Bools
from klue_beam.transforms.tasks.base import Task
from klue_beam.transforms.tasks.checking import (
    ContractError,
    RowChecker,
    flatten,
    is_in,
    read_bools,
)
from klue_beam.transforms.tasks.output import list_flags, tasks_of

__all__ = ["ContractError", "check_batch", "check_rows", "count_dropped", "count_rows"]

NO_LABELS: Final = ("", NO_RELATION)
"""What no task column may hold as a label. A checkpoint's own labels are kept as they are where KLUE has none such."""


def check_rows(rows: pa.RecordBatch, schema: pa.Schema, place: str) -> None:
    """Check that a batch keeps the output contract.

    Args:
      rows: annotated sentences, whole records.
      schema: what annotated_schema gives for the dataset.
      place: names shard and segment at the head of a message.

    Raises:
      ContractError: on the first row that breaks it, naming record, sentence and what is wrong.
    """
    check_batch(rows, schema, place)
    checker = RowChecker(rows, place)
    _check_sentences(checker)
    tasks = tasks_of(schema)
    for task in tasks:
        _check_column(checker, task)
    for task in tasks:
        task.check(checker)


def count_rows(rows: pa.RecordBatch) -> Counter[str]:
    """Count what a batch of annotated sentences holds, by the names of Receipt's `counts`."""
    counts = Counter(sentences=rows.num_rows, characters=pc.sum(pc.utf8_length(rows.column("text"))).as_py() or 0)
    for task in TASKS.values():
        if task.counts:
            column = task.field.name
            counts[task.counts] = len(rows.column(column).flatten()) if column in rows.schema.names else 0
    for flag in pc.value_counts(rows.column("flags").flatten()).to_pylist():
        counts[f"flag:{flag['values']}"] += flag["counts"]
    return counts


def count_dropped(dropped: pa.RecordBatch) -> Counter[str]:
    """Count what cleaning left out, by the names of Receipt's `counts`; nothing where nothing was left out."""
    counts: Counter[str] = Counter()
    if dropped.num_rows:
        counts["dropped"] = dropped.num_rows
        steps, reasons = (dropped.column(name).to_pylist() for name in ("step", "reason"))
        counts.update(f"dropped:{step}: {reason}" for step, reason in zip(steps, reasons, strict=True))
    return counts


def check_batch(batch: pa.RecordBatch, schema: pa.Schema, place: str) -> None:
    """Check that a batch has exactly these columns, holds valid Arrow data, and no null where none may be.

    Raises:
      ContractError: if it does not.
    """
    if not batch.schema.equals(schema):
        raise ContractError(
            f"{place}: the rows must have the columns\n{schema.to_string(show_schema_metadata=False)}\ngot\n"
            f"{batch.schema.to_string(show_schema_metadata=False)}"
        )
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ContractError(f"{place}: the rows are no valid Arrow data: {error}") from error
    for field in schema:
        if not field.nullable and batch.column(field.name).null_count:
            raise ContractError(f"{place}: `{field.name}` must not be null, got a null.")


def _check_sentences(checker: RowChecker) -> None:
    """Check spans, order, flags and that no sentence is blank."""
    record, index, begin, end = (
        np.asarray(checker.rows.column(name)).astype(np.int64)
        for name in ("record_index", "sentence_index", "begin", "end")
    )
    length = checker.chars.lengths
    checker.refuse(
        (end - begin != length) | (begin < 0),
        lambda i: f"`begin` {begin[i]} and `end` {end[i]} do not fit a text of {length[i]} code points",
    )
    checker.refuse(np.diff(checker.eojeols.offsets) == 0, "it holds nothing but white space")
    same_source = _continues(checker.rows.column("source"))
    step = np.diff(record, prepend=-1)
    checker.refuse(
        same_source & (step < 0), lambda i: f"it comes after record {record[i - 1]}; records must stay in order"
    )
    same_record = same_source & (step == 0)
    expected = np.where(same_record, np.concatenate(([0], index[:-1] + 1)), 0)
    checker.refuse(index != expected, lambda i: f"`sentence_index` must be {expected[i]}, got {index[i]}")
    overlap = same_record & (begin < np.concatenate(([0], end[:-1])))
    checker.refuse(
        overlap, lambda i: f"it begins at {begin[i]}, inside the sentence before, which ends at {end[i - 1]}"
    )
    owner, flags = flatten(checker.rows.column("flags"))
    checker.refuse(
        ~is_in(flags, list_flags()), lambda i: f"`flags` holds {flags[i].as_py()!r}, which is no flag", owner
    )


def _check_column(checker: RowChecker, task: Task) -> None:
    """Check that what is null in a task's column is explained, that nothing inside is null, and every label."""
    name = task.field.name
    column = checker.rows.column(name)
    row, flags = flatten(checker.rows.column("flags"))
    # Where what a task reads is not known, neither is what it would have found.
    members = (task, *(TASKS[need] for need in task.needs))
    explaining = is_in(flags, [flag.name for member in members for flag in member.flags if flag.is_absent])
    explained = np.bincount(row[explaining], minlength=len(column)) > 0
    checker.refuse(read_bools(column.is_null()) & ~explained, f"`{name}` is null and no flag of {task.name} says why")
    if pa.types.is_list(column.type):
        owner, items = flatten(column)
    else:
        owner, items = np.flatnonzero(read_bools(column.is_valid())), column.drop_null()
    checker.refuse(read_bools(items.is_null()), f"`{name}` holds a null", owner)
    if not pa.types.is_struct(items.type):
        return
    for field in items.type:
        checker.refuse(read_bools(items.field(field.name).is_null()), f"`{name}` holds a null `{field.name}`", owner)
    if not task.label_field:
        return
    label = items.field(task.label_field)
    checker.refuse(
        is_in(label, NO_LABELS),
        lambda i: f"`{name}` holds {label[i].as_py()!r}, which is no label",
        owner,
    )


def _continues(column: pa.StringArray) -> Bools:
    """Tell of each value whether it is that of the row before; of the first it is not."""
    same = np.zeros(len(column), bool)
    if len(column) > 1:
        same[1:] = read_bools(pc.equal(column.slice(1), column.slice(0, len(column) - 1)))
    return same
