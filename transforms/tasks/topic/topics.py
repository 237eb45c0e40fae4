"""TC: the topic of a sentence."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from klue_beam.schemas.annotation import TOPIC
from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.tasks.columns import Probabilities, take_labels


@dataclasses.dataclass(frozen=True, slots=True)
class Topics:
    """The topic of each text.

    Attributes:
      labels: the label set.
      label: index of the topic, -1 where the model failed. Shape: (n_texts,).
      score: its probability. Shape: (n_texts,).
    """

    labels: Sequence[str]
    label: Ints
    score: Probabilities

    def to_arrow(self) -> pa.Array:
        """Lay out as a `topic` column; null where the model failed."""
        columns = [take_labels(self.labels, np.maximum(self.label, 0)), pa.array(self.score, type=pa.float32())]
        return pa.StructArray.from_arrays(columns, fields=list(TOPIC), mask=pa.array(self.label < 0))


def decode_topics(
    probabilities: Probabilities, unit_text: Ints, weight: Probabilities, n_texts: int, labels: Sequence[str]
) -> Topics:
    """Choose the topic of each text: the mean over its windows, by their share of the text.

    Args:
      probabilities: Shape: (n_units, n_topics).
      unit_text: the text of each unit. Shape: (n_units,).
      weight: how much of its text each unit decides on. Shape: (n_units,).
      n_texts: how many texts there are; one without units gets no topic.
      labels: the label set.
    """
    summed = np.zeros((n_texts, len(labels)), dtype=np.float64)
    total = np.zeros(n_texts, dtype=np.float64)
    np.add.at(summed, unit_text, probabilities * weight[:, None])
    np.add.at(total, unit_text, weight)
    mean = summed / np.maximum(total, 1e-9)[:, None]
    label = np.where(total > 0, mean.argmax(1), -1)
    return Topics(labels, label, mean.max(1, initial=0.0).astype(np.float32))
