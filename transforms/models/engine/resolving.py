"""Which models a configuration means: what is refused before a run. Embedded models are not loaded for it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from klue_beam.schemas.config import DEFAULT_MODEL, ModelConfig, require
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.checkpoints.folders import hash_folder, resolve_folder
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.tasks.base import HeadCheckpoint
from klue_beam.transforms.tasks.output import order_tasks


def read_task_options(config: ModelConfig) -> Mapping[str, Any]:
    """Give the options of tasks that a configuration has, by name: of klue-beam's tasks, and of those that it asks for.

    Raises:
      ValueError: if one has a value that it cannot have.
    """
    given = {**dataclasses.asdict(config), **config.task_options}
    options = [option for task in dict.fromkeys((*TASKS.own, *config.tasks)) for option in TASKS[task].options]
    for option in options:
        value = given.setdefault(option.name, option.default)
        rule = f"`{option.name}` must be one of {', '.join(map(str, option.choices))}"
        require(not option.choices or value in option.choices, rule, value, "Choose one of them.")
        rule = f"`{option.name}` must be at least {option.least}"
        require(option.least is None or value >= option.least, rule, value, "Leave it out for the default.")
    return {option.name: given[option.name] for option in options}


def resolve_models(config: ModelConfig) -> ModelConfig:
    """Find and check the models of a configuration, before anything runs, and note their hashes.

    Returns:
      The configuration with models and hashes of its tasks only.

    Raises:
      ValueError: if a model cannot be found or cannot serve its task; the message names the remedy.
    """
    read_task_options(config)
    tasks = order_tasks(config.tasks)
    models: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for task in tasks:
        name = config.models.get(task, DEFAULT_MODEL)
        folder = resolve_folder(name)
        if folder is not None:
            spec = ModelSpec.load(folder)
            require(
                task in spec.tasks,
                f"`{task}_model` must be a model trained for {task}",
                name,
                f"It has {', '.join(spec.tasks)}: give --{task}_model another, or leave {task} out of --tasks.",
            )
        else:
            # transformers takes seconds to import, and an embedded model is checked without it.
            from klue_beam.transforms.models.engine.classifiers import find_checkpoint, load_checkpoint  # noqa: PLC0415

            folder = find_checkpoint(name)
            checkpoint = TASKS[task].checkpoint
            if isinstance(checkpoint, HeadCheckpoint):
                checkpoint.load(folder)
            else:
                load_checkpoint(task, folder)
        models[task], hashes[task] = name, hash_folder(folder)
    return dataclasses.replace(config, tasks=tasks, models=models, model_sha256=hashes)
