"""What the contract's checks of single columns are made of, vectorised."""

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.transforms.base.codepoints import Bools, CodePoints, Eojeols, Ints, find_eojeols, ranges, to_code_points


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

    def check_spans(self, what: str, owner: Ints, begin: Ints, end: Ints) -> None:
        """Check that spans are not empty and lie in their sentences.

        Args:
          what: what the spans are called in a message.
          owner: the row of each. Shape: (n,).
          begin, end: half-open code points in the sentence's text. Shape: (n,).

        Raises:
          ContractError: on the first that does not.
        """
        length = self.chars.lengths[owner]
        self.refuse(
            (begin < 0) | (begin >= end) | (end > length),
            lambda i: f"{what} {begin[i]}:{end[i]} does not lie in a text of {length[i]} code points",
            owner,
        )

    def check_slices(self, what: str, owner: Ints, begin: Ints, end: Ints, forms: pa.StringArray) -> None:
        """Check that each text stored with a span is the slice of the sentence that it claims.

        Args:
          what: what the spans are called in a message.
          owner: the row of each. Shape: (n,).
          begin, end: half-open code points in the sentence's text. Shape: (n,).
          forms: the stored texts. Shape: (n,).

        Raises:
          ContractError: on the first that is not.
        """
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


def flatten(column: pa.ListArray) -> tuple[Ints, pa.Array]:
    """Give the items of all rows' lists, and the row of each; a null list has none."""
    counts = count_items(column)
    return np.repeat(np.arange(len(counts)), counts), column.flatten()


def count_items(column: pa.ListArray) -> Ints:
    """Count the items of each row's list; a null list has none. Shape: (n_rows,)."""
    return np.asarray(pc.list_value_length(column).fill_null(0)).astype(np.int64)


def read_numbers(items: pa.StructArray, name: str) -> Ints:
    """Give a field of items as integers. Shape: (n_items,)."""
    return np.asarray(items.field(name)).astype(np.int64)


def read_bools(values: pa.BooleanArray) -> Bools:
    """Give a column of truths. Shape: (n_rows,)."""
    return values.to_numpy(zero_copy_only=False)


def is_in(values: pa.StringArray, allowed: Iterable[str]) -> Bools:
    """Tell which strings are among some. Shape: (n_rows,)."""
    return read_bools(pc.is_in(values, value_set=pa.array(allowed, pa.string())))
