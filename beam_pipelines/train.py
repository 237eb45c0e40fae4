"""`klue-beam train`: fine-tune one task on a Hugging Face encoder, or several tasks on one shared encoder."""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from beam_pipelines.model_card import Run, new_model_folder, write_card
from beam_pipelines.training_setup import (
    SCRATCH,
    SCRATCH_LAYERS,
    load_dev_rows,
    load_objectives,
    load_teacher,
    start_model,
)
from schemas.labels import RE_ONLY_TYPES, TASKS
from transforms.config import DEVICES, require
from transforms.models.checkpoint import save_model
from transforms.models.multitask import MultiTaskModel, count_parameters
from transforms.models.pieces import TextTokenizer
from transforms.models.precision import choose_device
from transforms.models.training.dev_scores import score_dev_rows
from transforms.models.training.trainer import STATE_FILE, BatchPlan, Step, TrainConfig, train
from transforms.scoring import Report

DATA_NAMES: Final = {
    "tc": "KLUE-TC (ynat .json or .csv)",
    "ner": "KLUE-NER (.tsv)",
    "re": "KLUE-RE (.json or .jsonl)",
    "dp": "KLUE-DP (.tsv)",
    "tc_said": "headlines (as `tc`), each told in another way: with a stop, as a sentence, in a frame",
    "tc_bodies": "sentences with their documents' topics, and some without (`python -m beam_pipelines.topic_data`)",
    "ner_varied": "sentences (as `ner`) with addresses, brackets, honorifics, ranges put in, and those of ner_raw",
    "ner_mentions": "sentences (as `ner_raw`) whose titles, works and products are tagged by ner_forms",
    "re_pairs": "sentences with pairs as in running text (`python -m beam_pipelines.pair_data`)",
    "ner_raw": "sentences without entity labels, labelled by ner_forms where that is sure",
    "ner_forms": "entity surface forms with fine labels and frequencies",
    "dp_aux": "a CoNLL-U treebank with another scheme: trained through a head of its own, which is not stored",
    "text": "documents without labels (a file or a glob; .jsonl by the field text, else one a line), which a teacher "
    "labels",
}

