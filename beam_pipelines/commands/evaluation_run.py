"""A run of `klue-beam evaluate`, from its checked options to the scores."""

import argparse
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from klue_beam.beam_pipelines.commands.base import OK
from klue_beam.beam_pipelines.commands.options import to_model_config
from klue_beam.beam_pipelines.graphs.gold import run_annotation, run_answers
from klue_beam.beam_pipelines.views.consoles import open_console
from klue_beam.beam_pipelines.views.report import draw_report
from klue_beam.schemas.config import ModelConfig, require
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.checkpoints.folders import resolve_folder
from klue_beam.transforms.models.engine.classifiers import find_checkpoint, read_labels
from klue_beam.transforms.models.engine.resolving import resolve_models
from klue_beam.transforms.tasks.base import Task
from klue_beam.transforms.tasks.gold import AnyExample, halve_examples, split_held_out
from klue_beam.transforms.tasks.output import needs_of, order_tasks
from klue_beam.transforms.tasks.report import Report


def run(options: argparse.Namespace, flags: Sequence[str], note: str) -> int:
    """Score a model and draw what it reaches.

    Args:
      options: of the command, checked.
      flags: those that are Beam's.
      note: which rows of the file are scored, in words.

    Returns:
      The exit code.

    Raises:
      ValueError: if model and file do not go together.
      OSError: if a file cannot be read or written.
      RuntimeError: if the pipeline failed.
    """
    out, err = open_console(), open_console(stderr=True)
    task: Task = TASKS[options.task]
    config = resolve_models(to_model_config(options, (task.name,)))
    model = config.models[task.name]
    if resolve_folder(model) is None:
        task.check_scorable(lambda: read_labels(task.name, find_checkpoint(model)), f"{task.name}_model")
    examples = choose_rows(task, options.rows, task.read_gold(options.data))
    require(bool(examples), "The file must hold a row to score", options.data, "Check --data and --rows.")
    work = tempfile.TemporaryDirectory(dir=options.work_dir)
    with work as folder, err.status(f"Annotating {len(examples):,} rows"):
        report = evaluate(options, flags, config, task, examples, folder, err)
    draw_report(out, task, f"{model} on {options.data}", _describe_rows(task, options.rows, note), report)
    if options.json:
        fields = {"task": task.name, "data": options.data, "rows": report.rows, "model": model}
        text = json.dumps(fields | scores_of(report), ensure_ascii=False, indent=1)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    return OK


def scores_of(report: Report) -> dict[str, Any]:
    """Give the scores that the JSON has: metrics, details, and the task's further tables; null for no number."""
    scores: dict[str, Any] = {"metrics": _or_null(report.metrics), "details": _or_null(report.details)}
    return scores | {table.name: [_or_null(row._asdict()) for row in table.rows] for table in report.further}


def _or_null(values: Mapping[str, Any]) -> dict[str, Any]:
    """Put null in the place of NaN, which JSON does not have: nothing was there to measure."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def choose_rows(task: Task, rows: str, examples: Sequence[AnyExample]) -> Sequence[AnyExample]:
    """Take the examples that `--rows` names."""
    if rows == "all":
        return examples
    if task.held_out is not None:
        examples = split_held_out(examples, task.held_out)[1]
    return examples if rows == "held_out" else halve_examples(examples)[rows == "second_half"]


def _describe_rows(task: Task, rows: str, note: str) -> str:
    """Say which rows were scored, and where `train` learns only some of a file's, which."""
    if task.held_out is None:
        return note
    if rows == "all":
        return f"{note}; a model trained on this file has learnt most of them (`--rows held_out`: the others)"
    return task.held_out.note if rows == "held_out" else f"{note}; held out is {task.held_out.note}"


def evaluate(
    options: argparse.Namespace,
    flags: Sequence[str],
    config: ModelConfig,
    task: Task,
    examples: Sequence[Any],
    folder: str,
    err: Console,
) -> Report:
    """Annotate the examples' sentences and score what comes out.

    Args:
      options: of the command.
      flags: those that are Beam's.
      config: what `resolve_models` gave for the task.
      task: of the rows.
      examples: gold rows of the task.
      folder: where the pipeline may leave its results.
      err: told of what is left out.
    """
    prefix = os.path.join(folder, "rows")
    if not task.asks_gold:
        everything = resolve_models(to_model_config(options, with_needs(task))) if task.needs else config
        return task.score(examples, run_annotation(flags, everything, examples, prefix, options.threads))
    answers = run_answers(flags, config, task.name, examples, os.path.join(folder, "answers"), options.threads)
    try:
        everything = resolve_models(to_model_config(options, with_needs(task)))
    except ValueError as error:
        err.print(Text(f"The end-to-end score is left out: {error}"), soft_wrap=True)
        return task.score_answers(examples, answers, None)
    return task.score_answers(examples, answers, run_annotation(flags, everything, examples, prefix, options.threads))


def with_needs(task: Task) -> tuple[str, ...]:
    """Name a task and all that it needs, in the order of the registry."""
    names = {task.name}
    while needed := needs_of(names):
        names |= needed
    return order_tasks(names)
