"""`klue-beam train`: fine-tune one task on a Hugging Face encoder, or several tasks on one shared encoder."""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from schemas.labels import DEPRELS, NER_TYPES, RE_ONLY_TYPES, TASKS
from transforms.config import require
from transforms.formats.klue import EntityExample, read_dp, read_ner, read_re, read_tc, split_dependency_examples
from transforms.models.checkpoint import load_encoder, load_model, resolve_folder, save_model
from transforms.models.heads import DependencyHead
from transforms.models.multitask import MultiTaskModel, count_parameters
from transforms.models.pieces import TextTokenizer
from transforms.models.spec import SPEC_FILE, ModelSpec
from transforms.models.training.objectives import (
    DependencyObjective,
    EntityObjective,
    Objective,
    RelationObjective,
    TopicObjective,
    keep_around_pair,
)
from transforms.models.training.trainer import STATE_FILE, BatchPlan, Step, TrainConfig, train
from transforms.models.training.treebanks import read_head_final
from transforms.models.training.weak_entities import (
    label_weakly,
    load_entities,
    read_form_table,
    read_raw_sentences,
    save_entities,
)

WEAK_ENTITIES_FILE: Final = "weak_entities.jsonl"

DATA_NAMES: Final = {
    "tc": "KLUE-TC (ynat .json or .csv)",
    "ner": "KLUE-NER (.tsv)",
    "re": "KLUE-RE (.json or .jsonl)",
    "dp": "KLUE-DP (.tsv)",
    "ner_raw": "sentences without entity labels, labelled by ner_forms where that is sure",
    "ner_forms": "entity surface forms with fine labels and frequencies",
    "dp_aux": "a CoNLL-U treebank with another scheme: trained through a head of its own, which is not stored",
}


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="klue-beam train",
        description="Fine-tune the tasks of KLUE on one encoder and write a model folder for `annotate --model`.",
        epilog="Example: klue-beam train --task tc --data ynat.csv --base klue/bert-base --output my-topics",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--task", required=True, help=f"comma-separated, out of {','.join(TASKS)}")
    parser.add_argument(
        "--data",
        required=True,
        nargs="+",
        metavar="NAME=FILE",
        help="what to learn from; a bare FILE for a single task. Names: "
        + "; ".join(f"{name}: {what}" for name, what in DATA_NAMES.items()),
    )
    parser.add_argument(
        "--base",
        default="klue/bert-base",
        help="hub name or folder of an encoder; or a model folder, whose heads go on where it has the tasks",
    )
    parser.add_argument(
        "--output", required=True, help="the model folder; checkpoints lie in it until the run is complete"
    )
    parser.add_argument("--name", help="what provenance calls the model (default: the output folder's name)")
    parser.add_argument(
        "--epochs", nargs="*", default=[], metavar="NAME=N", help="passes over each data set; fractions are fine"
    )
    parser.add_argument(
        "--all_dp_rows", action="store_true", help="train on the held-out fifth of the KLUE-DP rows too"
    )
    for field in dataclasses.fields(TrainConfig):
        if field.name not in ("epochs", "bf16"):
            parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="bf16 is faster where the processor has it"
    )
    parser.add_argument("--pair_layers", type=int, default=2, help="top layers that run again for each entity pair")
    parser.add_argument(
        "--pair_context_chars",
        type=int,
        help="shorten KLUE-RE's rows to so many characters around the pair (default: whole rows)",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of this process")
    parser.add_argument("--stop_after", type=int, help="stop after so many steps, with a checkpoint to go on from")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run `klue-beam train`; the exit code is 0 when done, 2 for a wrong call."""
    args = build_parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        tasks = _tasks(args.task)
        data = _pairs(args.data, "data", default_name=tasks[0] if len(tasks) == 1 else None)
        epochs = _pairs(args.epochs, "epochs")
        _check_names(tasks, data, epochs)
        return _run(args, tasks, data, _numbers(epochs), console)
    except (OSError, ValueError) as error:
        console.print(f"[red]{escape(str(error))}[/red]", highlight=False)
        return 2


def _tasks(text: str) -> tuple[str, ...]:
    asked = text.split(",")
    if unknown := [task for task in asked if task not in TASKS]:
        raise ValueError(f"`--task` must be out of {', '.join(TASKS)}, got {unknown[0]!r}. Separate them by commas.")
    return tuple(task for task in TASKS if task in asked)


def _check_names(tasks: Sequence[str], data: Mapping[str, str], epochs: Mapping[str, str]) -> None:
    """Refuse data that is missing, unknown, or of no use to the tasks."""
    if unknown := [name for name in (*data, *epochs) if name not in DATA_NAMES]:
        raise ValueError(f"`--data` and `--epochs` must name {', '.join(DATA_NAMES)}, got {unknown[0]!r}. Choose one.")
    if missing := [task for task in tasks if task not in data]:
        raise ValueError(f"Each task must have its data, got none for {missing[0]}. Add `--data {missing[0]}=FILE`.")
    if idle := [name for name in data if name.split("_")[0] not in tasks]:
        raise ValueError(f"`--data` must serve a task of `--task`, got {idle[0]}. Leave it out, or add its task.")
    if ("ner_raw" in data) != ("ner_forms" in data):
        raise ValueError("`ner_raw` and `ner_forms` must be given together, got one of them. Give the other, too.")
    if idle := [name for name in epochs if name not in data]:
        raise ValueError(f"`--epochs` must be of data that is given, got {idle[0]}. Leave it out, or give its data.")


def _numbers(epochs: Mapping[str, str]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in epochs.items()}
    except ValueError as error:
        raise ValueError(f"`--epochs` must be NAME=NUMBER, got {dict(epochs)}. Write ner=2 or ner=0.5.") from error


def _pairs(items: Sequence[str], option: str, default_name: str | None = None) -> dict[str, str]:
    pairs = {}
    for item in items:
        name, found, value = item.partition("=")
        if not found and default_name is None:
            raise ValueError(f"--{option} must be NAME=VALUE, got {item!r}. Names: {', '.join(DATA_NAMES)}.")
        pairs[name if found else str(default_name)] = value if found else item
    return pairs


def _run(
    args: argparse.Namespace,
    tasks: tuple[str, ...],
    data: Mapping[str, str],
    epochs: Mapping[str, float],
    console: Console,
) -> int:
    require(args.threads >= 1, "`--threads` must be at least 1", args.threads, "Leave it out for the default.")
    folder = Path(args.output)
    if (folder / SPEC_FILE).exists():
        raise ValueError(
            f"`--output` must be a folder without a model, got {folder}. Give another, or remove that one."
        )
    options = {
        f.name: getattr(args, f.name) for f in dataclasses.fields(TrainConfig) if f.name not in ("epochs", "bf16")
    }
    config = TrainConfig(epochs=dict(epochs), bf16=args.precision == "bf16", **options)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model, tokenizer = start_model(args.base, args.name or folder.resolve().name, tasks, args.pair_layers)
    extra = nn.ModuleDict()
    objectives = load_objectives(
        tasks,
        data,
        model,
        extra,
        folder,
        hold_out_dp=not args.all_dp_rows,
        pair_context_chars=args.pair_context_chars,
    )
    sizes = ", ".join(f"{o.name} {len(o.texts):,}" for o in objectives)
    console.print(f"{count_parameters(model):,} parameters; examples: {sizes}", highlight=False)
    with _Display(console) as display:
        complete = train(
            model, extra, tokenizer, objectives, config, folder, display.show, args.stop_after, display.show_plan
        )
    if not complete:
        console.print(f"Stopped. The same command goes on from the checkpoint in {folder}.", highlight=False)
        return 0
    save_model(model, tokenizer, folder)
    (folder / STATE_FILE).unlink()
    console.print(f"Trained. The model is in {folder}; use it with --model {folder}.", highlight=False)
    return 0


def start_model(base: str, name: str, tasks: tuple[str, ...], pair_layers: int) -> tuple[MultiTaskModel, TextTokenizer]:
    """Give the model that a run begins with.

    Args:
      base: a multi-task model that has the tasks goes on with all its heads; any other encoder gets new ones.
      name: what provenance calls the model.
      tasks: the tasks to learn.
      pair_layers: top layers that run again for each entity pair, in a new relation head.

    Raises:
      ValueError: if there is no such base.
    """
    folder = resolve_folder(base)
    if folder is not None and set(tasks) <= set(ModelSpec.load(folder).tasks):
        model, tokenizer = load_model(folder)
        model.spec = dataclasses.replace(model.spec, name=name)
        return model, tokenizer
    # The mentions that only KLUE-RE marks are learnt from it, beside the entities of KLUE-NER.
    mention_types = RE_ONLY_TYPES if {"ner", "re"} <= set(tasks) else ()
    spec = ModelSpec(name=name, tasks=tasks, mention_types=mention_types, pair_layers=pair_layers)
    encoder, tokenizer = load_encoder(base)
    model = MultiTaskModel(spec, encoder)
    model.copy_pair_layers()
    return model, tokenizer


def load_objectives(
    tasks: Sequence[str],
    data: Mapping[str, str],
    model: MultiTaskModel,
    extra: nn.ModuleDict,
    folder: Path,
    *,
    hold_out_dp: bool,
    pair_context_chars: int | None = None,
) -> list[Objective]:
    """Read the data sets of a run.

    Args:
      tasks: the tasks to learn.
      data: file by name (DATA_NAMES).
      model: gives label sets and sizes.
      extra: heads that serve training only are added to it.
      folder: the run's folder; weak labels are made once and kept there.
      hold_out_dp: leave out the fifth of the KLUE-DP rows that scores are quoted on.
      pair_context_chars: code points around the pair that KLUE-RE's rows are shortened to; None for whole rows.
    """
    spec = model.spec
    objectives: list[Objective] = []
    if "tc" in tasks:
        objectives.append(TopicObjective("tc", read_tc(data["tc"]), spec.topics))
    if "ner" in tasks:
        gold = read_ner(data["ner"])
        objectives.append(EntityObjective("ner", gold, spec.ner_types))
        if "ner_raw" in data and "ner_forms" in data:
            weak = _weak_entities(data, gold, folder / WEAK_ENTITIES_FILE)
            objectives.append(EntityObjective("ner_raw", weak, NER_TYPES))
    if "re" in tasks:
        rows = read_re(data["re"])
        if pair_context_chars is not None:
            rows = [keep_around_pair(row, pair_context_chars) for row in rows]
        objectives.append(RelationObjective("re", rows, spec.relations, spec.mention_types))
    if "dp" in tasks:
        trees = read_dp(data["dp"])
        trees = split_dependency_examples(trees)[0] if hold_out_dp else trees
        objectives.append(DependencyObjective("dp", trees, DEPRELS))
        if "dp_aux" in data:
            others = read_head_final(data["dp_aux"])
            deprels = sorted({deprel for tree in others for deprel in tree.deprels})
            size = model.encoder.config.hidden_size
            head = DependencyHead(size, spec.arc_size, spec.label_size, len(deprels))
            extra["dp_aux"] = head
            objectives.append(DependencyObjective("dp_aux", others, deprels, head))
    return objectives


def _weak_entities(data: Mapping[str, str], gold: Sequence[EntityExample], path: Path) -> list[EntityExample]:
    if not path.exists():
        texts = read_raw_sentences(data["ner_raw"], gold)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_entities(path, label_weakly(texts, read_form_table(data["ner_forms"]), gold))
    return load_entities(path)


class _Display:
    """A progress bar on a terminal, a line now and then elsewhere; losses are running means by data set."""

    def __init__(self, console: Console) -> None:
        self._console = console
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

    def __enter__(self) -> "_Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show_plan(self, plan: BatchPlan) -> None:
        left_out = ", ".join(f"{name} {count:,}" for name, count in plan.left_out.items() if count)
        self._console.print(
            f"{len(plan.batches):,} steps; left out as too long: {left_out or 'nothing'}", highlight=False
        )

    def show(self, step: Step) -> None:
        mean = self._means.get(step.objective, step.loss)
        self._means[step.objective] = 0.98 * mean + 0.02 * step.loss
        losses = " ".join(f"{name} {loss:.3f}" for name, loss in sorted(self._means.items()))
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = self._progress.add_task("", total=step.n_steps)
            self._progress.update(self._bar, completed=step.step, description=losses)
        elif step.step % 50 == 0 or step.step == step.n_steps:
            self._console.print(
                f"step {step.step}/{step.n_steps}  loss {losses}  {step.tokens_per_second:.0f} tokens/s",
                highlight=False,
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
