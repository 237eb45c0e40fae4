"""Which models a configuration means: what is refused before a run. Embedded models are not loaded for it."""

import dataclasses

from klue_beam.schemas.config import DEFAULT_MODEL, RE_MARKERS, ModelConfig, require
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.checkpoints.folders import hash_folder, resolve_folder
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.tasks.base import HeadCheckpoint
from klue_beam.transforms.tasks.output import order_tasks


def resolve_models(config: ModelConfig) -> ModelConfig:
    """Find and check the models of a configuration, before anything runs, and note their hashes.

    Returns:
      The configuration with models and hashes of its tasks only.

    Raises:
      ValueError: if a model cannot be found or cannot serve its task; the message names the remedy.
    """
    require(
        config.re_markers in RE_MARKERS,
        f"`re_markers` must be one of {', '.join(RE_MARKERS)}",
        config.re_markers,
        "Choose the convention that the relation checkpoint was trained with.",
    )
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
