"""The output contract, checked for every row on its way to the file, vectorised.

What a check finds is a fault of this program or of the runner, never of the input: bad input is a reject long before.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.schemas.annotation import TASK_FIELDS
from klue_beam.schemas.labels import FLAGS, NO_RELATION
from klue_beam.transforms.base.codepoints import CodePoints, Eojeols, find_eojeols, ranges, to_code_points

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NO_LABELS: Final = ("", NO_RELATION)
"""What no task column may hold as a label. A checkpoint's own labels are kept as they are where KLUE has none such."""


class ContractError(RuntimeError):
    """A row that breaks the output contract, or a chunk that is not the one that must come next."""


class RowChecker:
    """The rows of one chunk with what several checks need of them; every method refuses the first bad row.

    Args:
      rows: a batch of annotated_schema(…).
      place: names shard and segment at the head of a message.
    """

    def __init__(self, rows: pa.RecordBatch, place: str) -> None:
        self.rows = rows
        self.place = place
        self.chars: CodePoints = to_code_points(rows.column("text").to_pylist())
        self.eojeols: Eojeols = find_eojeols(self.chars)

    def refuse(self, bad: Bools, what: str | Callable[[int], str], owner: Ints | None = None) -> None:
        """Raise for the first True.

        Args:
          bad: one value a row, or one a nested item. Shape: (n,).
          what: the fault, or what gives the fault of the item that it is asked about.
          owner: the row of each item, where the items are nested ones.

        Raises:
          ContractError: naming place, record, sentence and fault.
        """
        if not bad.any():
            return
        item = int(bad.argmax())
        row = item if owner is None else int(owner[item])
        record, sentence = (self.rows.column(name)[row].as_py() for name in ("record_index", "sentence_index"))
        fault = what if isinstance(what, str) else what(item)
        raise ContractError(f"{self.place}, record {record}, sentence {sentence}: {fault}.")

    def check_sentences(self) -> None:
        """Check spans, order, flags and that no sentence is blank."""
        record, index, begin, end = (
            _ints(self.rows, name) for name in ("record_index", "sentence_index", "begin", "end")
        )
        length = self.chars.lengths
        self.refuse(
            (end - begin != length) | (begin < 0),
            lambda i: f"`begin` {begin[i]} and `end` {end[i]} do not fit a text of {length[i]} code points",
        )
        self.refuse(np.diff(self.eojeols.offsets) == 0, "it holds nothing but white space")
        step = np.diff(record, prepend=-1)
        self.refuse(step < 0, lambda i: f"it comes after record {record[i - 1]}; records must stay in order")
        expected = np.where(step > 0, 0, np.concatenate(([0], index[:-1] + 1)))
        self.refuse(index != expected, lambda i: f"`sentence_index` must be {expected[i]}, got {index[i]}")
        overlap = (step == 0) & (begin < np.concatenate(([0], end[:-1])))
        self.refuse(
            overlap, lambda i: f"it begins at {begin[i]}, inside the sentence before, which ends at {end[i - 1]}"
        )
        owner, flags = _flatten(self.rows.column("flags"))
        self.refuse(~_is_in(flags, FLAGS), lambda i: f"`flags` holds {flags[i].as_py()!r}, which is no flag", owner)

    def check_task_column(self, name: str) -> None:
        """Check that what is null in a task's column is explained, that nothing inside is null, and every label."""
        column = self.rows.column(name)
        unexplained = _bools(column.is_null()) & (_counts(self.rows.column("flags")) == 0)
        self.refuse(unexplained, f"`{name}` is null and no flag says why")
        if pa.types.is_struct(column.type):
            owner, items = np.flatnonzero(_bools(column.is_valid())), column.drop_null()
        else:
            owner, items = _flatten(column)
        self.refuse(_bools(items.is_null()), f"`{name}` holds a null", owner)
        for field in items.type:
            self.refuse(_bools(items.field(field.name).is_null()), f"`{name}` holds a null `{field.name}`", owner)
        label = items.field("deprel" if name == "dependencies" else "label")
        self.refuse(
            _is_in(label, NO_LABELS),
            lambda i: f"`{name}` holds {label[i].as_py()!r}, which is no label",
            owner,
        )

    def check_entities(self) -> None:
        """Check that entities are sorted, disjoint, and that each text is the slice of the sentence that it claims."""
        owner, items = _flatten(self.rows.column("entities"))
        begin, end = _numbers(items, "begin"), _numbers(items, "end")
        self._check_spans("entity", owner, begin, end)
        same_row = np.diff(owner, prepend=-1) == 0
        self.refuse(
            same_row & (begin < np.concatenate(([0], end[:-1]))),
            lambda i: (
                f"entities must be sorted and disjoint, got {begin[i]}:{end[i]} after {begin[i - 1]}:{end[i - 1]}"
            ),
            owner,
        )
        self._check_slices("entity", owner, begin, end, items.field("text"))
        solid_before = np.concatenate(([0], np.cumsum(~self.chars.is_space)))
        text_begin = self.chars.offsets[owner]
        blank = solid_before[text_begin + begin] == solid_before[text_begin + end]
        self.refuse(blank, lambda i: f"entity {begin[i]}:{end[i]} is nothing but white space", owner)

    def check_relations(self) -> None:
        """Check that both ends of every relation are entities of its sentence, and two different ones."""
        owner, items = _flatten(self.rows.column("relations"))
        subject, target = _numbers(items, "subject"), _numbers(items, "object")
        entities = _counts(self.rows.column("entities"))[owner]
        outside = (subject < 0) | (target < 0) | (subject >= entities) | (target >= entities) | (subject == target)
        self.refuse(
            outside,
            lambda i: f"a relation must join two of the {entities[i]} entities, got {subject[i]} and {target[i]}",
            owner,
        )

    def check_dependencies(self) -> None:
        """Check that there is one arc an eojeol, in order, and that they make one tree."""
        column = self.rows.column("dependencies")
        owner, items = _flatten(column)
        counts, words = _counts(column), np.diff(self.eojeols.offsets)
        parsed = _bools(column.is_valid())
        self.refuse(parsed & (counts != words), lambda i: f"it has {words[i]} eojeols but {counts[i]} arcs")
        begin, end = _numbers(items, "begin"), _numbers(items, "end")
        of_parsed = np.repeat(parsed, words)
        expected_begin, expected_end = self.eojeols.begin[of_parsed], self.eojeols.end[of_parsed]
        self.refuse(
            (begin != expected_begin) | (end != expected_end),
            lambda i: f"arc {begin[i]}:{end[i]} must span the eojeol {expected_begin[i]}:{expected_end[i]}",
            owner,
        )
        self._check_slices("arc", owner, begin, end, items.field("form"))
        first = np.repeat(np.cumsum(counts) - counts, counts)
        index, expected = _numbers(items, "index"), np.arange(len(owner)) - first + 1
        self.refuse(index != expected, lambda i: f"an arc's `index` must be {expected[i]}, got {index[i]}", owner)
        self._check_tree(owner, _numbers(items, "head"), first, counts)

    def _check_tree(self, owner: Ints, head: Ints, first: Ints, counts: Ints) -> None:
        outside = (head < 0) | (head > counts[owner])
        self.refuse(outside, lambda i: f"a head must be 0 to {counts[owner[i]]}, got {head[i]}", owner)
        roots = np.bincount(owner[head == 0], minlength=len(counts))
        self.refuse((roots != 1) & (counts > 0), lambda i: f"a dependency tree must have one root, got {roots[i]}")
        # Pointer jumping: after k rounds every arc points 2^k heads up, and roots point at themselves.
        ancestor = np.where(head == 0, np.arange(len(head)), first + head - 1)
        for _ in range(int(counts.max(initial=1)).bit_length()):
            ancestor = ancestor[ancestor]
        self.refuse(head[ancestor] != 0, lambda i: f"the heads make a cycle above eojeol {i - first[i] + 1}", owner)

    def _check_spans(self, what: str, owner: Ints, begin: Ints, end: Ints) -> None:
        length = self.chars.lengths[owner]
        self.refuse(
            (begin < 0) | (begin >= end) | (end > length),
            lambda i: f"{what} {begin[i]}:{end[i]} does not lie in a text of {length[i]} code points",
            owner,
        )

    def _check_slices(self, what: str, owner: Ints, begin: Ints, end: Ints, forms: pa.StringArray) -> None:
        stored = to_code_points(forms.to_pylist())
        wrong = stored.lengths != end - begin
        if not wrong.any():
            text_begin = self.chars.offsets[owner]
            which, position = ranges(text_begin + begin, text_begin + end)
            wrong[which[self.chars.codes[position] != stored.codes]] = True

        def fault(i: int) -> str:
            text = self.rows.column("text")[int(owner[i])].as_py()
            return f"{what} {begin[i]}:{end[i]} says {forms[i].as_py()!r}, the text says {text[begin[i] : end[i]]!r}"

        self.refuse(wrong, fault, owner)


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
    checker.check_sentences()
    names = set(schema.names)
    for field in TASK_FIELDS.values():
        if (name := field.name) in names:
            checker.check_task_column(name)
    if "entities" in names:
        checker.check_entities()
    if {"relations", "entities"} <= names:
        checker.check_relations()
    if "dependencies" in names:
        checker.check_dependencies()


