"""TC: the topic of a sentence, as of KLUE's headlines."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pyarrow as pa

from klue_beam.schemas.annotation import TOPIC
from klue_beam.schemas.labels import LABEL_SETS_VERSION, TOPICS
from klue_beam.transforms.tasks.base import Drawing, Flag, Label, Task, TaskSpec

if TYPE_CHECKING:
    from torch import nn

    from klue_beam.transforms.tasks.classification.gold import LabelledText
    from klue_beam.transforms.tasks.learning import Annotate, Fit, LearningRun, Objective, Teaching
    from klue_beam.transforms.tasks.report import Report, Rows


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec(TaskSpec):
    """What a model says of TC.

    Attributes:
      topics: the labels, in model order.
    """

    topics: tuple[str, ...] = TOPICS

    def label_sets(self) -> Mapping[str, tuple[str, ...]]:
        """See TaskSpec."""
        return {"topics": self.topics}


class TopicTask(Task):
    """See the module."""

    name = "tc"
    title = "topic"
    field = pa.field("topic", TOPIC)
    label_sets_version = LABEL_SETS_VERSION
    spec_type = TopicSpec
    own_flags = (Flag("tc_windowed", "longer than the model: the topic is the mean over windows"),)
    nothing = "no topic"
    kinds = ("topic",)
    query_value = "topic.label AS topic"
    data: ClassVar[Mapping[str, str]] = {"tc": "KLUE-TC (ynat .json or .csv), or JSON lines or CSV of text and label"}
    metrics: ClassVar[Mapping[str, str]] = {"macro_f1": "macro F1", "accuracy": "accuracy"}
    published: ClassVar[Mapping[str, float]] = {"macro_f1": 85.73}

    def build_heads(self, spec: TopicSpec, encoder_config: Any) -> "Mapping[str, nn.Module]":
        """See Task."""
        from klue_beam.transforms.models.nets.heads import TopicHead

        return {"topic": TopicHead(encoder_config.hidden_size, len(spec.topics))}

    def draw(self, row: Mapping[str, Any], drawing: Drawing) -> None:
        """See Task: the topic and its score, in the line above."""
        topic = row["topic"]
        drawing.head.append(f"  {topic['label']}", style="not dim bold magenta").append(f" {topic['score']:.2f}")

    def list_labels(self, rows: pa.RecordBatch) -> Iterator[Label]:
        """See Task: one a sentence."""
        for number, topic in enumerate(rows.column("topic").to_pylist()):
            if topic is not None:
                yield Label("topic", (number, topic["label"]))

    def read_gold(self, path: str) -> "Sequence[LabelledText]":
        """See Task: KLUE-TC's files, and texts with labels, see `read_labelled_texts`."""
        from klue_beam.transforms.tasks.classification.gold import read_labelled_texts

        return read_labelled_texts(path, TOPICS)

    def score(self, examples: "Sequence[LabelledText]", rows: "Rows") -> "Report":
        """See Task."""
        from klue_beam.transforms.tasks.classification.score import score_texts

        return score_texts(examples, rows, "topic", TOPICS)

    def objectives(self, data: Mapping[str, str], run: "LearningRun") -> "Sequence[Objective]":
        """See Task: each text's label."""
        from klue_beam.transforms.tasks.classification.learn import TextObjective

        labels = run.specs[self.name].topics
        return [TextObjective(self.name, self.read_gold(data[self.name]), labels, "topic")]

    def teach(self, texts: Sequence[str], annotate: "Annotate") -> "Teaching":  # noqa: ARG002 - distributions say all
        """See Task: the teacher's distribution over the labels."""
        from klue_beam.transforms.tasks.classification.learn import teach_texts

        return teach_texts(self.name, "topic")

    def calibrate(self, fit: "Fit") -> Any:
        """See Task: temperature, and the labels' shares."""
        from klue_beam.transforms.tasks.classification.learn import fit_texts

        return fit_texts(fit, self.name, fit.spec.of[self.name].topics, "topic")


TASK: Final = TopicTask()
