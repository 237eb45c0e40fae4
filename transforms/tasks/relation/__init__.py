"""RE: relations between entities of one sentence."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import pyarrow as pa

from klue_beam.schemas.annotation import RELATION
from klue_beam.schemas.config import require
from klue_beam.schemas.labels import LABEL_SETS_VERSION, RELATIONS
from klue_beam.schemas.options import option
from klue_beam.transforms.tasks.base import ClassifierCheckpoint, Drawing, Flag, Label, Option, Task
from klue_beam.transforms.tasks.checking import RowChecker, count_items, flatten, read_numbers
from klue_beam.transforms.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from torch import nn

    from klue_beam.transforms.tasks.annotator import Annotator, ClassifierAnnotator, TaskModel
    from klue_beam.transforms.tasks.learning import Fit, LearningRun, Objective
    from klue_beam.transforms.tasks.relation.gold import RelationExample
    from klue_beam.transforms.tasks.report import Report, Rows

PAIR_LAYERS: Final = 2
"""So many layers run again for a pair unless a spec says otherwise."""

RE_MARKERS: Final = ("klue", "typed", "punctuation")
"""How a checkpoint marks the two entities: `<subj> </subj> <obj> </obj>` as in KLUE-baseline, the same with the entity
type (`<S:PER> </S:PER>`), or punctuation (`@ * PER * name @`, `# ^ PER ^ name #`)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RelationSpec(TaskSpec):
    """What a model says of RE.

    Attributes:
      relations: the labels, in model order.
      pair_layers: encoder layers that run again for each pair of entities.
      pair_context: tokens before and after a pair that these layers see; 0 for the whole sentence.
    """

    relations: tuple[str, ...] = RELATIONS
    pair_layers: int = PAIR_LAYERS
    pair_context: int = 0

    def label_sets(self) -> Mapping[str, tuple[str, ...]]:
        """See TaskSpec."""
        return {"relations": self.relations}


@dataclasses.dataclass(frozen=True, slots=True)
class RelationTraining:
    """How relations are learnt."""

    pair_layers: int | None = option(
        None,
        "top layers that run again for each entity pair: 0 reads the pair off the sentence's own states, all of them "
        "give each pair a pass of its own (default: those of a base that is a model folder, else 2)",
    )
    pair_context_chars: int | None = option(
        None, "shorten KLUE-RE's rows to so many characters around the pair (default: whole rows)"
    )
    swap_mentions: float = option(
        0.0, "put other names of KLUE-RE's rows in the place of so many of their mentions", metavar="SHARE"
    )

    def __post_init__(self) -> None:
        chars, share = self.pair_context_chars, self.swap_mentions
        require(chars is None or chars >= 0, "`--pair_context_chars` must be 0 or more", chars, "Leave it out.")
        require(0 <= share <= 1, "`--swap_mentions` must be from 0 to 1", share, "Leave it out, or give 0.5.")


@dataclasses.dataclass(frozen=True, slots=True)
class RelationByHand:
    """What labelled rows do not tell of relations; None leaves what is there."""

    pair_context: int | None = option(
        None, "what a pair of entities sees on either side; 0 for the whole sentence", metavar="TOKENS"
    )

    def __post_init__(self) -> None:
        require(
            self.pair_context is None or self.pair_context >= 0,
            "`--pair_context` must be 0 (the whole sentence) or more",
            self.pair_context,
            "Leave it out, or give 16.",
        )


class MarkingCheckpoint(ClassifierCheckpoint):
    """A checkpoint for sequence classification that reads sentences with two entities marked."""

    kind = "SequenceClassification"
    title = "sequence classification over marked entities"
    known_labels = RELATIONS

    def annotator(self, labels: Sequence[str], options: Mapping[str, Any]) -> "ClassifierAnnotator":
        """See ClassifierCheckpoint."""
        from klue_beam.transforms.tasks.relation.annotator import MarkedSentenceAnnotator

        return MarkedSentenceAnnotator(labels, options)