def count_rows(rows: pa.RecordBatch) -> Counter[str]:
    """Count what a batch of annotated sentences holds, by the names of Receipt's `counts`."""
    counts = Counter(sentences=rows.num_rows, characters=pc.sum(pc.utf8_length(rows.column("text"))).as_py() or 0)
    for name, column in (("entities", "entities"), ("relations", "relations"), ("arcs", "dependencies")):
        counts[name] = len(rows.column(column).flatten()) if column in rows.schema.names else 0
    for flag in pc.value_counts(rows.column("flags").flatten()).to_pylist():
        counts[f"flag:{flag['values']}"] += flag["counts"]
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


def _flatten(column: pa.ListArray) -> tuple[Ints, pa.Array]:
    """Give the items of all rows' lists, and the row of each; a null list has none."""
    counts = _counts(column)
    return np.repeat(np.arange(len(counts)), counts), column.flatten()


def _counts(column: pa.ListArray) -> Ints:
    return np.asarray(pc.list_value_length(column).fill_null(0)).astype(np.int64)


def _ints(rows: pa.RecordBatch, name: str) -> Ints:
    return np.asarray(rows.column(name)).astype(np.int64)


def _numbers(items: pa.StructArray, name: str) -> Ints:
    return np.asarray(items.field(name)).astype(np.int64)


def _bools(values: pa.BooleanArray) -> Bools:
    return values.to_numpy(zero_copy_only=False)


def _is_in(values: pa.StringArray, allowed: Iterable[str]) -> Bools:
    return _bools(pc.is_in(values, value_set=pa.array(allowed, pa.string())))
