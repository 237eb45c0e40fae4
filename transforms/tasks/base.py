"""What a task is: everything that klue-beam knows of one kind of annotation, in one object.

The registry `klue_beam.schemas.registry.TASKS` gives these objects by name. A task of klue-beam has a folder beside
this file, whose `__init__` holds the object; a task of another package is one file and an entry point
`klue_beam.tasks`.

A task is asked by the engines (heads, annotator), by the transforms (column, flags, what it needs of other tasks), by
the contract's checks, by the commands (options, examples, drawing) and by training and evaluation (see learnable.py).
Importing a task must be cheap, since every command does it to know its options: what needs torch or
transformers is imported inside the method that uses it.
"""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pyarrow as pa

from klue_beam.transforms.tasks.checking import RowChecker
from klue_beam.transforms.tasks.findings import Findings
from klue_beam.transforms.tasks.learnable import Learnable
from klue_beam.transforms.tasks.spec import TaskSpec

if TYPE_CHECKING:  # torch and rich take a second to import; a task is described without them
    from rich.console import RenderableType
    from rich.text import Text
    from torch import nn

    from klue_beam.transforms.models.text.pieces import TextTokenizer
    from klue_beam.transforms.tasks.annotator import Annotator, ClassifierAnnotator, TaskModel


class Flag(NamedTuple):
    """A mark that a row can carry.

    Attributes:
      name: as it stands in the column `flags`.
      meaning: what it tells its reader.
      is_absent: whether the task's column is null in a row that carries it.
    """

    name: str
    meaning: str
    is_absent: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """A choice that a task brings to `annotate` and `evaluate`, and to ModelConfig.

    Attributes:
      name: without dashes; `--name` on the command line.
      default: its value where it is not given; its type is the option's.
      help: what it decides, for the command's help.
      choices: the values that it can have; empty for any.
      least: the least number that it can be; None for any.
      metavar: what stands for the value in the help.
    """

    name: str
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    least: int | None = None
    metavar: str | None = None


class Label(NamedTuple):
    """One label of an annotated row, for telling how far two annotations agree.

    Attributes:
      kind: one of the task's `kinds`.
      said: what it speaks of and what it says of it, hashable; the same in two rows where they say the same.
      rests_on: labels of other kinds, (kind, said) each, that it speaks of: where both annotations do not have these,
        it is not compared, so that an entity that is missing counts once, and not again with each of its relations.
    """

    kind: str
    said: tuple[Any, ...]
    rests_on: tuple[tuple[str, tuple[Any, ...]], ...] = ()


@dataclasses.dataclass(slots=True)
class Drawing:
    """A sentence as it is drawn in a terminal; each task adds what it found.

    Attributes:
      head: the line above the sentence: which sentence it is, and what holds for all of it.
      sentence: the sentence, with what is marked in it.
      below: what stands below it.
      in_order: whether words stand below it in their order, joined by arcs, and not nested.
    """

    head: "Text"
    sentence: "Text"
    below: "list[RenderableType]" = dataclasses.field(default_factory=list)
    in_order: bool = False


class Checkpoint(abc.ABC):
    """How checkpoints of Hugging Face's kind serve a task, beside the models of `klue-beam train`.

    Attributes:
      title: what they are, for the help of `--NAME_model`.
    """

    title: str


class ClassifierCheckpoint(Checkpoint):
    """Checkpoints that are whole classifiers.

    Attributes:
      kind: what the name of their architecture ends in: SequenceClassification or TokenClassification.
      known_labels: the label set whose names theirs take where they differ in case and punctuation at most.
    """

    kind: str
    known_labels: tuple[str, ...] = ()

    @abc.abstractmethod
    def annotator(self, labels: Sequence[str], options: Mapping[str, Any]) -> "ClassifierAnnotator":
        """Give what reads findings off their outputs.

        Args:
          labels: the checkpoint's, in model order.
          options: the task's options, by name.
        """


class HeadCheckpoint(Checkpoint):
    """Checkpoints that are an encoder with heads of another make, which the task's annotator can run."""

    @abc.abstractmethod
    def load(self, folder: Path) -> "tuple[nn.Module, Mapping[str, nn.Module], TextTokenizer]":
        """Load a checkpoint, in fp32.

        Args:
          folder: of the checkpoint.

        Returns:
          The encoder, the heads by name, and the tokenizer.

        Raises:
          ValueError: if it cannot serve the task.
        """


