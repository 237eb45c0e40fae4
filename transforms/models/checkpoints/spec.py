"""What a multi-task model folder says of itself: its tasks, labels, head sizes and calibration."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from klue_beam.schemas.labels import DEPRELS, NER_TYPES, RE_ONLY_TYPES, RELATIONS, TOPICS
from klue_beam.schemas.registry import TASKS

SPEC_FILE: Final = "klue_beam.json"
FORMAT: Final = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """Temperature and class biases fitted after training: softmax(logits / temperature + bias).

    Reference: Guo et al., 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599
    """

    temperature: float = 1.0
    bias: tuple[float, ...] = ()


PAIR_LAYERS: Final = 2
"""So many layers run again for a pair unless a spec says otherwise."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The shape of a multi-task model, stored beside its weights.

    Attributes:
      name: what provenance calls the model.
      tasks: the tasks that it has heads for.
      topics, ner_types, mention_types, relations, deprels: label sets, in model order.
      char_positions: how many code points of a piece have tag weights of their own.
      pair_layers: encoder layers that run again for each pair of entities.
      pair_context: tokens before and after a pair that these layers see; 0 for the whole sentence.
      arc_size, label_size: widths of the dependency head.
      head_final: whether heads stand to the right of their dependents and no arcs cross, as in all of KLUE's trees; if
        not, a tree is the best of all with one root.
      min_entity_score: an entity of `ner_types` that scores less is left out.
      min_mention_score: the same for one of `mention_types`.
      min_inside_score: the same for any entity that begins inside a word.
      tag_transitions: of the tags of `ner_types`, as `find_best_tags` takes them; without, each character has its most
        probable tag.
      embeddings_of: a model with the same vocabulary whose embedding matrix this one has, and does not store; empty for
        one with a matrix of its own.
      calibration: by output: tc, ner, mention, re, arc, deprel; and entity: whether one that is kept is wrong or right.
    """

    name: str
    tasks: tuple[str, ...] = tuple(TASKS)
    topics: tuple[str, ...] = TOPICS
    ner_types: tuple[str, ...] = NER_TYPES
    mention_types: tuple[str, ...] = RE_ONLY_TYPES
    relations: tuple[str, ...] = RELATIONS
    deprels: tuple[str, ...] = DEPRELS
    char_positions: int = 6
    pair_layers: int = PAIR_LAYERS
    pair_context: int = 0
    arc_size: int = 256
    label_size: int = 64
    head_final: bool = False
    min_entity_score: float = 0.0
    min_mention_score: float = 0.0
    min_inside_score: float = 0.0
    tag_transitions: tuple[tuple[float, ...], ...] = ()
    embeddings_of: str = ""
    calibration: Mapping[str, Calibration] = dataclasses.field(default_factory=dict)

    def without_fit(self) -> "ModelSpec":
        """Leave out what was fitted on a model's scores, which does not hold for those of other weights."""
        return dataclasses.replace(
            self,
            calibration={},
            min_entity_score=0.0,
            min_mention_score=0.0,
            min_inside_score=0.0,
            tag_transitions=(),
            head_final=False,
        )

    def save(self, folder: Path) -> None:
        """Write the spec into a model folder."""
        fields = {"format": FORMAT, **dataclasses.asdict(self)}
        text = json.dumps(fields, ensure_ascii=False, indent=1)
        (folder / SPEC_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ModelSpec":
        """Read the spec of a model folder.

        Raises:
          ValueError: if the file is absent, of another format or lacks a field.
        """
        path = folder / SPEC_FILE
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found = fields.pop("format")
            if found != FORMAT:
                raise ValueError(f"{path} must be of format {FORMAT}, got {found}. Use the version that wrote it.")
            fields["calibration"] = {
                name: Calibration(value["temperature"], tuple(value["bias"]))
                for name, value in fields["calibration"].items()
            }
            fields["tag_transitions"] = tuple(tuple(row) for row in fields.get("tag_transitions", ()))
            values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
            return cls(**values)
        except (OSError, AttributeError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path} must hold a model's spec, got {type(error).__name__}: {error}. Train or copy the model again."
            ) from error
