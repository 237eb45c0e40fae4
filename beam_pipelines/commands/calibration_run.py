"""A run of `klue-beam calibrate`, from its checked options to the model's spec."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from klue_beam.beam_pipelines.commands.base import OK
from klue_beam.schemas.config import require
from klue_beam.schemas.labels import NO_RELATION
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.models.checkpoints.checkpoint import load_model
from klue_beam.transforms.models.checkpoints.multitask import MultiTaskModel
from klue_beam.transforms.models.checkpoints.spec import ModelSpec
from klue_beam.transforms.models.text.batching import count_max_pieces
from klue_beam.transforms.models.text.pieces import TextTokenizer
from klue_beam.transforms.tasks.base import Calibration
from klue_beam.transforms.tasks.dependency.head_final import are_head_final
from klue_beam.transforms.tasks.gold import halve_examples, split_held_out
from klue_beam.transforms.training.calibration import calibrate
from klue_beam.transforms.training.entity_fit import fit_entities
from klue_beam.transforms.training.objectives import (
    DependencyObjective,
    EntityObjective,
    Objective,
    RelationObjective,
    TopicObjective,
)


def run(args: argparse.Namespace, files: Mapping[str, str]) -> int:
    """Fit a model and write its spec.

    Args:
      args: of the command, checked.
      files: labelled rows by task.

    Returns:
      The exit code.

    Raises:
      ValueError: if model and rows do not go together.
      OSError: if a file cannot be read or written.
    """
    console = Console(stderr=True)
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
    spec = set_by_hand(spec, args)
    objectives = [load_half(task, path, spec) for task, path in files.items()]
    spec.save(folder)
    model, tokenizer = load_model(folder)
    rows = [(objective, list_short_texts(objective.texts, model, tokenizer)) for objective in objectives]
    left_out = {objective.name: len(objective.texts) - len(index) for objective, index in rows}
    if any(left_out.values()):
        counts = ", ".join(f"{name} {count:,}" for name, count in left_out.items() if count)
        console.print(f"left out as too long: {counts}", highlight=False)
    with console.status("fitting"):
        fitted = fit(model, tokenizer, rows, files.get("ner"))
    fitted.save(folder)
    print_fit(console, fitted)
    return OK


def set_by_hand(spec: ModelSpec, args: argparse.Namespace) -> ModelSpec:
    """Put what the options say in the place of what the spec has.

    Raises:
      ValueError: if the model has no such thing, or the value is out of range.
    """
    if args.mention_bias is not None or args.min_mention_score is not None:
        require(
            bool(spec.of["ner"].mention_types),
            "`--mention_bias` and `--min_mention_score` must be of a model with `mention_types`",
            spec.of["ner"].mention_types,
            "Leave them out.",
        )
    if args.mention_bias is not None:
        bias = (args.mention_bias, *[0.0] * (2 * len(spec.of["ner"].mention_types)))
        spec = dataclasses.replace(spec, calibration={**spec.calibration, "mention": Calibration(1.0, bias)})
    if args.min_mention_score is not None:
        score = args.min_mention_score
        require(0 <= score < 1, "`--min_mention_score` must be from 0 to below 1", score, "Leave it out, or give 0.65.")
        spec = spec.change("ner", min_mention_score=score)
    if args.pair_context is not None:
        tokens = args.pair_context
        require(
            tokens >= 0, "`--pair_context` must be 0 (the whole sentence) or more", tokens, "Leave it out, or give 16."
        )
        spec = spec.change("re", pair_context=tokens)
    return spec


def fit(
    model: MultiTaskModel, tokenizer: TextTokenizer, rows: Sequence[tuple[Objective, Ints]], ner_data: str | None
) -> ModelSpec:
    """Fit all that rows can tell, labelled ones with the numbers of those to fit on; gives the model's spec with it."""
    fitted = calibrate(model, tokenizer, rows, model.spec.of["re"].relations, NO_RELATION)
    head_final = model.spec.of["dp"].head_final
    for objective, _ in rows:
        if isinstance(objective, DependencyObjective):
            trees = [tree.heads[None] for tree in objective.trees]
            head_final = all(are_head_final(heads, heads >= 0).all() for heads in trees)
    spec = model.spec.change("dp", head_final=head_final)
    model.spec = dataclasses.replace(spec, calibration={**spec.calibration, **fitted})
    if ner_data is None:
        return model.spec
    return fit_entities(model, tokenizer, halve_examples(TASKS["ner"].read_gold(ner_data))[0])


def list_short_texts(texts: Sequence[str], model: MultiTaskModel, tokenizer: TextTokenizer) -> Ints:
    """List the numbers of the texts that the model reads whole; of longer ones it would see windows."""
    return np.flatnonzero(tokenizer.encode(texts).pieces.lengths <= count_max_pieces(model.encoder, tokenizer))


def print_fit(console: Console, spec: ModelSpec) -> None:
    """Say what the spec holds now."""
    if "ner" in spec.tasks:
        entities = spec.of["ner"]
        least = f"{entities.min_entity_score} at least, {entities.min_inside_score} inside a word"
        console.print(f"entities: a score of {least}", highlight=False)
    if spec.of["dp"].head_final:
        console.print("trees: head-final, without crossing arcs", highlight=False)
    if spec.of["ner"].tag_transitions:
        console.print("tags: with transitions between them", highlight=False)
    for name, calibration in spec.calibration.items():
        prior = f", bias {list(calibration.bias)}" if calibration.bias else ""
        console.print(f"{name}: temperature {calibration.temperature}{prior}", highlight=False)


def load_half(task: str, path: str, spec: ModelSpec) -> Objective:
    """Read the half of a file that calibration is fitted on.

    Args:
      task: one of TASKS.
      path: a file in KLUE's format.
      spec: gives the label sets.
    """
    rows, held_out = list(TASKS[task].read_gold(path)), TASKS[task].held_out
    examples: list[Any] = halve_examples(split_held_out(rows, held_out)[1] if held_out is not None else rows)[0]
    if task == "dp":
        return DependencyObjective("dp", examples, spec.of["dp"].deprels)
    if task == "tc":
        return TopicObjective("tc", examples, spec.of["tc"].topics)
    if task == "ner":
        return EntityObjective("ner", examples, spec.of["ner"].ner_types)
    return RelationObjective("re", examples, spec.of["re"].relations, spec.of["ner"].mention_types)