class Task(Learnable, abc.ABC):
    """A kind of annotation. How it is learnt and scored is in Learnable.

    Attributes:
      name: short, as in `--tasks`; flags, options and models are called by it.
      title: what it does, in a few words, for help texts.
      field: the column that it adds. Null in a row that it could not annotate (its flags say why).
      label_field: the column's field that holds a label.
      needs: names of tasks whose findings this one reads; it runs after them.
      label_sets_version: which label sets its column draws from, for the provenance of a dataset.
      spec_type: makes what a model folder says of the task, a TaskSpec; without arguments that of a new model.
      own_flags: the flags that it raises beside `NAME_failed`.
      nothing: what a row lacks on which the model failed, for the meaning of `NAME_failed`.
      counts: what a receipt counts of it, the items of its lists; empty where the column has one value a row.
      counted_as: how that is called where people read it; empty for the same.
      options: what it brings to ModelConfig beside the model.
      checkpoint: how checkpoints of Hugging Face's kind serve it; None where there are none.
      deep_heads: names of its heads that are transformer layers and run in the encoder's precision.
      wide_heads: names of other heads with products enough to be worth packing; beside int8 they keep fp32.
      kinds: kinds of labels that two annotations are compared by, see `list_labels`.
      query_value: SQL that gives one value a sentence, as in `topic.label AS topic`; empty for none.
      query_item: what one item of the column's list is called in a query that counts them by label; empty for none.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    field: ClassVar[pa.Field]
    label_field: ClassVar[str] = "label"
    needs: ClassVar[tuple[str, ...]] = ()
    label_sets_version: ClassVar[str]
    spec_type: ClassVar[Callable[..., TaskSpec]]
    own_flags: ClassVar[tuple[Flag, ...]] = ()
    nothing: ClassVar[str]
    counts: ClassVar[str] = ""
    counted_as: ClassVar[str] = ""
    options: ClassVar[tuple[Option, ...]] = ()
    checkpoint: ClassVar[Checkpoint | None] = None
    deep_heads: ClassVar[tuple[str, ...]] = ()
    wide_heads: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[str, ...]] = ()
    query_value: ClassVar[str] = ""
    query_item: ClassVar[str] = ""

    @property
    def failed_flag(self) -> Flag:
        """The flag of a row on which the model failed."""
        return Flag(f"{self.name}_failed", f"the model failed on this sentence: {self.nothing}", is_absent=True)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """All flags of the task."""
        return (*self.own_flags, self.failed_flag)

    # How a model annotates.

    @abc.abstractmethod
    def build_heads(self, spec: Any, encoder_config: Any) -> "Mapping[str, nn.Module]":
        """Build the task's heads with random weights.

        Args:
          spec: a `spec_type`.
          encoder_config: of the encoder, as Hugging Face has it: `hidden_size`, `num_hidden_layers`, ….

        Returns:
          By name; the names stand before the weights' names in a model folder, and no two tasks may share one.

        Raises:
          ValueError: if the spec does not fit the encoder.
        """

    def start_heads(self, heads: "Mapping[str, nn.Module]", encoder: Any) -> None:
        """Give new heads weights of the encoder to begin training from.

        Args:
          heads: what `build_heads` gave.
          encoder: a Hugging Face encoder.
        """

    def depth(self, spec: Any) -> int:  # noqa: ARG002 - most tasks read the last states alone
        """Tell how many layers below the top the states lie that the heads read beside the last ones; 0 for none."""
        return 0

    @abc.abstractmethod
    def annotator(self, model: "TaskModel") -> "Annotator":
        """Give what runs a loaded model's heads on batches and reads findings off their outputs."""

    def read_column(self, column: pa.Array) -> Findings:
        """Read the column back, for a task that needs it in rows that another transform has annotated.

        Args:
          column: of the type of `field`, one row a text.
        """
        raise NotImplementedError(f"The column of {self.name} is read by no task.")

    # What its column must hold, and how people see it.

    def check(self, checker: RowChecker) -> None:
        """Refuse rows whose column breaks the contract.

        That the column has its type, that no value in it is null, and that a null row has a flag, is checked already.

        Args:
          checker: with the rows.

        Raises:
          ContractError: on the first bad row.
        """

    def draw(self, row: Mapping[str, Any], drawing: Drawing) -> None:
        """Add what was found in a sentence to its drawing.

        Args:
          row: of the output, as `to_pylist` gives it; its column is there and not null.
          drawing: is added to.
        """
        drawing.head.append(f"  {self.field.name}: {row[self.field.name]}")

    def list_labels(self, rows: pa.RecordBatch) -> Iterator[Label]:  # noqa: ARG002 - no labels to compare
        """List the labels of annotated rows, for telling how far two annotations agree.

        Args:
          rows: with the task's column and those that it needs. What a label says begins with its row's number.
        """
        return iter(())
