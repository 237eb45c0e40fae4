"""What a training run begins with: its model, its data, its teacher."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from transformers import AutoTokenizer

from klue_beam.beam_pipelines.commands.inputs import format_of
from klue_beam.beam_pipelines.commands.train import SCRATCH, SCRATCH_LAYERS, TEXTS
from klue_beam.schemas.config import ReadConfig, require
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.models.checkpoints.checkpoint import check_embeddings, load_encoder, load_model
from klue_beam.transforms.models.checkpoints.folders import hash_folder, resolve_folder
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.base import Task
from klue_beam.transforms.tasks.gold import split_held_out
from klue_beam.transforms.tasks.learning import LearningRun, Objective
from klue_beam.transforms.training.checkpoints import STATE_FILE, Teacher
from klue_beam.transforms.training.distillation import TextObjective, check_teacher
from klue_beam.transforms.training.scratch import build_random_encoder, start_from_scratch
from klue_beam.transforms.training.student import keep_layers, keep_units
from klue_beam.transforms.training.texts import read_texts, split_texts
from klue_beam.transforms.training.vocabulary import cut_vocabulary


def start_model(
    options: argparse.Namespace, tasks: tuple[str, ...], task_options: Mapping[str, Any]
) -> tuple[MultiTaskModel, TextTokenizer]:
    """Give the model that a run begins with.

    Args:
      options: of `klue-beam train`. A `base` that is a multi-task model with the tasks goes on with all its heads; any
        other encoder gets new ones.
      tasks: the tasks to learn.
      task_options: by task, its `train_options`.

    Raises:
      ValueError: if there is no such base, or it cannot be cut to so many layers.
    """
    name = options.name or Path(options.output).resolve().name
    folder = resolve_folder(options.base)
    if folder is not None and set(tasks) <= set(ModelSpec.load(folder).tasks):
        model, tokenizer = load_model(folder)
        asked = [TASKS[task].asked_depth(task_options.get(task)) for task in model.spec.tasks]
        depth = next((depth for depth in asked if depth is not None), None)
        if options.layers is not None or depth is not None:
            layers = model.encoder.config.num_hidden_layers if options.layers is None else options.layers
            model = keep_layers(model, layers, min(model.depth, layers) if depth is None else depth)
        if options.intermediate_size is not None:
            model = keep_units(model, options.intermediate_size)
        fresh = model.spec.without_fit()
        model.spec = dataclasses.replace(fresh, name=name, embeddings_of=options.embeddings_of)
        if options.vocabulary_texts:
            texts = _read_documents(options.vocabulary_texts)
            model.encoder, tokenizer = cut_vocabulary(model.encoder, tokenizer, texts)
        check_embeddings(model)
        return model, tokenizer
    of = {task: TASKS[task].start_spec(tasks, task_options.get(task)) for task in TASKS}
    spec = ModelSpec(name=name, tasks=tasks, of=of, embeddings_of=options.embeddings_of)
    encoder, tokenizer = _start_encoder(options)
    model = MultiTaskModel(spec, encoder)
    model.start_heads()
    check_embeddings(model)
    return model, tokenizer


def _start_encoder(options: argparse.Namespace) -> tuple[Any, TextTokenizer]:
    """Give an encoder and its tokenizer: a base's, with the vocabulary cut on request, or new ones."""
    require(
        options.intermediate_size is None,
        "`--intermediate_size` must be given with a base that is a model folder with the tasks",
        options.base,
        "Train that first, then a student of it.",
    )
    if options.base == SCRATCH:
        return _start_from_scratch(options)
    require(
        options.layers is None,
        "`--layers` must be given with a base that is a model folder with the tasks, or with `scratch`",
        options.base,
        "Train that first, then a student of it.",
    )
    encoder, tokenizer = load_encoder(options.base)
    if options.vocabulary_texts:
        return cut_vocabulary(encoder, tokenizer, _read_documents(options.vocabulary_texts))
    return encoder, tokenizer


