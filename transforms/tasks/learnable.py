"""What a task is to training and evaluation: labelled rows, scores, objectives, what is fitted, what a teacher teaches.

It is a half of klue_beam.transforms.tasks.base.Task, and as light to import.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from klue_beam.transforms.tasks.spec import TaskSpec

if TYPE_CHECKING:  # torch takes a second to import
    from klue_beam.transforms.tasks.learning import Annotate, Fit, LearningRun, Objective, Teaching
    from klue_beam.transforms.tasks.report import Report, Rows


class HeldOut(NamedTuple):
    """A share of a task's own data set that `train` leaves out, so that scores can be quoted on it.

    Attributes:
      seed, share: of `split_examples` in gold.py.
      note: which rows these are and why, for the help of `--rows`.
    """

    seed: str
    share: float
    note: str


class Learnable:
    """The half of a task that training and evaluation ask.

    Attributes:
      data: data sets that `train` takes for it, by name, the first one its own, each with what it is; empty for a task
        that cannot be learnt.
      train_options: what it brings to `train`, a dataclass of `schemas.options.option`s; None for nothing.
      fit_options: what can be set by hand in `calibrate`, likewise; each field's default is None.
      held_out: the share of its own data set that `train` leaves out; None to train on all rows.
      asks_gold: whether scores hang on what `answer` asks a model, too.
      metrics: what its scores are called, by their names in a Report.
      published: by metric, what KLUE-BERT-base reaches on the official development set, in percent: Park et al., 2021,
        https://arxiv.org/abs/2105.09680.
    """

    name: ClassVar[str]
    spec_type: ClassVar[Callable[..., TaskSpec]]
    data: ClassVar[Mapping[str, str]] = {}
    train_options: ClassVar[type[Any] | None] = None
    fit_options: ClassVar[type[Any] | None] = None
    held_out: ClassVar[HeldOut | None] = None
    asks_gold: ClassVar[bool] = False
    metrics: ClassVar[Mapping[str, str]] = {}
    published: ClassVar[Mapping[str, float]] = {}

    def read_gold(self, path: str) -> Sequence[Any]:
        """Read labelled rows; each is an Example of gold.py, with `guid` and `text`.

        Raises:
          ValueError: if the file is malformed; the message has the path and the line.
          OSError: if it cannot be read.
        """
        raise NotImplementedError(f"The task {self.name} reads no labelled rows.")

    def check_scorable(self, read_labels: Callable[[], Sequence[str]], option: str) -> None:
        """Refuse a checkpoint whose labels have nothing in common with those of labelled rows.

        Args:
          read_labels: gives the checkpoint's.
          option: what the model was given for, as the user calls it.

        Raises:
          ValueError: if so.
        """

    def answer(self, engine: Any, examples: Sequence[Any]) -> Sequence[Any]:
        """Ask a model about gold rows what running text does not tell, where `asks_gold`.

        Args:
          engine: with the task; transforms.models.engine has it.
          examples: what `read_gold` gave.

        Returns:
          One value for each example, of JSON types, for `score_answers`.
        """
        raise NotImplementedError(f"The task {self.name} asks nothing about labelled rows.")

    def score(self, examples: Sequence[Any], rows: "Rows") -> "Report":
        """Score annotated rows.

        Args:
          examples: what `read_gold` gave; at least one.
          rows: for each example, the rows that its text was annotated with, as `to_pylist` gives them.
        """
        raise NotImplementedError(f"The task {self.name} has no scores.")

    def score_answers(self, examples: Sequence[Any], answers: Sequence[Any], rows: "Rows | None") -> "Report":
        """Score what was answered and annotated rows, where `asks_gold`; `score` is not asked then.

        Args:
          examples: what `read_gold` gave; at least one.
          answers: what `answer` gave.
          rows: as `score` takes them; None where no model finds what the task needs.
        """
        raise NotImplementedError(f"The task {self.name} asks nothing about labelled rows.")

    def start_spec(self, tasks: Sequence[str], options: Any) -> TaskSpec:  # noqa: ARG002 - most begin as they are
        """Give what a new model says of the task, before it has learnt anything.

        Args:
          tasks: all that it will have.
          options: a `train_options`.
        """
        return self.spec_type()

    def asked_depth(self, options: Any) -> int | None:  # noqa: ARG002 - most tasks read the last states alone
        """Tell which `depth` a person asks for; None for none.

        Args:
          options: a `train_options`.
        """
        return None

    def with_depth(self, spec: Any, depth: int) -> Any:  # noqa: ARG002 - most tasks read the last states alone
        """Give the spec of a student whose heads read states so many layers below the top, see `depth`."""
        return spec

    def check_data(self, names: Collection[str]) -> None:
        """Refuse data sets that are of no use without each other.

        Args:
          names: those given, out of `data`, its own among them.

        Raises:
          ValueError: if one is missing.
        """

    def objectives(self, data: Mapping[str, str], run: "LearningRun") -> "Sequence[Objective]":
        """Read the data sets of a training run.

        Args:
          data: file by name, out of `data`, its own among them.
          run: what the model says of itself, and the run's options.

        Returns:
          An Objective for each data set that is learnt.

        Raises:
          ValueError: if a file is malformed, or has what the model cannot learn.
          OSError: if one cannot be read.
        """
        raise NotImplementedError(f"The task {self.name} cannot be learnt.")

    def teach(self, texts: Sequence[str], annotate: "Annotate") -> "Teaching | None":  # noqa: ARG002 - nothing to learn
        """Give what a student learns from its teacher on texts without labels.

        Args:
          texts: all of them.
          annotate: gives what the teacher finds in some, for what is in none of its distributions.

        Returns:
          Makes the outputs, by name, of a batch of the texts; None where such texts teach nothing.
        """
        return None

    def set_by_hand(self, spec: Any, options: Any) -> Any:  # noqa: ARG002 - most leave nothing to set
        """Put what a person says in the place of what a model says.

        Args:
          spec: the model's ModelSpec, which has the task.
          options: a `fit_options`; a field of None leaves what is there.

        Raises:
          ValueError: if the model has no such thing.
        """
        return spec

    def calibrate(self, fit: "Fit") -> Any:  # noqa: ARG002 - nothing is fitted here
        """Fit what turns the model's scores into probabilities and labels.

        Args:
          fit: the model and the labelled rows to fit on.

        Returns:
          The model's ModelSpec with what was fitted.

        Raises:
          ValueError: if there is nothing to fit, or the rows are too few.
        """
        raise ValueError(
            f"`--{self.name}_data` must be of a task that can be calibrated, got {self.name}. Leave it out."
        )

    def describe_fit(self, spec: Any) -> Sequence[str]:  # noqa: ARG002 - temperatures are said for all
        """Say in lines what a model's ModelSpec holds beside temperatures and biases."""
        return ()
