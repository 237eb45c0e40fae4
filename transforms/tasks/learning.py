"""What tasks and training say to each other: batches, outputs with their labels, what a run or a fit offers."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.text.pieces import EncodedTexts, PaddedInputs, Units

IGNORE: Final = -100
"""The label that a loss leaves out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """What the model says of the items of a batch (texts, characters, pairs, eojeols), and what is true.

    Attributes:
      logits: Shape: (n_items, n_classes), float32.
      labels: IGNORE where nothing is known. Shape: (n_items,).
      item_weights: how much each item counts; None for all alike. Shape: (n_items,).
      weight: how much this output counts in the loss.
      label_smoothing: of its cross entropy.
      is_padded: whether an item without a label is padding, and none that a teacher could label.
    """

    logits: Tensor
    labels: Tensor
    item_weights: Tensor | None = None
    weight: float = 1.0
    label_smoothing: float = 0.0
    is_padded: bool = False

    def loss(self) -> Tensor:
        """Give the weighted mean cross entropy; 0 where nothing is known."""
        each = functional.cross_entropy(
            self.logits, self.labels, ignore_index=IGNORE, label_smoothing=self.label_smoothing, reduction="none"
        )
        weights = (self.labels != IGNORE).to(each.dtype)
        if self.item_weights is not None:
            weights = weights * self.item_weights
        return self.weight * (each * weights).sum() / weights.sum().clamp(min=1e-6)


def unlabelled(logits: Tensor) -> Output:
    """Give an output of which no label is known: a teacher alone says something of it. Shape: (n_items, n_classes)."""
    return Output(logits, torch.full_like(logits[:, 0], IGNORE).long())


class States(NamedTuple):
    """What an encoder makes of a padded batch.

    Attributes:
      hidden: the last states. Shape: (B, L, H).
      lower: those below the layers that run again for pairs. Shape: (B, L, H).
      mask: 1 for a token. Shape: (B, L).
    """

    hidden: Tensor
    lower: Tensor
    mask: Tensor


@dataclasses.dataclass(frozen=True, slots=True)
class LearnBatch:
    """A batch of texts as the heads of one model read it.

    Attributes:
      heads: the model's, by name.
      states: what its encoder made of the batch.
      encoded, inputs: the batch's texts, one unit each.
      index: which of the data set's examples these are. Shape: (B,).
    """

    heads: Mapping[str, nn.Module]
    states: States
    encoded: EncodedTexts
    inputs: PaddedInputs
    index: Ints

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.states.hidden.device


class Objective(Protocol):
    """A data set with what the model is asked of it."""

    @property
    def name(self) -> str:
        """What the progress display and the recipe call it."""
        ...

    @property
    def texts(self) -> Sequence[str]:
        """The text of each example."""
        ...

    def known(self) -> bytes:
        """Give all that is known of the texts: a run goes on only with the same."""
        ...

    def outputs(self, batch: LearnBatch) -> dict[str, Output]:
        """Run the heads on a batch.

        Returns:
          The outputs by name, as a model's calibration names them.
        """
        ...


Annotate = Callable[[Sequence[str]], Any]
"""Gives what a task finds in texts."""

Teaching = Callable[[LearnBatch], Mapping[str, Output]]
"""Makes the outputs of a batch of texts without labels."""


class LearningRun(NamedTuple):
    """What a task's data sets are read for.

    Attributes:
      specs: what the model says of each of its tasks, by name.
      hidden_size: of its encoder.
      extra: heads that serve training only are added to it.
      folder: the run's; what takes minutes to make is kept there.
      options: the task's `train_options`; None where it has none.
      seed: of what is drawn.
    """

    specs: Mapping[str, Any]
    hidden_size: int
    extra: nn.ModuleDict
    folder: Path
    options: Any
    seed: int


class Fit(Protocol):
    """A model and labelled rows, for a task to fit what turns scores into probabilities and labels."""

    @property
    def examples(self) -> Sequence[Any]:
        """The rows to fit on, of the task."""
        ...

    @property
    def spec(self) -> Any:
        """The model's ModelSpec, with what was fitted so far."""
        ...

    def collect(self, objective: Objective) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Run examples that the model reads whole, without gradients.

        Returns:
          For each output the logits, not calibrated yet, and the labels of every known item. Shapes: (n_items,
          n_classes) and (n_items,).
        """
        ...

    def annotate(self, spec: Any, texts: Sequence[str]) -> Any:
        """Give what the task finds in texts as the model would with another ModelSpec."""
        ...


def whole_units(encoded: EncodedTexts) -> Units:
    """Take each text as one unit."""
    offsets = encoded.pieces.offsets
    return Units(np.arange(len(encoded.texts)), offsets[:-1], offsets[1:])