CONFIG_HELP: Final = {
    "batch_tokens": "padded tokens in a batch",
    "encoder_rate": "peak learning rate of the encoder's top layer",
    "head_rate": "peak learning rate of the heads",
    "layer_decay": "each layer's rate is that of the layer above times this",
    "frozen_layers": "so many bottom layers, and the embeddings, keep their weights; -1 trains everything",
    "warmup_share": "share of the steps with a rising rate; it falls linearly after",
    "weight_decay": "as in AdamW",
    "piece_dropout": "share of the pieces that are hidden from the model in each step",
    "max_pieces": "longer examples are left out, and counted",
    "seed": "of the order and of dropout",
    "checkpoint_steps": "steps between checkpoints",
}


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="klue-beam train",
        description="Fine-tune the tasks of KLUE on one encoder and write a model folder for `annotate --model`.",
        epilog="Example: klue-beam train --task tc --data ynat.csv --base klue/bert-base --output my-topics. "
        "A smaller student of a model: klue-beam train --task tc,ner,re,dp --base big --teacher big --layers 4 …",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--task", required=True, help=f"comma-separated, out of {','.join(TASKS)}")
    add(
        "--data",
        required=True,
        nargs="+",
        metavar="NAME=FILE",
        help="what to learn from; a bare FILE for a single task. Names: "
        + "; ".join(f"{name}: {what}" for name, what in DATA_NAMES.items()),
    )
    add(
        "--base",
        default="klue/bert-base",
        help="hub name or folder of an encoder; or a model folder, whose heads go on where it has the tasks; or "
        f"{SCRATCH}: a new encoder",
    )
    add("--output", required=True, help="the model folder; checkpoints lie in it until the run is complete")
    add("--name", help="what provenance calls the model (default: the output folder's name)")
    add("--epochs", nargs="*", default=[], metavar="NAME=N", help="passes over each data set; fractions are fine")
    add("--dev", nargs="*", default=[], metavar="TASK=FILE", help="labelled rows to score the model on as it learns")
    add("--dev_rows", type=int, default=500, help="at most so many of each task")
    add("--all_dp_rows", action="store_true", help="train on the held-out fifth of the KLUE-DP rows too")
    add(
        "--layers",
        type=int,
        help="of a base that is a model folder, keep so many evenly spaced layers (default: all); layers of a new "
        f"encoder (default: {SCRATCH_LAYERS})",
    )
    add(
        "--intermediate_size",
        type=int,
        help="of a base that is a model folder, keep so many inner units of each feed-forward layer, those of the "
        "largest weights (default: all)",
    )
    add(
        "--vocabulary_texts",
        nargs="*",
        default=[],
        metavar="FILE",
        help="cut the base's vocabulary to the pieces that these texts use (.jsonl: the field text, else one a line); "
        "a new encoder's tokenizer is trained on them",
    )
    add("--vocab_size", type=int, default=16_000, help="pieces of a new encoder's tokenizer")
    add("--hidden_size", type=int, default=384, help="of a new encoder")
    add("--heads", type=int, default=12, help="attention heads of a new encoder")
    add(
        "--teacher",
        metavar="FOLDER",
        help="a model folder to learn from beside the labels: its scores and states; of several, "
        "separated by commas, the mean of their scores",
    )
    add("--teacher_weight", type=float, default=0.7, help="the teacher's share of the loss; the labels have the rest")
    add("--state_weight", type=float, default=1.0, help="how much the distance from the teacher's states counts")
    add(
        "--embeddings_of",
        default="",
        metavar="NAME",
        help="store no embedding matrix, but take that of this embedded model (it must be frozen in training)",
    )
    for field in dataclasses.fields(TrainConfig):
        if field.name in CONFIG_HELP:
            add(f"--{field.name}", type=type(field.default), default=field.default, help=CONFIG_HELP[field.name])
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16 is faster where the processor has it")
    add(
        "--pair_layers",
        type=int,
        help="top layers that run again for each entity pair: 0 reads the "
        "pair off the sentence's own states, all of them give each pair a pass of its own (default: those of a base "
        "that is a model folder, else 2)",
    )
    add(
        "--pair_context_chars",
        type=int,
        help="shorten KLUE-RE's rows to so many characters around the pair (default: whole rows)",
    )
    add(
        "--swap_mentions",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="put other names of KLUE-RE's rows in the place of so many of their mentions",
    )
    add("--even_topics", action="store_true", help="learn topics as if each were alike frequent in the headlines")
    add(
        "--mention_types",
        default=",".join(RE_ONLY_TYPES),
        help="of a new model, comma-separated; with CV words for positions and kinships are a type of their own",
    )
    add("--pair_context", type=int, help="tokens that a pair sees on either side (default: the base's, else all)")
    add("--device", choices=DEVICES, default="auto", help="where to train; auto takes a GPU where torch sees one")
    add("--threads", type=int, default=torch.get_num_threads(), help="threads of this process")
    add("--stop_after", type=int, help="stop after so many steps, with a checkpoint to go on from")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run `klue-beam train`; the exit code is 0 when done, 2 for a wrong call."""
    args = build_parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        tasks = _tasks(args.task)
        data = _pairs(args.data, "data", default_name=tasks[0] if len(tasks) == 1 else None)
        epochs = _pairs(args.epochs, "epochs")
        dev = _pairs(args.dev, "dev", default_name=tasks[0] if len(tasks) == 1 else None)
        _check_names(tasks, data, epochs, dev, has_teacher=args.teacher is not None)
        return _run(args, tasks, data, dev, _numbers(epochs), console)
    except (OSError, ValueError) as error:
        console.print(f"[red]{escape(str(error))}[/red]", highlight=False)
        return 2


def _tasks(text: str) -> tuple[str, ...]:
    asked = text.split(",")
    if unknown := [task for task in asked if task not in TASKS]:
        raise ValueError(f"`--task` must be out of {', '.join(TASKS)}, got {unknown[0]!r}. Separate them by commas.")
    return tuple(task for task in TASKS if task in asked)


def _check_names(
    tasks: Sequence[str],
    data: Mapping[str, str],
    epochs: Mapping[str, str],
    dev: Mapping[str, str],
    *,
    has_teacher: bool,
) -> None:
    """Refuse data that is missing, unknown, or of no use to the tasks."""
    if unknown := [name for name in (*data, *epochs) if name not in DATA_NAMES]:
        raise ValueError(f"`--data` and `--epochs` must name {', '.join(DATA_NAMES)}, got {unknown[0]!r}. Choose one.")
    if missing := [task for task in tasks if task not in data]:
        raise ValueError(f"Each task must have its data, got none for {missing[0]}. Add `--data {missing[0]}=FILE`.")
    if idle := [name for name in data if name.split("_")[0] not in (*tasks, "text")]:
        raise ValueError(f"`--data` must serve a task of `--task`, got {idle[0]}. Leave it out, or add its task.")
    reads_forms = {"ner_raw", "ner_mentions"} & set(data)
    if bool(reads_forms) != ("ner_forms" in data):
        raise ValueError(
            "`ner_raw` or `ner_mentions` must be given together with `ner_forms`, got one of them. Give the other, too."
        )
    if "text" in data and not has_teacher:
        raise ValueError("`text` must have a teacher that labels it, got none. Add `--teacher`, or leave it out.")
    if idle := [name for name in epochs if name not in data]:
        raise ValueError(f"`--epochs` must be of data that is given, got {idle[0]}. Leave it out, or give its data.")
    if idle := [name for name in dev if name not in tasks]:
        raise ValueError(f"`--dev` must name a task of `--task`, got {idle[0]}. Leave it out, or add it.")


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
    dev: Mapping[str, str],
    epochs: Mapping[str, float],
    console: Console,
) -> int:
    require(args.threads >= 1, "`--threads` must be at least 1", args.threads, "Leave it out for the default.")
    require(args.dev_rows >= 1, "`--dev_rows` must be at least 1", args.dev_rows, "Leave it out for the default.")
    require(
        0 <= args.swap_mentions <= 1,
        "`--swap_mentions` must be from 0 to 1",
        args.swap_mentions,
        "Leave it out, or give 0.5.",
    )
    folder = new_model_folder(args.output)
    options = {name: getattr(args, name) for name in CONFIG_HELP}
    config = TrainConfig(epochs=dict(epochs), bf16=args.precision == "bf16", **options)
    device = choose_device(args.device, args.precision)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    require(
        not args.embeddings_of or args.frozen_layers >= 0,
        "`--embeddings_of` must be given with frozen embeddings (`--frozen_layers` of 0 or more)",
        args.frozen_layers,
        "Freeze them, or leave `--embeddings_of` out.",
    )
    require(
        args.base != SCRATCH or args.frozen_layers < 0,
        "`--frozen_layers` must be -1 with `--base scratch`, whose weights are random",
        args.frozen_layers,
        "Give `--frozen_layers -1`.",
    )
    model, tokenizer = start_model(args, tasks)
    teacher = load_teacher(args, model, tokenizer)
    model.to(device)
    if teacher is not None:
        for one in (teacher.model, *teacher.others):
            one.to(device)
    extra = nn.ModuleDict()
    hold_out_dp = not args.all_dp_rows
    objectives = load_objectives(
        tasks,
        data,
        model,
        tokenizer,
        extra,
        folder,
        hold_out_dp=hold_out_dp,
        teacher=None if teacher is None else teacher.model,
        pair_context_chars=args.pair_context_chars,
        swap_share=args.swap_mentions,
        seed=args.seed,
        even_topics=args.even_topics,
    )
    extra.to(device)
    n_rows = {objective.name: len(objective.texts) for objective in objectives}
    sizes = ", ".join(f"{name} {count:,}" for name, count in n_rows.items())
    console.print(f"{count_parameters(model):,} parameters; examples: {sizes}", highlight=False)
    rows = load_dev_rows(dev, args.dev_rows, args.seed)
    with _Display(console, model, tokenizer, rows) as display:
        complete = train(
            model,
            extra,
            tokenizer,
            objectives,
            config,
            folder,
            display.show,
            args.stop_after,
            display.show_plan,
            display.show_scores,
            teacher,
        )
    if not complete:
        console.print(f"Stopped. The same command goes on from the checkpoint in {folder}.", highlight=False)
        return 0
    save_model(model.cpu(), tokenizer, folder)
    run = Run(data, n_rows, config, args.base, args.teacher, display.n_steps, display.reports)
    write_card(folder, model, run)
    (folder / STATE_FILE).unlink()
    console.print(f"Trained. The model is in {folder}; use it with --model {folder}.", highlight=False)
    return 0


class _Display:
    """A progress bar on a terminal, a line now and then elsewhere; losses are running means by data set."""

    def __init__(
        self, console: Console, model: MultiTaskModel, tokenizer: TextTokenizer, dev: Mapping[str, Sequence[Any]]
    ) -> None:
        self._console, self._model, self._tokenizer, self._dev = console, model, tokenizer, dev
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
        self.n_steps = 0
        self.reports: dict[str, Report] = {}

    def __enter__(self) -> "_Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show_plan(self, plan: BatchPlan) -> None:
        self.n_steps = len(plan.batches)
        left_out = ", ".join(f"{name} {count:,}" for name, count in plan.left_out.items() if count)
        self._print(f"{self.n_steps:,} steps; left out as too long: {left_out or 'nothing'}")

    def show_scores(self, step: int) -> None:
        if self._dev:
            self.reports = score_dev_rows(self._model, self._tokenizer, self._dev)
            metrics = (f"{task} {name} {v:.1f}" for task, r in self.reports.items() for name, v in r.metrics.items())
            self._print(f"step {step}/{self.n_steps}  dev {', '.join(metrics)}")

    def show(self, step: Step) -> None:
        mean = self._means.get(step.objective, step.loss)
        self._means[step.objective] = 0.98 * mean + 0.02 * step.loss
        losses = " ".join(f"{name} {loss:.3f}" for name, loss in sorted(self._means.items()))
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = self._progress.add_task("", total=step.n_steps)
            self._progress.update(self._bar, completed=step.step, description=losses)
        elif step.step % 50 == 0 or step.step == step.n_steps:
            self._print(f"step {step.step}/{step.n_steps}  loss {losses}  {step.tokens_per_second:.0f} tokens/s")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
