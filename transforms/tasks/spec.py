"""What a model folder says of one task, and of what its outputs are worth."""

import dataclasses
from collections.abc import Mapping
from typing import Self


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """Temperature and class biases fitted after training: softmax(logits / temperature + bias).

    Reference: Guo et al., 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599
    """

    temperature: float = 1.0
    bias: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What a model folder says of one task: its labels and the sizes of its heads. Each task has a subclass.

    Every field has a default, which stands for what models had before the field was there, and holds JSON types alone,
    with tuples for lists.
    """

    def without_fit(self) -> Self:
        """Leave out what was fitted on a model's scores, which does not hold for those of other weights."""
        return self

    def label_sets(self) -> Mapping[str, tuple[str, ...]]:
        """Give the label sets, by the names of the fields that hold them."""
        return {}
