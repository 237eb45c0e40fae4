"""`klue-beam train`: fine-tune one task on a Hugging Face encoder, or several tasks on one shared encoder."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Final

from klue_beam.beam_pipelines.commands.base import CommandParser, check_files, load, require_folder, run_command
from klue_beam.beam_pipelines.commands.values import add_fields, number, read_fields, whole_number
from klue_beam.schemas.config import DEVICES, require
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.training.config import TrainConfig

NAME: Final = "train"
SCRATCH: Final = "scratch"
"""The base that is none."""

SCRATCH_LAYERS: Final = 6

TEXTS: Final = "text"
"""The data set that is of no task: a teacher says something of it."""


def list_data_sets() -> dict[str, str]:
    """List the data sets that can be learnt from, by name, each with what it is."""
    learnt = {name: what for task in TASKS.values() for name, what in task.data.items()}
    what = (
        "documents without labels (a file or a glob; .jsonl by the field text, else one a line), which a teacher labels"
    )
    return {**learnt, TEXTS: what}


def make_parser() -> CommandParser:
    """Describe the command line."""
    parser = CommandParser(
        NAME,
        "Fine-tune the tasks of KLUE on one encoder and write a model folder for `annotate --model`.",
        [
            "klue-beam train --task tc --data ynat.csv --base klue/bert-base --output my-topics",
            "klue-beam train --task tc,ner,re,dp --data tc=… ner=… re=… dp=… --base big --teacher big --layers 4 "
            "--output small-one",
        ],
    )
    add = parser.add_argument
    learnable = [name for name, task in TASKS.items() if task.data]
    add("--task", required=True, help=f"comma-separated, out of {','.join(learnable)}")
    add(
        "--data",
        required=True,
        nargs="+",
        metavar="NAME=FILE",
        help="what to learn from; a bare FILE for a single task. Names: "
        + "; ".join(f"{name}: {what}" for name, what in list_data_sets().items()),
    )
    add(
        "--base",
        default="klue/bert-base",
        help="hub name or folder of an encoder; or a model folder, whose heads go on where it has the tasks; or "
        f"{SCRATCH}: a new encoder",
    )
    add("--output", required=True, help="the model folder; checkpoints lie in it until the run is complete")
    add("--name", help="what provenance calls the model (default: the output folder's name)")
    _add_model_arguments(parser)
    _add_run_arguments(parser)
    return parser


def _add_model_arguments(parser: CommandParser) -> None:
    """Add what the model is like that a run begins with."""
    add = parser.add_argument
    add(
        "--layers",
        type=whole_number,
        help="of a base that is a model folder, keep so many evenly spaced layers (default: all); layers of a new "
        f"encoder (default: {SCRATCH_LAYERS})",
    )
    add(
        "--intermediate_size",
        type=whole_number,
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
    add("--vocab_size", type=whole_number, default=16_000, help="pieces of a new encoder's tokenizer")
    add("--hidden_size", type=whole_number, default=384, help="of a new encoder")
    add("--heads", type=whole_number, default=12, help="attention heads of a new encoder")
    add("--teacher", metavar="FOLDER", help="a model folder to learn from beside the labels: its scores and states")
    add("--teacher_weight", type=number, default=0.7, help="the teacher's share of the loss; the labels have the rest")
    add(
        "--embeddings_of",
        default="",
        metavar="NAME",
        help="store no embedding matrix, but take that of this embedded model (it must be frozen in training)",
    )


def _add_run_arguments(parser: CommandParser) -> None:
    """Add how it learns."""
    add = parser.add_argument
    add("--epochs", nargs="*", default=[], metavar="NAME=N", help="passes over each data set; fractions are fine")
    add("--dev", nargs="*", default=[], metavar="TASK=FILE", help="labelled rows to score the model on as it learns")
    add("--dev_rows", type=whole_number, default=500, help="at most so many of each task")
    add_fields(parser, TrainConfig)
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16 is faster where the processor has it")
    for task in TASKS.values():
        if task.train_options is not None:
            add_fields(parser, task.train_options)
    add("--device", choices=DEVICES, default="auto", help="where to train; auto takes a GPU where torch sees one")
    add("--threads", type=whole_number, metavar="N", help="threads of this process (default: as many as torch takes)")
    add("--stop_after", type=whole_number, help="stop after so many steps, with a checkpoint to go on from")


def main(argv: Sequence[str]) -> int:
    """Run `klue-beam train`; the exit code is 0 when done, 1 after Ctrl-C, 2 for a wrong call."""
    return run_command(NAME, lambda: _train(argv))


def _train(argv: Sequence[str]) -> int:
    args = make_parser().parse_args(argv)
    tasks = _tasks(args.task)
    data = _pairs(args.data, "data", default_name=tasks[0] if len(tasks) == 1 else None)
    epochs = _pairs(args.epochs, "epochs")
    dev = _pairs(args.dev, "dev", default_name=tasks[0] if len(tasks) == 1 else None)
    _check_names(tasks, data, epochs, dev, has_teacher=args.teacher is not None)
    numbers = _numbers(epochs)
    _check_numbers(args)
    require_folder("--output", args.output)
    task_options = {
        name: read_fields(args, task.train_options) for name, task in TASKS.items() if task.train_options is not None
    }
    # Before torch is loaded and a model's hub is asked: a wrong path is the most frequent mistake.
    check_files([path for name, path in (*data.items(), *dev.items()) if name != TEXTS])
    run: int = load(NAME, "klue_beam.beam_pipelines.commands.training_run").run(
        args, tasks, data, dev, numbers, task_options
    )
    return run


def _check_numbers(args: argparse.Namespace) -> None:
    """Refuse numbers and combinations that no run can have.

    Raises:
      ValueError: if there are any.
    """
    require(
        args.threads is None or args.threads >= 1,
        "`--threads` must be at least 1",
        args.threads,
        "Leave it out for the default.",
    )
    require(args.dev_rows >= 1, "`--dev_rows` must be at least 1", args.dev_rows, "Leave it out for the default.")
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


def _tasks(text: str) -> tuple[str, ...]:
    asked = text.split(",")
    known = [name for name, task in TASKS.items() if task.data]
    if unknown := [task for task in asked if task not in known]:
        raise ValueError(f"`--task` must be out of {', '.join(known)}, got {unknown[0]!r}. Separate them by commas.")
    return tuple(task for task in known if task in asked)


def _check_names(
    tasks: Sequence[str],
    data: Mapping[str, str],
    epochs: Mapping[str, str],
    dev: Mapping[str, str],
    *,
    has_teacher: bool,
) -> None:
    """Refuse data that is missing, unknown, or of no use to the tasks."""
    known = list_data_sets()
    if unknown := [name for name in (*data, *epochs) if name not in known]:
        raise ValueError(f"`--data` and `--epochs` must name {', '.join(known)}, got {unknown[0]!r}. Choose one.")
    if missing := [task for task in tasks if task not in data]:
        raise ValueError(f"Each task must have its data, got none for {missing[0]}. Add `--data {missing[0]}=FILE`.")
    served = {TEXTS, *(name for task in tasks for name in TASKS[task].data)}
    if idle := [name for name in data if name not in served]:
        raise ValueError(f"`--data` must serve a task of `--task`, got {idle[0]}. Leave it out, or add its task.")
    for task in tasks:
        TASKS[task].check_data(data.keys())
    if TEXTS in data and not has_teacher:
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
            raise ValueError(f"--{option} must be NAME=VALUE, got {item!r}. Names: {', '.join(list_data_sets())}.")
        pairs[name if found else str(default_name)] = value if found else item
    return pairs
