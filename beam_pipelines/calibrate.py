"""`klue-beam calibrate`: fit a trained model's temperatures and priors on labelled rows that training never saw."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console

from schemas.labels import NO_RELATION, TASKS
from transforms.formats.klue import READERS, halve_examples, read_dp, read_ner, split_dependency_examples
from transforms.models.checkpoint import load_model
from transforms.models.spec import ModelSpec
from transforms.models.training.calibration import calibrate, fit_entity_scores
from transforms.models.training.objectives import (
    DependencyObjective,
    EntityObjective,
    Objective,
    RelationObjective,
    TopicObjective,
)

DESCRIPTION: Final = (
    "Fit what turns a model's scores into probabilities: a temperature for each task, the shares of the topics and the "
    "relations, how readily no_relation is chosen, and the scores that entities must reach. Fitted on one fixed half "
    "of each file (`evaluate --rows` scores the other); of KLUE-DP on half of the fifth that `train` leaves out. "
    "Writes the model's klue_beam.json."
)


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="klue-beam calibrate", description=DESCRIPTION)
    parser.add_argument("--model", required=True, metavar="FOLDER", help="a model folder that `klue-beam train` wrote")
    for task in TASKS:
        parser.add_argument(f"--{task}_data", metavar="FILE", help=f"labelled rows of {task} in KLUE's format")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of this process")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run `klue-beam calibrate`; the exit code is 0 when done, 2 for a wrong call."""
    args = build_parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        files = {task: getattr(args, f"{task}_data") for task in TASKS if getattr(args, f"{task}_data")}
        if not files:
            raise ValueError("`calibrate` must have labelled rows, got none. Give --tc_data, --ner_data, … .")
        torch.set_num_threads(args.threads)
        folder = Path(args.model)
        spec = ModelSpec.load(folder) if folder.is_dir() else None
        if spec is None:
            raise ValueError(f"`--model` must be a folder that `klue-beam train` wrote, got {args.model}.")
        objectives = [load_half(task, path, spec) for task, path in files.items()]
        model, tokenizer = load_model(folder)
        with console.status("fitting"):
            fitted = calibrate(
                model,
                tokenizer,
                [(objective, np.arange(len(objective.texts))) for objective in objectives],
                spec.relations,
                NO_RELATION,
            )
    except (OSError, ValueError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 2
    model.spec = dataclasses.replace(spec, calibration={**spec.calibration, **fitted})
    if "ner" in files:
        score, inside, worth = fit_entity_scores(model, tokenizer, halve_examples(read_ner(files["ner"]))[0])
        fitted |= {"entity": worth} if worth is not None else {}
        model.spec = dataclasses.replace(model.spec, min_entity_score=score, min_inside_score=inside)
        model.spec = dataclasses.replace(model.spec, calibration={**model.spec.calibration, **fitted})
        console.print(f"entities: a score of {score} at least, {inside} inside a word", highlight=False)
    model.spec.save(folder)
    for name, calibration in fitted.items():
        prior = f", bias {list(calibration.bias)}" if calibration.bias else ""
        console.print(f"{name}: temperature {calibration.temperature}{prior}", highlight=False)
    return 0


def load_half(task: str, path: str, spec: ModelSpec) -> Objective:
    """Read the half of a file that calibration is fitted on.

    Args:
      task: one of TASKS.
      path: a file in KLUE's format.
      spec: gives the label sets.
    """
    if task == "dp":
        return DependencyObjective("dp", halve_examples(split_dependency_examples(read_dp(path))[1])[0], spec.deprels)
    examples: list[Any] = halve_examples(list(READERS[task](path)))[0]
    if task == "tc":
        return TopicObjective("tc", examples, spec.topics)
    if task == "ner":
        return EntityObjective("ner", examples, spec.ner_types)
    return RelationObjective("re", examples, spec.relations, spec.mention_types)