def _read_documents(inputs: Sequence[str]) -> list[str]:
    """List the texts of files, in the format that their suffixes tell; one a line where they tell none."""
    configs = [(path, ReadConfig(input_format=format_of(path) or "text")) for path in inputs]
    return [text for path, config in configs for text in read_texts([path], config)]


def _start_from_scratch(options: argparse.Namespace) -> tuple[Any, TextTokenizer]:
    """Train a tokenizer, or take the one that an interrupted run left, and build random weights for it."""
    require(
        bool(options.vocabulary_texts),
        "`--base scratch` must have texts to make a vocabulary of (`--vocabulary_texts`)",
        "none",
        "Give files of the kind that the model is for.",
    )
    folder = Path(options.output)
    sizes = {"layers": options.layers, "hidden_size": options.hidden_size, "heads": options.heads, "seed": options.seed}
    if options.layers is None:
        sizes["layers"] = SCRATCH_LAYERS
    if (folder / STATE_FILE).is_file():
        tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(folder))
        return build_random_encoder(tokenizer, **sizes), tokenizer
    texts = _read_documents(options.vocabulary_texts)
    encoder, tokenizer = start_from_scratch(texts, vocab_size=options.vocab_size, **sizes)
    tokenizer.tokenizer.save_pretrained(folder)
    return encoder, tokenizer


def load_teacher(options: argparse.Namespace, student: MultiTaskModel, tokenizer: TextTokenizer) -> Teacher | None:
    """Load the teacher, if one is asked for.

    Raises:
      ValueError: if it is no multi-task model, or the student cannot learn from it.
    """
    if options.teacher is None:
        return None
    folder = resolve_folder(options.teacher)
    if folder is None:
        raise ValueError(
            f"`--teacher` must be a model folder that `klue-beam train` wrote, got {options.teacher!r}. Check the path."
        )
    teacher, its_tokenizer = load_model(folder)
    check_teacher(teacher, its_tokenizer, student, tokenizer)
    return Teacher(teacher, hash_folder(folder), options.teacher_weight)


def load_objectives(
    tasks: Sequence[str],
    data: Mapping[str, str],
    model: MultiTaskModel,
    extra: nn.ModuleDict,
    options: Mapping[str, Any],
    folder: Path,
    seed: int,
) -> list[Objective]:
    """Read the data sets of a run, but for texts without labels.

    Args:
      tasks: the tasks to learn.
      data: file by name.
      model: gives label sets and sizes.
      extra: heads that serve training only are added to it.
      options: by task, its `train_options`.
      folder: the run's folder.
      seed: of what is drawn.
    """
    objectives: list[Objective] = []
    for name in tasks:
        task: Task = TASKS[name]
        run = LearningRun(model.spec.of, model.encoder.config.hidden_size, extra, folder, options.get(name), seed)
        objectives += task.objectives({known: data[known] for known in task.data if known in data}, run)
    return objectives


def load_texts(path: str, tasks: Sequence[str], teacher: MultiTaskModel, tokenizer: TextTokenizer) -> TextObjective:
    """Read documents without labels, of which a teacher says something.

    Args:
      path: a file or a glob.
      tasks: the tasks to learn.
      teacher, tokenizer: what is asked.
    """
    return TextObjective(TEXTS, split_texts(_read_documents([path])), teacher, tokenizer, tasks)


def load_dev_rows(files: Mapping[str, str], n_rows: int, seed: int) -> dict[str, list[Any]]:
    """Read rows to score a model in training on; of KLUE-DP those that training leaves out.

    Args:
      files: file by task.
      n_rows: at most so many of each, chosen by the seed.
      seed: of the choice.
    """
    chosen = {}
    for task, path in files.items():
        rows = list(TASKS[task].read_gold(path))
        held_out = TASKS[task].held_out
        rows = split_held_out(rows, held_out)[1] if held_out is not None else rows
        order = np.sort(np.random.default_rng(seed).permutation(len(rows))[:n_rows])
        chosen[task] = [rows[i] for i in order]
    return chosen