class RelationTask(Task):
    """See the module."""

    name = "re"
    title = "relations between entities"
    field = pa.field("relations", pa.list_(RELATION))
    needs = ("ner",)
    label_sets_version = LABEL_SETS_VERSION
    spec_type = RelationSpec
    own_flags = (
        Flag("re_windowed", "longer than the model: only pairs inside one window were scored"),
        Flag("re_pairs_cut", "more candidate pairs than the bound: the rest were not scored"),
    )
    nothing = "no relations"
    counts = "relations"
    checkpoint = MarkingCheckpoint()
    options = (
        Option(
            "re_markers",
            "klue",
            "how a relation checkpoint of its own marks the two entities",
            choices=RE_MARKERS,
            metavar="STYLE",
        ),
        Option(
            "max_pairs",
            64,
            "at most so many entity pairs of a sentence are scored for relations; a row that had more is flagged "
            "re_pairs_cut",
            least=1,
            metavar="N",
        ),
    )
    deep_heads = ("relation",)
    kinds = ("relations",)
    data: ClassVar[Mapping[str, str]] = {
        "re": "KLUE-RE (.json or .jsonl), or JSON lines of text, subject, object (each with begin, end and label) and "
        "label",
    }
    train_options = RelationTraining
    fit_options = RelationByHand
    asks_gold = True
    metrics: ClassVar[Mapping[str, str]] = {
        "micro_f1": "micro F1 without no_relation, gold pairs",
        "auprc": "AUPRC, gold pairs",
        "end_to_end_micro_f1": "micro F1 end to end, entities found by NER",
        "pairs_not_scored": "gold pairs too far apart to score",
    }
    published: ClassVar[Mapping[str, float]] = {"micro_f1": 66.44, "auprc": 66.17}

    def build_heads(self, spec: RelationSpec, encoder_config: Any) -> "Mapping[str, nn.Module]":
        """See Task."""
        from klue_beam.transforms.tasks.relation.head import RelationHead

        n_layers = encoder_config.num_hidden_layers
        if not 0 <= spec.pair_layers <= n_layers:
            raise ValueError(
                f"`pair_layers` must be from 0 to the encoder's {n_layers} layers, got {spec.pair_layers}. "
                f"Leave it out for the default of {PAIR_LAYERS}, or give 1 for an encoder of one layer."
            )
        return {"relation": RelationHead(encoder_config, spec.pair_layers, len(spec.relations), spec.pair_context)}

    def start_heads(self, heads: "Mapping[str, nn.Module]", encoder: Any) -> None:
        """See Task: the pair layers begin as the encoder's top layers, where these are laid out as BERT's."""
        from klue_beam.transforms.models.nets.attention import BERT_LIKE
        from klue_beam.transforms.models.nets.layers import PairLayer

        layers = getattr(getattr(encoder, "encoder", None), "layer", None)
        if encoder.config.model_type in BERT_LIKE and layers is not None:
            ours: Any = heads["relation"].layers
            for layer, theirs in zip(ours, layers[len(layers) - len(ours) :], strict=True):
                cast("PairLayer", layer).copy_bert(theirs)

    def depth(self, spec: RelationSpec) -> int:
        """See Task: the pair layers read the states that the layers they repeat read."""
        return spec.pair_layers

    def annotator(self, model: "TaskModel") -> "Annotator":
        """See Task."""
        from klue_beam.transforms.tasks.relation.annotator import RelationAnnotator

        return RelationAnnotator(model)

    def check(self, checker: RowChecker) -> None:
        """See Task: both ends of every relation are entities of its sentence, and two different ones."""
        if "entities" not in checker.rows.schema.names:
            return
        owner, items = flatten(checker.rows.column("relations"))
        subject, target = read_numbers(items, "subject"), read_numbers(items, "object")
        entities = count_items(checker.rows.column("entities"))[owner]
        outside = (subject < 0) | (target < 0) | (subject >= entities) | (target >= entities) | (subject == target)
        checker.refuse(
            outside,
            lambda i: f"a relation must join two of the {entities[i]} entities, got {subject[i]} and {target[i]}",
            owner,
        )

    def draw(self, row: Mapping[str, Any], drawing: Drawing) -> None:
        """See Task: a line each, from subject to object."""
        from rich.text import Text

        entities = row.get("entities") or ()
        for relation in row["relations"]:
            subject, object_ = (entities[relation[side]]["text"] for side in ("subject", "object"))
            line = Text.assemble(
                f"{subject} ", ("─ ", "dim"), (relation["label"], "bold"), (" → ", "dim"), object_,
                (f"  {relation['score']:.2f}", "dim"),
            )  # fmt: skip
            drawing.below.append(line)

    def list_labels(self, rows: pa.RecordBatch) -> Iterator[Label]:
        """See Task: subject, object and label; it rests on the two entities."""
        columns = (rows.column(name).to_pylist() for name in ("entities", "relations"))
        for number, (entities, relations) in enumerate(zip(*columns, strict=True)):
            spans = [(number, one["begin"], one["end"], one["label"]) for one in entities or ()]
            for one in relations or ():
                ends = spans[one["subject"]], spans[one["object"]]
                yield Label("relations", (*ends, one["label"]), tuple(("entities", end) for end in ends))

    def read_gold(self, path: str) -> "Sequence[RelationExample]":
        """See Task: KLUE-RE's files, and JSON lines of spans."""
        from klue_beam.transforms.tasks.relation.gold import read_relations

        return read_relations(path)

    def check_scorable(self, read_labels: Callable[[], Sequence[str]], option: str) -> None:
        """See Task: some relation must be one of KLUE-RE's."""
        labels = read_labels()
        require(
            bool(set(labels) & set(RELATIONS)),
            f"`--{option}` must have relations of KLUE-RE to be scored on its rows",
            ", ".join(labels[:3]),
            "Name them in its id2label as KLUE does, per:title for instance.",
        )

    def answer(self, engine: Any, examples: "Sequence[RelationExample]") -> Sequence[Any]:
        """See Task: the relation between the two given mentions."""
        from klue_beam.transforms.tasks.relation.answers import score_gold_pairs

        return score_gold_pairs(engine, examples).tolist()

    def score_answers(
        self, examples: "Sequence[RelationExample]", answers: Sequence[Any], rows: "Rows | None"
    ) -> "Report":
        """See Task."""
        from klue_beam.transforms.tasks.relation.score import score_answers

        return score_answers(examples, answers, rows)

    def start_spec(self, tasks: Sequence[str], options: RelationTraining) -> RelationSpec:  # noqa: ARG002 - it alone
        """See Task."""
        return RelationSpec(pair_layers=PAIR_LAYERS if options.pair_layers is None else options.pair_layers)

    def asked_depth(self, options: RelationTraining) -> int | None:
        """See Task."""
        return options.pair_layers

    def with_depth(self, spec: RelationSpec, depth: int) -> RelationSpec:
        """See Task."""
        return dataclasses.replace(spec, pair_layers=depth)

    def objectives(self, data: Mapping[str, str], run: "LearningRun") -> "Sequence[Objective]":
        """See Task: the relation of each row's pair; and mentions, which the entities' task has a head for."""
        from klue_beam.transforms.tasks.relation.learn import RelationObjective
        from klue_beam.transforms.tasks.relation.rows import keep_around_pair, swap_mentions

        options: RelationTraining = run.options
        rows = swap_mentions(self.read_gold(data["re"]), options.swap_mentions, run.seed)
        if options.pair_context_chars is not None:
            rows = [keep_around_pair(row, options.pair_context_chars) for row in rows]
        return [RelationObjective("re", rows, run.specs["re"].relations, mention_types_of(run.specs))]

    def set_by_hand(self, spec: Any, options: RelationByHand) -> Any:
        """See Task."""
        return spec if options.pair_context is None else spec.change("re", pair_context=options.pair_context)

    def calibrate(self, fit: "Fit") -> Any:
        """See Task: temperature, the relations' shares, and how readily no_relation is chosen."""
        from klue_beam.transforms.tasks.relation.learn import RelationObjective, fit_relations

        relations = fit.spec.of["re"].relations
        objective = RelationObjective("re", fit.examples, relations, mention_types_of(fit.spec.of))
        return fit.spec.with_calibration(fit_relations(fit, objective, relations))


def mention_types_of(specs: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the types of mentions that only KLUE-RE marks and that a model with these tasks finds."""
    return specs["ner"].mention_types if "ner" in specs else ()


TASK: Final = RelationTask()
