"""What a task found in a batch of texts."""

from collections.abc import Sequence
from typing import Protocol, Self

import pyarrow as pa

from klue_beam.transforms.base.codepoints import Bools


class Findings(Protocol):
    """What a task found in a batch of texts, in arrays of its own kind."""

    def without(self, failed: Bools) -> Self:
        """Leave out what was found in the texts where `failed`. Shape: (n_texts,)."""
        ...

    def to_arrow(self, texts: Sequence[str], absent: Bools) -> pa.Array:
        """Lay out as the task's column, one row a text.

        Args:
          texts: the texts.
          absent: where the row is null. Shape: (n_texts,).
        """
        ...
