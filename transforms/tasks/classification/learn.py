"""Learning the labels of texts, with label smoothing, and fitting how their scores become probabilities."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from torch import Tensor

from klue_beam.transforms.models.nets.tensors import to_tensor
from klue_beam.transforms.tasks.calibration import fit_calibration
from klue_beam.transforms.tasks.classification.gold import LabelledText
from klue_beam.transforms.tasks.learning import Fit, LearnBatch, Output, Teaching, unlabelled

LABEL_SMOOTHING: Final = 0.05
"""Short texts are ambiguous."""


class TextObjective:
    """The label of each text.

    Args:
      name: of the task; its output is called so, too.
      examples: labelled texts.
      labels: the label set, in the order of the head's outputs.
      head: name of the head.

    Raises:
      ValueError: on a label that is none of the set.
    """

    def __init__(self, name: str, examples: Sequence[LabelledText], labels: Sequence[str], head: str) -> None:
        self.name = name
        self.texts = [example.text for example in examples]
        numbers = {label: number for number, label in enumerate(labels)}
        if unknown := sorted({example.label for example in examples} - set(numbers)):
            raise ValueError(
                f"A row's label must be one of the model's, {', '.join(labels)}, got {unknown[0]!r}. Leave such rows "
                "out, or train a new model."
            )
        self.labels = np.array([numbers[example.label] for example in examples], np.int64)
        self._head = head

    def known(self) -> bytes:
        """See Objective: the labels."""
        return self.labels.tobytes()

    def outputs(self, batch: LearnBatch) -> dict[str, Output]:
        """See Objective: the task's."""
        labels = to_tensor(self.labels[batch.index], batch.device)
        return {self.name: Output(score_texts(batch, self._head), labels, label_smoothing=LABEL_SMOOTHING)}


def score_texts(batch: LearnBatch, head: str) -> Tensor:
    """Score the labels of a batch's texts. Shape: (B, n_labels)."""
    logits: Tensor = batch.heads[head](batch.states.hidden, batch.states.mask)
    return logits.float()


def teach_texts(name: str, head: str) -> Teaching:
    """Give what makes the output of texts without labels, see `Task.teach`."""
    return lambda batch: {name: unlabelled(score_texts(batch, head))}


def fit_texts(fit: Fit, name: str, labels: Sequence[str], head: str) -> Any:
    """Fit temperature and shares of the labels: training rows mostly have other shares than what a model is for."""
    logits, gold = fit.collect(TextObjective(name, fit.examples, labels, head))[name]
    return fit.spec.with_calibration({name: fit_calibration(logits, gold, with_prior=True)})
