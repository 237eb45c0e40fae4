"""A run of `klue-beam calibrate`, from its checked options to the model's spec."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from klue_beam.beam_pipelines.commands.base import OK
from klue_beam.beam_pipelines.views.consoles import open_console
from klue_beam.schemas.config import require
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.checkpoints.checkpoint import load_model
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.tasks.base import Task
from klue_beam.transforms.tasks.gold import halve_examples, split_held_out
from klue_beam.transforms.training.calibration import calibrate


def run(args: argparse.Namespace, files: Mapping[str, str], by_hand: Mapping[str, Any]) -> int:
    """Fit a model and write its spec, once all of it is fitted.

    Args:
      args: of the command, checked.
      files: labelled rows by task.
      by_hand: by task, its `fit_options`.

    Returns:
      The exit code.

    Raises:
      ValueError: if model and rows do not go together.
      OSError: if a file cannot be read or written.
    """
    console = open_console(stderr=True)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    folder = Path(args.model)
    spec = ModelSpec.load(folder) if folder.is_dir() else None
    if spec is None:
        raise ValueError(f"`--model` must be a folder that `klue-beam train` wrote, got {args.model}.")
    if unknown := [task for task in files if task not in spec.tasks]:
        raise ValueError(
            f"`calibrate` must have rows of the model's tasks, {', '.join(spec.tasks)}, got --{unknown[0]}_data. "
            "Leave it out."
        )
    spec = set_by_hand(spec, by_hand)
    examples = {task: load_half(TASKS[task], path) for task, path in files.items()}
    model, tokenizer = load_model(folder, spec)
    with console.status("fitting"):
        fitted, left_out = calibrate(model, tokenizer, examples)
    if any(left_out.values()):
        counts = ", ".join(f"{name} {count:,}" for name, count in left_out.items() if count)
        console.print(f"left out as too long: {counts}", highlight=False)
    fitted.save(folder)
    print_fit(console, fitted)
    return OK


def set_by_hand(spec: ModelSpec, by_hand: Mapping[str, Any]) -> ModelSpec:
    """Put what the options say in the place of what the spec has.

    Raises:
      ValueError: if the model has no such thing.
    """
    for task, options in by_hand.items():
        given = [field.name for field in dataclasses.fields(options) if getattr(options, field.name) is not None]
        if not given:
            continue
        require(
            task in spec.tasks,
            f"`--{given[0]}` must be of a model with the task {task}",
            ", ".join(spec.tasks),
            "Leave it out.",
        )
        spec = TASKS[task].set_by_hand(spec, options)
    return spec


def load_half(task: Task, path: str) -> Sequence[Any]:
    """Read the half of a file that calibration is fitted on: of a task whose rows are held out, of those.

    Raises:
      ValueError: if it is malformed, or has no row.
      OSError: if it cannot be read.
    """
    rows = task.read_gold(path)
    if task.held_out is not None:
        rows = split_held_out(rows, task.held_out)[1]
    half = halve_examples(rows)[0]
    require(
        bool(half),
        f"`--{task.name}_data` must have rows to fit on"
        + (", and a fifth of them is held out for it" if task.held_out is not None else ""),
        path,
        "Check the file, or give more rows.",
    )
    return half


def print_fit(console: Console, spec: ModelSpec) -> None:
    """Say what the spec holds now."""
    for task in spec.tasks:
        for line in TASKS[task].describe_fit(spec):
            console.print(line, highlight=False)
    for name, calibration in spec.calibration.items():
        prior = f", bias {list(calibration.bias)}" if calibration.bias else ""
        console.print(f"{name}: temperature {calibration.temperature}{prior}", highlight=False)
