"""Tasks that give a sentence one label: their findings, and what reads them off a model."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.tasks.annotator import (
    Annotator,
    ClassifierAnnotator,
    ClassifierPass,
    EncoderPass,
    Found,
    TaskModel,
    Work,
)
from klue_beam.transforms.tasks.columns import Probabilities, take_labels


@dataclasses.dataclass(frozen=True, slots=True)
class SentenceLabels:
    """The label of each text.

    Attributes:
      labels: the label set.
      label: index of the label, -1 where the model failed. Shape: (n_texts,).
      score: its probability. Shape: (n_texts,).
    """

    labels: Sequence[str]
    label: Ints
    score: Probabilities

    def without(self, failed: Bools) -> "SentenceLabels":
        """See Findings."""
        return dataclasses.replace(self, label=np.where(failed, -1, self.label))

    def to_arrow(self, texts: Sequence[str], absent: Bools) -> pa.Array:  # noqa: ARG002 - a label says nothing of where
        """Lay out as a column of label and score."""
        return pa.StructArray.from_arrays(
            [take_labels(self.labels, np.maximum(self.label, 0)), pa.array(self.score, type=pa.float32())],
            names=["label", "score"],
            mask=pa.array(absent | (self.label < 0)),
        )


def decode_labels(
    probabilities: Probabilities, unit_text: Ints, weight: Probabilities, n_texts: int, labels: Sequence[str]
) -> SentenceLabels:
    """Choose the label of each text: the mean over its windows, by their share of the text.

    Args:
      probabilities: Shape: (n_units, n_labels).
      unit_text: the text of each unit. Shape: (n_units,).
      weight: how much of its text each unit decides on. Shape: (n_units,).
      n_texts: how many texts there are; one without units gets no label.
      labels: the label set.
    """
    summed = np.zeros((n_texts, len(labels)), dtype=np.float64)
    total = np.zeros(n_texts, dtype=np.float64)
    np.add.at(summed, unit_text, probabilities * weight[:, None])
    np.add.at(total, unit_text, weight)
    mean = summed / np.maximum(total, 1e-9)[:, None]
    label = np.where(total > 0, mean.argmax(1), -1)
    return SentenceLabels(labels, label, mean.max(1, initial=0.0).astype(np.float32))


class SentenceAnnotator(Annotator):
    """Reads one label a text off a SentenceHead.

    Args:
      model: the task's part of a model, with one head.
      task: the task's name, by which its output is calibrated.
      labels: the label set.
    """

    def __init__(self, model: TaskModel, task: str, labels: Sequence[str]) -> None:
        self._model, self._task, self._labels = model, task, labels
        (self._head,) = model.heads.values()

    def forward(self, batch: EncoderPass) -> tuple[Ints, Probabilities]:
        """See Annotator."""
        return batch.index, self._model.probabilities(self._task, self._head(batch.hidden, batch.mask))

    def decode(self, kept: Sequence[tuple[Ints, Probabilities]], work: Work) -> Found:
        """See Annotator."""
        return _decode(kept, work, self._task, self._labels)


class SentenceClassifierAnnotator(ClassifierAnnotator):
    """Reads one label a text off a checkpoint for sequence classification.

    Args:
      task: the task's name.
      labels: the checkpoint's labels, in model order.
    """

    def __init__(self, task: str, labels: Sequence[str]) -> None:
        self._task, self._labels = task, labels

    def forward(self, batch: ClassifierPass) -> tuple[Ints, Probabilities]:
        """See ClassifierAnnotator."""
        return batch.index, batch.probabilities

    def decode(self, kept: Sequence[tuple[Ints, Probabilities]], work: Work) -> Found:
        """See Annotator."""
        return _decode(kept, work, self._task, self._labels)


def _decode(kept: Sequence[tuple[Ints, Probabilities]], work: Work, task: str, labels: Sequence[str]) -> Found:
    windows = work.windows
    index = np.concatenate([np.zeros(0, dtype=np.int64), *(part[0] for part in kept)])
    probabilities = np.concatenate([np.zeros((0, len(labels)), np.float32), *(part[1] for part in kept)])
    weight = np.maximum(windows.core_end - windows.core_begin, 1)[index].astype(np.float32)
    found = decode_labels(probabilities, windows.units.text[index], weight, work.n_texts, labels)
    return Found(found, {f"{task}_windowed": work.windowed()})
