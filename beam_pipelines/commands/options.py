"""The options of an annotation job, made from the configuration and the registries, and how they become one."""

import argparse
import dataclasses
from collections.abc import Iterable
from typing import Any

from klue_beam.beam_pipelines.commands.values import add_fields, number, whole_number
from klue_beam.schemas.config import DEFAULT_MODEL, AnnotateConfig, ModelConfig, ReadConfig, require
from klue_beam.schemas.registry import CLEANERS, TASKS
from klue_beam.transforms.clean.steps import parse_steps

READ_OPTIONS = ("input_format", "text_unit", "text_field", "id_field", "keep_metadata", "max_record_bytes")
COMMIT_OPTIONS = ("shard_bytes", "batch_bytes")
"""Of ReadConfig: what a document is, and how much is done at a time."""


def parse_tasks(text: str) -> tuple[str, ...]:
    """Read a list of tasks, in any order, into the order of TASKS.

    Raises:
      ValueError: on a name that is no task, on none, and on a task without those that it needs.

    >>> parse_tasks("ner, tc")
    ('tc', 'ner')
    """
    asked = {name.strip() for name in text.split(",") if name.strip()}
    require(
        bool(asked) and asked <= set(TASKS),
        f"`--tasks` must be a list out of {','.join(TASKS)}",
        text,
        "Name at least one of them, separated by commas.",
    )
    for name in asked:
        missing = [needed for needed in TASKS[name].needs if needed not in asked]
        require(
            not missing,
            f"`--tasks` with {name} must have {', '.join(missing)} too, whose column it reads",
            text,
            f"Add {','.join(missing)}.",
        )
    return tuple(task for task in TASKS if task in asked)


def describe_tasks() -> str:
    """Tell the tasks for a help text: what each finds, and what it needs."""
    needs = {name: f", needs {','.join(task.needs)}" if task.needs else "" for name, task in TASKS.items()}
    return ", ".join(f"{name} ({task.title}{needs[name]})" for name, task in TASKS.items())


def add_model_arguments(group: Any, model_help: str = "") -> None:
    """Add the options that name models and say how they compute, those that tasks bring of their own too.

    Args:
      group: a parser, or a group of one.
      model_help: added to the help of `--model`.
    """
    group.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME",
        help=f"an embedded model by name, or the folder of one that `klue-beam train` made{model_help}",
    )
    for name, task in TASKS.items():
        group.add_argument(
            f"--{name}_model",
            metavar="NAME",
            help=f"another model for {name} ({task.title}): a local folder or a hub name",
        )
    add_fields(group, ModelConfig)
    for task in TASKS.values():
        for option in task.options:
            group.add_argument(
                f"--{option.name}",
                type=_TYPES[type(option.default)],
                default=option.default,
                choices=option.choices or None,
                metavar=None if option.choices else option.metavar,
                help=option.help,
            )


_TYPES = {int: whole_number, float: number, str: str}


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what decides the rows of a dataset: inputs, output and configuration."""
    group = parser.add_argument_group("what is read")
    group.add_argument(
        "--input",
        nargs="+",
        action="extend",
        metavar="PATH",
        help="files, folders or globs ('dump/*.jsonl.xz'); may be given several times. .gz .bz2 .xz .zst are read as "
        "they are",
    )
    told = "what the suffix tells: x.jsonl.xz is jsonl, x.txt is text"
    add_fields(group, ReadConfig, READ_OPTIONS, left_out={"input_format": told})
    group.add_argument(
        "--clean",
        nargs="+",
        action="extend",
        default=[],
        metavar="STEP",
        help="what cleans texts before they are annotated, in this order: NAME, or NAME:option=value, separated by "
        f"commas or spaces, out of {', '.join(CLEANERS)}. What is dropped is counted and told with its reason",
    )
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--output",
        metavar="DIR",
        help="the dataset's folder. The same command into the same folder resumes; more inputs are added to it; "
        "another configuration is refused",
    )
    group.add_argument(
        "--tasks",
        metavar="LIST",
        help=f"which tasks to run, separated by commas: {describe_tasks()}. A task that is left out costs nothing and "
        "has no column (default: all that the model has, and those with a model of their own)",
    )
    add_fields(group, ReadConfig, COMMIT_OPTIONS)
    group = parser.add_argument_group("how it is annotated")
    add_fields(group, AnnotateConfig)
    add_model_arguments(group)


def to_model_config(options: Any, tasks: Iterable[str]) -> ModelConfig:
    """Give the model configuration that the options ask for.

    Args:
      options: a namespace with the attributes that `add_model_arguments` names.
      tasks: the tasks to run.

    Raises:
      ValueError: if an option has a value that it cannot have.
    """
    tasks = tuple(tasks)
    fields = {field.name for field in dataclasses.fields(ModelConfig)}
    brought = [(name, option.name) for name, task in TASKS.items() for option in task.options]
    return ModelConfig(
        tasks=tasks,
        models={task: getattr(options, f"{task}_model") or options.model for task in tasks},
        precision=options.precision,
        token_budget=options.token_budget,
        task_options={name: getattr(options, name) for task, name in brought if name not in fields and task in tasks},
        **{name: getattr(options, name) for _, name in brought if name in fields},
    )


def to_config(options: Any, input_format: str, tasks: Iterable[str]) -> AnnotateConfig:
    """Give the configuration that the options ask for, model hashes and splitter version not yet filled in.

    Args:
      options: a namespace with the attributes that `add_dataset_arguments` names.
      input_format: a name out of FORMATS.
      tasks: the tasks to run.

    Raises:
      ValueError: if an option has a value that it cannot have.
    """
    tasks = tuple(tasks)
    for task in TASKS:
        require(
            getattr(options, f"{task}_model") is None or task in tasks,
            f"`--{task}_model` must go with the task {task}",
            ",".join(tasks),
            f"Add {task} to --tasks, or leave the option out.",
        )
    read = {name: getattr(options, name) for name in (*READ_OPTIONS, *COMMIT_OPTIONS)}
    return AnnotateConfig(
        read=ReadConfig(**{**read, "input_format": input_format}),
        clean=parse_steps(options.clean),
        keep_dropped=options.keep_dropped,
        splitter=options.splitter,
        model=to_model_config(options, tasks),
    )
