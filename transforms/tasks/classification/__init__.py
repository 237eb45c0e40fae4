"""The base of tasks that give a sentence one label out of a set; a task of one's own needs a few lines more.

    from klue_beam.transforms.tasks.classification import SentenceClassification


    class Sentiment(SentenceClassification):
        name = "sentiment"
        title = "sentiment"
        column = "sentiment"
        labels = ("positive", "negative")
        label_sets_version = "sentiment-1"


    TASK = Sentiment()

and, in the pyproject.toml of the package that holds it as my_package/sentiment.py:

    [project.entry-points."klue_beam.tasks"]
    sentiment = "my_package.sentiment:TASK"
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pyarrow as pa

from klue_beam.schemas.annotation import TOPIC
from klue_beam.transforms.tasks.base import ClassifierCheckpoint, Drawing, Flag, Label, Task
from klue_beam.transforms.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from torch import nn

    from klue_beam.transforms.tasks.annotator import Annotator, ClassifierAnnotator, TaskModel
    from klue_beam.transforms.tasks.classification.gold import LabelledText
    from klue_beam.transforms.tasks.learning import Annotate, Fit, LearningRun, Objective, Teaching
    from klue_beam.transforms.tasks.report import Report, Rows

SENTENCE_LABEL: Final = TOPIC
"""The type of such a task's column: `label`, and `score`, its probability."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LabelsSpec(TaskSpec):
    """What a model says of such a task.

    Attributes:
      labels: the labels, in model order.
    """

    labels: tuple[str, ...]

    def label_sets(self) -> Mapping[str, tuple[str, ...]]:
        """See TaskSpec."""
        return {"labels": self.labels}


class SentenceClassification(Task):
    """A task that gives each sentence one label, by a linear head on the encoder's states.

    Attributes:
      column: the name of its column; each value has a `label` and its `score`.
      labels: the labels.
    """

    column: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]
    metrics: ClassVar[Mapping[str, str]] = {"macro_f1": "macro F1", "accuracy": "accuracy"}

    def __init_subclass__(cls) -> None:
        """Fill in what follows from the column's name and the labels."""
        super().__init_subclass__()
        given = vars(cls)
        derived: dict[str, Any] = {
            "field": pa.field(cls.column, SENTENCE_LABEL),
            "spec_type": functools.partial(LabelsSpec, labels=cls.labels),
            "own_flags": (
                Flag(f"{cls.name}_windowed", f"longer than the model: the {cls.column} is the mean over windows"),
            ),
            "nothing": f"no {cls.column}",
            "kinds": (cls.column,),
            "query_value": f"{cls.column}.label AS {cls.column}",
            "checkpoint": _LabelCheckpoint(cls.name, cls.labels),
            "data": {cls.name: "JSON, JSON lines or CSV of text and label"},
        }
        for name, value in derived.items():
            if name not in given:
                setattr(cls, name, value)

    def labels_of(self, spec: Any) -> tuple[str, ...]:
        """Give the labels of a model, in model order."""
        labels: tuple[str, ...] = spec.labels
        return labels

    def build_heads(self, spec: Any, encoder_config: Any) -> "Mapping[str, nn.Module]":
        """See Task: one head, called as the column is."""
        from klue_beam.transforms.models.nets.heads import SentenceHead

        return {self.column: SentenceHead(encoder_config.hidden_size, len(self.labels_of(spec)))}

    def annotator(self, model: "TaskModel") -> "Annotator":
        """See Task."""
        from klue_beam.transforms.tasks.classification.labels import SentenceAnnotator

        return SentenceAnnotator(model, self.name, self.labels_of(model.spec))

    def draw(self, row: Mapping[str, Any], drawing: Drawing) -> None:
        """See Task: the label and its score, in the line above."""
        found = row[self.column]
        drawing.head.append(f"  {found['label']}", style="not dim bold magenta").append(f" {found['score']:.2f}")

    def list_labels(self, rows: pa.RecordBatch) -> Iterator[Label]:
        """See Task: one a sentence."""
        for number, found in enumerate(rows.column(self.column).to_pylist()):
            if found is not None:
                yield Label(self.column, (number, found["label"]))

    def read_gold(self, path: str) -> "Sequence[LabelledText]":
        """See Task: texts with labels, as `read_labelled_texts` takes them."""
        from klue_beam.transforms.tasks.classification.gold import read_labelled_texts

        return read_labelled_texts(path, self.labels)

    def score(self, examples: "Sequence[LabelledText]", rows: "Rows") -> "Report":
        """See Task."""
        from klue_beam.transforms.tasks.classification.score import score_texts

        return score_texts(examples, rows, self.column, self.labels)

    def objectives(self, data: Mapping[str, str], run: "LearningRun") -> "Sequence[Objective]":
        """See Task: each text's label."""
        from klue_beam.transforms.tasks.classification.learn import TextObjective

        labels = self.labels_of(run.specs[self.name])
        return [TextObjective(self.name, self.read_gold(data[self.name]), labels, self.column)]

    def teach(self, texts: Sequence[str], annotate: "Annotate") -> "Teaching":  # noqa: ARG002 - distributions say all
        """See Task: the teacher's distribution over the labels."""
        from klue_beam.transforms.tasks.classification.learn import teach_texts

        return teach_texts(self.name, self.column)

    def calibrate(self, fit: "Fit") -> Any:
        """See Task: temperature, and the labels' shares."""
        from klue_beam.transforms.tasks.classification.learn import fit_texts

        return fit_texts(fit, self.name, self.labels_of(fit.spec.of[self.name]), self.column)


class _LabelCheckpoint(ClassifierCheckpoint):
    """A checkpoint for sequence classification that reads the sentence as it is."""

    kind = "SequenceClassification"
    title = "sequence classification"

    def __init__(self, task: str, labels: Sequence[str]) -> None:
        self._task, self.known_labels = task, tuple(labels)

    def annotator(self, labels: Sequence[str], options: Mapping[str, Any]) -> "ClassifierAnnotator":  # noqa: ARG002
        """See ClassifierCheckpoint."""
        from klue_beam.transforms.tasks.classification.labels import SentenceClassifierAnnotator

        return SentenceClassifierAnnotator(self._task, labels)
