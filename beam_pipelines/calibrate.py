"""`klue-beam calibrate`: fit a trained model's temperatures and priors on labelled rows that training never saw."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape

from schemas.labels import NO_RELATION, TASKS
from transforms.codepoints import Ints
from transforms.config import require
from transforms.formats.klue import READERS, halve_examples, read_dp, read_ner, split_dependency_examples
from transforms.models.batching import count_max_pieces
from transforms.models.checkpoint import load_model
from transforms.models.multitask import MultiTaskModel
from transforms.models.pieces import TextTokenizer
from transforms.models.spec import Calibration, ModelSpec
from transforms.models.training.calibration import calibrate
from transforms.models.training.entity_fit import fit_entities
from transforms.models.training.objectives import (
    DependencyObjective,
    EntityObjective,
    Objective,
    RelationObjective,
    TopicObjective,
)
from transforms.tasks.head_final import are_head_final

DESCRIPTION: Final = (
    "Fit what turns a model's scores into probabilities and labels: a temperature for each task, the shares of the "
    "topics and the relations, how readily no_relation is chosen, which tags of characters like to follow which, the "
    "scores that entities must reach, how often one of a score is right, and whether trees are head-final. Fitted on "
    "one fixed half of each file (`evaluate --rows` scores the other); of KLUE-DP on half of the fifth that `train` "
    "leaves out. What such rows cannot tell is set by hand. Writes the model's klue_beam.json."
)


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="klue-beam calibrate", description=DESCRIPTION)
    parser.add_argument("--model", required=True, metavar="FOLDER", help="a model folder that `klue-beam train` wrote")
    for task in TASKS:
        parser.add_argument(f"--{task}_data", metavar="FILE", help=f"labelled rows of {task} in KLUE's format")
    parser.add_argument(
        "--mention_bias",
        type=float,
        metavar="LOGIT",
        help="of titles, works and numerals, which KLUE-RE marks here and there: added to the score of their absence "
        "(negative finds more of them)",
    )
    parser.add_argument("--min_mention_score", type=float, metavar="SCORE", help="what one of them must score")
    parser.add_argument(
        "--pair_context", type=int, metavar="TOKENS", help="that a pair of entities sees on either side"
    )
    parser.add_argument(
        "--even_topics", action="store_true", help="fit topics for texts of which each topic has a like share"
    )
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
            fitted = fit(model, tokenizer, rows, files.get("ner"), even_topics=args.even_topics)
    except (OSError, ValueError) as error:
        console.print(f"[red]{escape(str(error))}[/red]", highlight=False)
        return 2
    fitted.save(folder)
    print_fit(console, fitted)
    return 0


def set_by_hand(spec: ModelSpec, args: argparse.Namespace) -> ModelSpec:
    """Put what the options say in the place of what the spec has.

    Raises:
      ValueError: if the model has no such thing, or the value is out of range.
    """
    if args.mention_bias is not None or args.min_mention_score is not None:
        require(
            bool(spec.mention_types),
            "`--mention_bias` and `--min_mention_score` must be of a model with `mention_types`",
            spec.mention_types,
            "Leave them out.",
        )
    if args.mention_bias is not None:
        bias = (args.mention_bias, *[0.0] * (2 * len(spec.mention_types)))
        spec = dataclasses.replace(spec, calibration={**spec.calibration, "mention": Calibration(1.0, bias)})
    if args.min_mention_score is not None:
        score = args.min_mention_score
        require(0 <= score < 1, "`--min_mention_score` must be from 0 to below 1", score, "Leave it out, or give 0.65.")
        spec = dataclasses.replace(spec, min_mention_score=score)
    if args.pair_context is not None:
        tokens = args.pair_context
        require(
            tokens >= 0, "`--pair_context` must be 0 (the whole sentence) or more", tokens, "Leave it out, or give 16."
        )
        spec = dataclasses.replace(spec, pair_context=tokens)
    return spec


def fit(
    model: MultiTaskModel,
    tokenizer: TextTokenizer,
    rows: Sequence[tuple[Objective, Ints]],
    ner_data: str | None,
    *,
    even_topics: bool = False,
) -> ModelSpec:
    """Fit all that rows can tell, labelled ones with the numbers of those to fit on; gives the model's spec with it."""
    fitted = calibrate(model, tokenizer, rows, model.spec.relations, NO_RELATION, even_topics=even_topics)
    head_final = model.spec.head_final
    for objective, _ in rows:
        if isinstance(objective, DependencyObjective):
            trees = [tree.heads[None] for tree in objective.trees]
            head_final = all(are_head_final(heads, heads >= 0).all() for heads in trees)
    model.spec = dataclasses.replace(
        model.spec, head_final=head_final, calibration={**model.spec.calibration, **fitted}
    )
    if ner_data is None:
        return model.spec
    return fit_entities(model, tokenizer, halve_examples(read_ner(ner_data))[0])


def list_short_texts(texts: Sequence[str], model: MultiTaskModel, tokenizer: TextTokenizer) -> Ints:
    """List the numbers of the texts that the model reads whole; of longer ones it would see windows."""
    return np.flatnonzero(tokenizer.encode(texts).pieces.lengths <= count_max_pieces(model.encoder, tokenizer))


def print_fit(console: Console, spec: ModelSpec) -> None:
    """Say what the spec holds now."""
    if "ner" in spec.tasks:
        least = f"{spec.min_entity_score} at least, {spec.min_inside_score} inside a word"
        console.print(f"entities: a score of {least}", highlight=False)
    if spec.head_final:
        console.print("trees: head-final, without crossing arcs", highlight=False)
    if spec.tag_transitions:
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
    if task == "dp":
        return DependencyObjective("dp", halve_examples(split_dependency_examples(read_dp(path))[1])[0], spec.deprels)
    examples: list[Any] = halve_examples(list(READERS[task](path)))[0]
    if task == "tc":
        return TopicObjective("tc", examples, spec.topics)
    if task == "ner":
        return EntityObjective("ner", examples, spec.ner_types)
    return RelationObjective("re", examples, spec.relations, spec.mention_types)
