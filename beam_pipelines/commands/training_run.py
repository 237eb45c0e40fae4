"""A run of `klue-beam train`, from its checked options to the model folder."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from klue_beam.beam_pipelines.commands.base import INCOMPLETE, tell
from klue_beam.beam_pipelines.commands.model_card import Run, new_model_folder, write_card
from klue_beam.beam_pipelines.commands.train import NAME, TEXTS
from klue_beam.beam_pipelines.commands.training_setup import (
    load_dev_rows,
    load_objectives,
    load_teacher,
    load_texts,
    start_model,
)
from klue_beam.beam_pipelines.views.consoles import open_console
from klue_beam.transforms.models.checkpoints.checkpoint import save_model
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel, count_parameters
from klue_beam.transforms.models.nets.precision import choose_device
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.learning import Objective
from klue_beam.transforms.tasks.report import Report
from klue_beam.transforms.training.batches import BatchPlan
from klue_beam.transforms.training.checkpoints import STATE_FILE, Teacher
from klue_beam.transforms.training.config import TrainConfig
from klue_beam.transforms.training.dev_scores import score_dev_rows
from klue_beam.transforms.training.trainer import DivergedError, Step, train


def run(
    args: argparse.Namespace,
    tasks: tuple[str, ...],
    data: Mapping[str, str],
    dev: Mapping[str, str],
    epochs: Mapping[str, float],
    task_options: Mapping[str, Any],
) -> int:
    """Train, and write the model folder.

    Args:
      args: the options of `klue-beam train`, checked.
      tasks: what is learnt.
      data: file by data set.
      dev: file by task, of rows to score on.
      epochs: passes by data set.
      task_options: by task, its `train_options`.

    Returns:
      The exit code.

    Raises:
      ValueError: if the options, the base and the data do not go together.
      OSError: if a file cannot be read or written.
    """
    console = open_console(stderr=True)
    folder = new_model_folder(args.output)
    options = {field.name: getattr(args, field.name) for field in fields(TrainConfig) if "help" in field.metadata}
    config = TrainConfig(epochs=dict(epochs), bf16=args.precision == "bf16", **options)
    device = choose_device(args.device, args.precision)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    begun = _begin(args, tasks, data, task_options, folder, device)
    model, tokenizer, objectives = begun.model, begun.tokenizer, begun.objectives
    n_rows = {objective.name: len(objective.texts) for objective in objectives}
    sizes = ", ".join(f"{name} {count:,}" for name, count in n_rows.items())
    console.print(f"{count_parameters(model):,} parameters; examples: {sizes}", highlight=False)
    rows = load_dev_rows(dev, args.dev_rows, args.seed)
    try:
        with _Display(console, model, tokenizer, rows) as display:
            complete = train(
                model,
                begun.extra,
                tokenizer,
                objectives,
                config,
                folder,
                display.show,
                args.stop_after,
                display.show_plan,
                display.show_scores,
                begun.teacher,
            )
    except DivergedError as error:
        tell(NAME, error)
        return INCOMPLETE
    if not complete:
        console.print(f"Stopped. The same command goes on from the checkpoint in {folder}.", highlight=False)
        return 0
    save_model(model.cpu(), tokenizer, folder)
    facts = Run(data, n_rows, config, args.base, args.teacher, display.n_steps, display.reports)
    write_card(folder, model, facts)
    (folder / STATE_FILE).unlink()
    console.print(f"Trained. The model is in {folder}; use it with --model {folder}.", highlight=False)
    return 0


class _Begun(NamedTuple):
    """What a run begins with, on its device."""

    model: MultiTaskModel
    tokenizer: TextTokenizer
    extra: nn.ModuleDict
    objectives: Sequence[Objective]
    teacher: Teacher | None


def _begin(
    args: argparse.Namespace,
    tasks: tuple[str, ...],
    data: Mapping[str, str],
    task_options: Mapping[str, Any],
    folder: Path,
    device: torch.device,
) -> _Begun:
    model, tokenizer = start_model(args, tasks, task_options)
    teacher = load_teacher(args, model, tokenizer)
    model.to(device)
    if teacher is not None:
        teacher.model.to(device)
    extra = nn.ModuleDict()
    objectives = load_objectives(tasks, data, model, extra, task_options, folder, args.seed)
    if TEXTS in data and teacher is not None:
        objectives.append(load_texts(data[TEXTS], tasks, teacher.model, tokenizer))
    extra.to(device)
    return _Begun(model, tokenizer, extra, objectives, teacher)


class _Display:
    """A progress bar on a terminal, a line now and then elsewhere; losses are running means by data set."""

    def __init__(
        self, console: Console, model: MultiTaskModel, tokenizer: TextTokenizer, dev: Mapping[str, Sequence[Any]]
    ) -> None:
        self._console, self._model, self._tokenizer, self._dev = console, model, tokenizer, dev
        self._means: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar: Any = None
        self.n_steps = 0
        self.reports: dict[str, Report] = {}

    def __enter__(self) -> "_Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show_plan(self, plan: BatchPlan) -> None:
        self.n_steps = len(plan.batches)
        left_out = ", ".join(f"{name} {count:,}" for name, count in plan.left_out.items() if count)
        self._print(f"{self.n_steps:,} steps; left out as too long: {left_out or 'nothing'}")

    def show_scores(self, step: int) -> None:
        if self._dev:
            self.reports = score_dev_rows(self._model, self._tokenizer, self._dev)
            metrics = (f"{task} {name} {v:.1f}" for task, r in self.reports.items() for name, v in r.metrics.items())
            self._print(f"step {step}/{self.n_steps}  dev {', '.join(metrics)}")

    def show(self, step: Step) -> None:
        mean = self._means.get(step.objective, step.loss)
        self._means[step.objective] = 0.98 * mean + 0.02 * step.loss
        losses = " ".join(f"{name} {loss:.3f}" for name, loss in sorted(self._means.items()))
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = self._progress.add_task("", total=step.n_steps)
            self._progress.update(self._bar, completed=step.step, description=losses)
        elif step.step % 50 == 0 or step.step == step.n_steps:
            self._print(f"step {step.step}/{step.n_steps}  loss {losses}  {step.tokens_per_second:.0f} tokens/s")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)
