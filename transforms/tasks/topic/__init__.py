"""TC: the topic of a sentence, as of KLUE's headlines."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Final

from klue_beam.schemas.labels import LABEL_SETS_VERSION, TOPICS
from klue_beam.transforms.tasks.classification import SentenceClassification
from klue_beam.transforms.tasks.spec import TaskSpec


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


class TopicTask(SentenceClassification):
    """See the module."""

    name = "tc"
    title = "topic"
    column = "topic"
    labels = TOPICS
    label_sets_version = LABEL_SETS_VERSION
    spec_type = TopicSpec
    data: ClassVar[Mapping[str, str]] = {"tc": "KLUE-TC (ynat .json or .csv), or JSON lines or CSV of text and label"}
    published: ClassVar[Mapping[str, float]] = {"macro_f1": 85.73}

    def labels_of(self, spec: TopicSpec) -> tuple[str, ...]:
        """See SentenceClassification."""
        return spec.topics


TASK: Final = TopicTask()
