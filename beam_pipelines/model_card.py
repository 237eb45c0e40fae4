"""The card of a trained model: what it is, what it learned from and how, and what it reaches."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from transforms.models.folders import is_embedded
from transforms.models.multitask import MultiTaskModel, count_parameters
from transforms.models.spec import SPEC_FILE
from transforms.models.training.trainer import TrainConfig
from transforms.scoring import Report

CARD_FILE: Final = "README.md"


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A training run that is complete.

    Attributes:
      data: file by data set.
      n_rows: examples by data set.
      config: how it trained.
      base, teacher: what it began with, and what it learned from beside the labels.
      n_steps: how long.
      dev: by task, what the model reaches on rows that it did not learn from.
    """

    data: Mapping[str, str]
    n_rows: Mapping[str, int]
    config: TrainConfig
    base: str
    teacher: str | None
    n_steps: int
    dev: Mapping[str, Report]


def new_model_folder(path: str) -> Path:
    """Give the folder that a new model is written to.

    Raises:
      ValueError: if there is a model in it, or an embedded model has that name.
    """
    if is_embedded(path):
        raise ValueError(
            f"`--output` must not be the name of an embedded model, which `--model {path}` would load, got {path!r}. "
            f"Give another, or ./{path}."
        )
    folder = Path(path)
    if (folder / SPEC_FILE).exists():
        raise ValueError(
            f"`--output` must be a folder without a model, got {folder}. Give another, or remove that one."
        )
    return folder


def write_card(folder: Path, model: MultiTaskModel, run: Run) -> None:
    """Write a model's card beside its weights; files are named without their folders."""
    encoder = model.encoder.config
    spec = model.spec
    facts = {
        "tasks": ", ".join(spec.tasks),
        "encoder": f"{encoder.model_type}, {encoder.num_hidden_layers} layers, hidden {encoder.hidden_size}, "
        f"{encoder.vocab_size:,} pieces",
        "parameters": f"{count_parameters(model):,}",
        "starts from": Path(run.base).name,
        "teacher": ", ".join(Path(name).name for name in run.teacher.split(",")) if run.teacher else "none",
    }
    training = {f.name: getattr(run.config, f.name) for f in dataclasses.fields(run.config) if f.name != "epochs"}
    lines = [f"# {spec.name}", "", "A multi-task model for `klue-beam annotate --model`.", ""]
    lines += _table(("", ""), facts.items())
    lines += ["## Data", ""]
    epochs = run.config.epochs
    lines += _table(
        ("data set", "file", "rows", "passes"),
        [(n, Path(run.data[n]).name, f"{rows:,}", epochs.get(n, 1.0)) for n, rows in run.n_rows.items()],
    )
    lines += ["The licences of these data bind the model, too; name them here before you pass it on.", ""]
    lines += ["## Training", "", f"{run.n_steps:,} steps by `klue-beam train`.", ""]
    lines += _table(("option", "value"), training.items())
    lines += ["## Scores", ""]
    if run.dev:
        metrics = [
            (task, name, f"{value:.1f}", report.rows)
            for task, report in run.dev.items()
            for name, value in report.metrics.items()
        ]
        lines += ["On rows that it did not learn from, before `klue-beam calibrate`:", ""]
        lines += _table(("task", "metric", "percent", "rows"), metrics)
    else:
        lines += ["None were taken (`--dev`). `klue-beam evaluate` takes them.", ""]
    (folder / CARD_FILE).write_text("\n".join(lines), encoding="utf-8")


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    cells = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(str(cell) for cell in row)} |" for row in cells] + [""]
