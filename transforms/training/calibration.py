"""Fitting what turns a trained model's scores into probabilities and labels, on labelled rows that it never saw."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.text.batching import batch_by_length, count_max_pieces
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.learning import IGNORE, Objective
from klue_beam.transforms.training.finding import find
from klue_beam.transforms.training.forward import run_objective


class ModelFit:
    """A model and labelled rows of one task, as `Task.calibrate` takes them.

    Args:
      model, tokenizer: the trained model; it keeps its own spec.
      task: the task's name.
      examples: rows to fit on.

    Attributes:
      spec: see klue_beam.transforms.tasks.learning.Fit.
      examples: the same.
      left_out: rows that are longer than the model reads at once, known after `collect`.
    """

    def __init__(self, model: MultiTaskModel, tokenizer: TextTokenizer, task: str, examples: Sequence[Any]) -> None:
        self._model, self._tokenizer, self._task = model, tokenizer, task
        self.examples = examples
        self.spec = model.spec
        self.left_out = 0

    def collect(self, objective: Objective) -> Mapping[str, tuple[Tensor, Tensor]]:
        """See Fit; of a text that is longer than the model reads at once it would see windows, so it is left out."""
        lengths = self._tokenizer.encode(objective.texts).pieces.lengths
        index = np.flatnonzero(lengths <= count_max_pieces(self._model.encoder, self._tokenizer))
        self.left_out = len(lengths) - len(index)
        return collect_outputs(objective, self._model, self._tokenizer, index)

    def annotate(self, spec: ModelSpec, texts: Sequence[str]) -> Any:
        """See Fit."""
        before = self._model.spec
        self._model.spec = spec
        try:
            return find(self._model, self._tokenizer, self._task, texts)
        finally:
            self._model.spec = before


def calibrate(
    model: MultiTaskModel, tokenizer: TextTokenizer, examples: Mapping[str, Sequence[Any]]
) -> tuple[ModelSpec, dict[str, int]]:
    """Fit all that labelled rows can tell of a model.

    Args:
      model, tokenizer: the trained model; it keeps its own spec.
      examples: rows to fit on, by task.

    Returns:
      The model's spec with what was fitted, and how many rows of each task were left out as too long.

    Raises:
      ValueError: if rows are too few to fit anything on.
    """
    model.eval()
    before, left_out = model.spec, {}
    try:
        for task, rows in examples.items():
            fit = ModelFit(model, tokenizer, task, rows)
            model.spec = TASKS[task].calibrate(fit)
            left_out[task] = fit.left_out
        return model.spec, left_out
    finally:
        model.spec = before


def collect_outputs(
    objective: Objective, model: MultiTaskModel, tokenizer: TextTokenizer, index: Ints, batch_tokens: int = 4096
) -> dict[str, tuple[Tensor, Tensor]]:
    """Run examples without gradients.

    Args:
      objective: labelled examples.
      model: in evaluation mode, its calibration not yet applied.
      tokenizer: the model's.
      index: which examples. Shape: (n,).
      batch_tokens: padded tokens in a batch.

    Returns:
      For each output the logits and labels of every known item, arcs padded with -inf to one width.

    Raises:
      ValueError: if there are no examples.
    """
    if not len(index):
        raise ValueError(
            f"Of {objective.name}, some row must be short enough for the model, got {len(objective.texts)} longer "
            "ones. Give others."
        )
    lengths = tokenizer.encode([objective.texts[i] for i in index]).pieces.lengths + tokenizer.n_special
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    with torch.inference_mode():
        for batch in batch_by_length(lengths, batch_tokens):
            for name, output in run_objective(objective, model, tokenizer, index[batch]).items():
                known = output.labels != IGNORE
                found.setdefault(name, []).append((output.logits[known], output.labels[known]))
    collected = {}
    for name, parts in found.items():
        width = max(logits.shape[1] for logits, _ in parts)
        padded = [functional.pad(logits, (0, width - logits.shape[1]), value=-torch.inf) for logits, _ in parts]
        collected[name] = (torch.cat(padded), torch.cat([labels for _, labels in parts]))
    return collected
