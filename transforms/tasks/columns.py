"""Laying what was found out as Arrow columns."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from klue_beam.transforms.base.codepoints import Bools, Ints

Probabilities = npt.NDArray[np.float32]
"""What a model holds for likely, from 0 to 1; scores in the output are such."""


def take_labels(labels: Sequence[str], index: Ints) -> pa.Array:
    """Lay labels out as an Arrow string column. Shape of index: (n,)."""
    return pa.array(labels, type=pa.string()).take(pa.array(index))


def to_list_array(offsets: Ints, values: pa.Array, absent: Bools) -> pa.Array:
    """Lay values out as a list column, one list a text.

    Args:
      offsets: where each text's values begin. Shape: (n_texts + 1,).
      values: of all texts, in their order.
      absent: the texts whose list is null. Shape: (n_texts,).
    """
    mask = pa.array(absent) if absent.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets, type=pa.int32()), values, mask=mask)
