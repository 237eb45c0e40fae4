"""NER: named entities as disjoint spans of characters."""

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from klue_beam.schemas.annotation import ENTITY
from klue_beam.schemas.config import require
from klue_beam.schemas.labels import LABEL_SETS_VERSION, NER_TYPES, RE_ONLY_TYPES
from klue_beam.schemas.options import option
from klue_beam.transforms.tasks.base import ClassifierCheckpoint, Drawing, Flag, Label, Task
from klue_beam.transforms.tasks.checking import RowChecker, flatten, read_numbers
from klue_beam.transforms.tasks.entity.spans import Entities
from klue_beam.transforms.tasks.spec import Calibration, TaskSpec

if TYPE_CHECKING:
    from torch import nn

    from klue_beam.transforms.tasks.annotator import Annotator, ClassifierAnnotator, TaskModel
    from klue_beam.transforms.tasks.entity.gold import EntityExample
    from klue_beam.transforms.tasks.learning import Annotate, Fit, LearningRun, Objective, Teaching
    from klue_beam.transforms.tasks.report import Report, Rows

STYLES: Final = {
    "PS": "black on bright_green",
    "LC": "black on bright_cyan",
    "OG": "black on bright_yellow",
    "DT": "black on bright_magenta",
    "TI": "black on magenta",
    "QT": "white on blue",
    "POH": "black on white",
    "NOH": "black on white",
}
"""How each type is drawn in a terminal; others are drawn reversed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EntitySpec(TaskSpec):
    """What a model says of NER.

    Attributes:
      ner_types: the types of KLUE-NER, in model order.
      mention_types: those of KLUE-RE alone, which a head of their own finds; empty for none.
      char_positions: how many code points of a piece have tag weights of their own.
      min_entity_score: an entity of `ner_types` that scores less is left out.
      min_mention_score: the same for one of `mention_types`.
      min_inside_score: the same for any entity that begins inside a word.
      tag_transitions: of the tags of `ner_types`, as `find_best_tags` takes them; without, each character has its most
        probable tag.
    """

    ner_types: tuple[str, ...] = NER_TYPES
    mention_types: tuple[str, ...] = RE_ONLY_TYPES
    char_positions: int = 6
    min_entity_score: float = 0.0
    min_mention_score: float = 0.0
    min_inside_score: float = 0.0
    tag_transitions: tuple[tuple[float, ...], ...] = ()

    def without_fit(self) -> "EntitySpec":
        """See TaskSpec."""
        return dataclasses.replace(
            self, min_entity_score=0.0, min_mention_score=0.0, min_inside_score=0.0, tag_transitions=()
        )

    def label_sets(self) -> Mapping[str, tuple[str, ...]]:
        """See TaskSpec."""
        return {"ner_types": self.ner_types, "mention_types": self.mention_types}


@dataclasses.dataclass(frozen=True, slots=True)
class EntityByHand:
    """What labelled rows cannot tell of mentions that only KLUE-RE marks; None leaves what is there."""

    mention_bias: float | None = option(
        None,
        "of titles, works and numerals, which KLUE-RE marks here and there: added to the score of their absence "
        "(negative finds more of them)",
        metavar="LOGIT",
    )
    min_mention_score: float | None = option(None, "what one of them must score", metavar="SCORE")

    def __post_init__(self) -> None:
        bias, score = self.mention_bias, self.min_mention_score
        require(
            bias is None or math.isfinite(bias), "`--mention_bias` must be finite", bias, "Leave it out, or give -1."
        )
        require(
            score is None or 0 <= score < 1,
            "`--min_mention_score` must be from 0 to below 1",
            score,
            "Leave it out, or give 0.65.",
        )


class TaggingCheckpoint(ClassifierCheckpoint):
    """A checkpoint for token classification, with BIO, BIOES, BILOU or IO labels."""

    kind = "TokenClassification"
    title = "token classification"

    def annotator(self, labels: Sequence[str], options: Mapping[str, Any]) -> "ClassifierAnnotator":  # noqa: ARG002
        """See ClassifierCheckpoint."""
        from klue_beam.transforms.tasks.entity.annotator import TokenClassifierAnnotator

        return TokenClassifierAnnotator(labels)


class EntityTask(Task):
    """See the module."""

    name = "ner"
    title = "entities"
    field = pa.field("entities", pa.list_(ENTITY))
    label_sets_version = LABEL_SETS_VERSION
    spec_type = EntitySpec
    own_flags = (Flag("ner_windowed", "longer than the model: entities were found window by window"),)
    nothing = "no entities"
    counts = "entities"
    checkpoint = TaggingCheckpoint()
    kinds = ("entities",)
    query_item = "entity"
    data: ClassVar[Mapping[str, str]] = {
        "ner": "KLUE-NER (.tsv), or JSON lines of text and entities, each with begin, end and label",
        "ner_raw": "sentences without entity labels, labelled by ner_forms where that is sure",
        "ner_forms": "entity surface forms with fine labels and frequencies",
    }
    fit_options = EntityByHand
    metrics: ClassVar[Mapping[str, str]] = {
        "entity_f1": "entity macro F1",
        "character_f1": "character macro F1",
        "character_f1_with_outside": "character macro F1, O averaged in as KLUE's code does",
        "entity_micro_f1": "entity micro F1",
    }
    # Of characters KLUE-baseline says that O is left out, and its code averages it in: the score stands beside both.
    published: ClassVar[Mapping[str, float]] = {
        "entity_f1": 83.97,
        "character_f1": 91.39,
        "character_f1_with_outside": 91.39,
    }

    def build_heads(self, spec: EntitySpec, encoder_config: Any) -> "Mapping[str, nn.Module]":
        """See Task."""
        from klue_beam.transforms.models.nets.heads import CharacterTagHead
        from klue_beam.transforms.tasks.entity.tagging import bio_tags

        kinds = {"entity": spec.ner_types, "mention": spec.mention_types}
        return {
            name: CharacterTagHead(encoder_config.hidden_size, len(bio_tags(types)), spec.char_positions)
            for name, types in kinds.items()
            if types or name == "entity"
        }

    def annotator(self, model: "TaskModel") -> "Annotator":
        """See Task."""
        from klue_beam.transforms.tasks.entity.annotator import EntityAnnotator

        return EntityAnnotator(model)

    def read_column(self, column: pa.Array) -> Entities:
        """See Task."""
        flat = column.flatten()
        labels = pc.unique(flat.field("label"))
        label = pc.index_in(flat.field("label"), value_set=labels).to_numpy(zero_copy_only=False).astype(np.int64)
        begin, end = (flat.field(name).to_numpy().astype(np.int64) for name in ("begin", "end"))
        text = np.repeat(np.arange(len(column)), pc.fill_null(pc.list_value_length(column), 0).to_numpy())
        score = flat.field("score").to_numpy().astype(np.float32)
        return Entities(tuple(labels.to_pylist()), text, begin, end, label, score)

    def check(self, checker: RowChecker) -> None:
        """See Task: sorted, disjoint, none blank, and each text is the slice of the sentence that it claims."""
        owner, items = flatten(checker.rows.column("entities"))
        begin, end = read_numbers(items, "begin"), read_numbers(items, "end")
        checker.check_spans("entity", owner, begin, end)
        same_row = np.diff(owner, prepend=-1) == 0
        checker.refuse(
            same_row & (begin < np.concatenate(([0], end[:-1]))),
            lambda i: (
                f"entities must be sorted and disjoint, got {begin[i]}:{end[i]} after {begin[i - 1]}:{end[i - 1]}"
            ),
            owner,
        )
        checker.check_slices("entity", owner, begin, end, items.field("text"))
        solid_before = np.concatenate(([0], np.cumsum(~checker.chars.is_space)))
        text_begin = checker.chars.offsets[owner]
        blank = solid_before[text_begin + begin] == solid_before[text_begin + end]
        checker.refuse(blank, lambda i: f"entity {begin[i]}:{end[i]} is nothing but white space", owner)

    def draw(self, row: Mapping[str, Any], drawing: Drawing) -> None:
        """See Task: each entity on its colour, its label behind it, so that it reads without colours too."""
        text, line, done = row["text"], drawing.sentence[:0], 0
        for entity in row["entities"]:
            line.append(text[done : entity["begin"]])
            style = STYLES.get(entity["label"], "reverse")
            line.append(f"[{entity['text']}", style=style)
            line.append(f" {entity['label']}]", style=f"{style} bold")
            done = entity["end"]
        line.append(text[done:])
        drawing.sentence = line

    def list_labels(self, rows: pa.RecordBatch) -> Iterator[Label]:
        """See Task: spans with their types."""
        for number, entities in enumerate(rows.column("entities").to_pylist()):
            for one in entities or ():
                yield Label("entities", (number, one["begin"], one["end"], one["label"]))

    def read_gold(self, path: str) -> "Sequence[EntityExample]":
        """See Task: KLUE-NER's files, and JSON lines of spans."""
        from klue_beam.transforms.tasks.entity.gold import read_entities

        return read_entities(path)

    def score(self, examples: "Sequence[EntityExample]", rows: "Rows") -> "Report":
        """See Task."""
        from klue_beam.transforms.tasks.entity.score import score_rows

        return score_rows(examples, rows)

    def start_spec(self, tasks: Sequence[str], options: Any) -> EntitySpec:  # noqa: ARG002 - it has none
        """See Task: the mentions that only KLUE-RE marks are learnt from it, where that is learnt, too."""
        return EntitySpec(mention_types=RE_ONLY_TYPES if {"ner", "re"} <= set(tasks) else ())

    def check_data(self, names: Collection[str]) -> None:
        """See Task."""
        if ("ner_raw" in names) != ("ner_forms" in names):
            raise ValueError("`ner_raw` and `ner_forms` must be given together, got one of them. Give the other, too.")

    def objectives(self, data: Mapping[str, str], run: "LearningRun") -> "Sequence[Objective]":
        """See Task: tags of gold sentences, and of sentences that a table of forms labels where that is sure."""
        from klue_beam.transforms.tasks.entity.learn import EntityObjective
        from klue_beam.transforms.tasks.entity.weak_entities import keep_weak_entities

        gold = self.read_gold(data["ner"])
        found = [EntityObjective("ner", gold, run.specs["ner"].ner_types)]
        if "ner_raw" in data:
            weak = keep_weak_entities(data["ner_raw"], data["ner_forms"], gold, run.folder)
            found.append(EntityObjective("ner_raw", weak, NER_TYPES))
        return found

    def teach(self, texts: Sequence[str], annotate: "Annotate") -> "Teaching":  # noqa: ARG002 - distributions say all
        """See Task: the teacher's distributions over tags."""
        from klue_beam.transforms.tasks.entity.learn import unlabelled_tags

        return unlabelled_tags

    def set_by_hand(self, spec: Any, options: EntityByHand) -> Any:
        """See Task."""
        types = spec.of["ner"].mention_types
        require(
            bool(types) or (options.mention_bias is None and options.min_mention_score is None),
            "`--mention_bias` and `--min_mention_score` must be of a model with `mention_types`",
            types,
            "Leave them out.",
        )
        if options.mention_bias is not None:
            bias = (options.mention_bias, *[0.0] * (2 * len(types)))
            spec = spec.with_calibration({"mention": Calibration(1.0, bias)})
        if options.min_mention_score is not None:
            spec = spec.change("ner", min_mention_score=options.min_mention_score)
        return spec

    def calibrate(self, fit: "Fit") -> Any:
        """See Task: the temperature of tags, then how entities are read off them."""
        from klue_beam.transforms.tasks.calibration import fit_calibration
        from klue_beam.transforms.tasks.entity.fit import fit_entities
        from klue_beam.transforms.tasks.entity.learn import EntityObjective

        objective = EntityObjective("ner", fit.examples, fit.spec.of["ner"].ner_types)
        fitted = {name: fit_calibration(*items) for name, items in fit.collect(objective).items()}
        return fit_entities(fit, fit.spec.with_calibration(fitted))

    def describe_fit(self, spec: Any) -> Sequence[str]:
        """See Task."""
        said = spec.of["ner"]
        lines = [f"entities: a score of {said.min_entity_score} at least, {said.min_inside_score} inside a word"]
        return [*lines, "tags: with transitions between them"] if said.tag_transitions else lines


TASK: Final = EntityTask()
