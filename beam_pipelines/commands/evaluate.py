"""`klue-beam evaluate`: score a model on labelled rows with the transforms that annotate uses."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from klue_beam.beam_pipelines.commands.base import CommandParser, check_files, load, run_command
from klue_beam.beam_pipelines.commands.options import add_model_arguments
from klue_beam.beam_pipelines.commands.values import whole_number
from klue_beam.schemas.config import PRECISIONS, require
from klue_beam.schemas.registry import TASKS

NAME: Final = "evaluate"

ROWS: Final[Mapping[str, str]] = {
    "all": "all rows of the file",
    "held_out": "of a task of whose rows `train` leaves some out, these",
    "first_half": "a fixed half of the rows (of the held-out ones, where there are such), which `calibrate` fits on",
    "second_half": "the other half, which `calibrate` never sees",
}
"""Which of a file's rows can be scored. Both splits go by a seeded hash of the sentence."""


def make_parser() -> CommandParser:
    """Describe the command line."""
    parser = CommandParser(
        NAME,
        "Score a model on a file of labelled rows: KLUE's own, by KLUE's metrics, or yours.",
        ["klue-beam evaluate --task ner --data klue-ner-v1.1_dev.tsv --model small --json ner.json"],
        notes=_describe_files() + "\n\nEvery option of Apache Beam is taken too, as --runner.",
    )
    parser.add_argument("--task", required=True, choices=[name for name, task in TASKS.items() if task.data],
                        help="what the file is of")  # fmt: skip
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help="the labelled file, in UTF-8; .gz .bz2 .xz .zst are read as they are",
    )
    parser.add_argument(
        "--rows",
        choices=tuple(ROWS),
        default="all",
        help="which rows to score: " + "; ".join(f"{name}: {note}" for name, note in ROWS.items()),
    )
    add_model_arguments(parser)
    parser.add_argument("--threads", type=whole_number, default=os.cpu_count() or 1, metavar="N",
                        help="threads of a worker process (default: the cores)")  # fmt: skip
    parser.add_argument("--json", metavar="OUT", help="write the scores to this file, too")
    parser.add_argument(
        "--work_dir",
        metavar="DIR",
        help="where the pipeline leaves its results for this process to read: a folder that all workers of the runner "
        "see (default: a folder for temporary files)",
    )
    return parser


def _describe_files() -> str:
    """Say what a file of each task may hold."""
    lines = ["What the file holds is told by its content:"]
    for name, task in TASKS.items():
        if name in task.data:
            lines += textwrap.wrap(f"{name}: {task.data[name]}", 100, initial_indent="  ", subsequent_indent="      ")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `klue-beam evaluate`.

    Returns:
      0 when the model was scored, 1 after Ctrl-C, 2 for a wrong call.

    Raises:
      RuntimeError: if the pipeline failed.
    """
    return run_command(NAME, lambda: _evaluate(argv))


def _evaluate(argv: Sequence[str] | None) -> int:
    parser = make_parser()
    options, flags = parser.parse_known_args(argv)
    require(
        options.rows != "held_out" or TASKS[options.task].held_out is not None,
        "`--rows held_out` must go with a task of whose rows `train` leaves some out, "
        + ", ".join(name for name, task in TASKS.items() if task.held_out is not None),
        options.task,
        "All its rows are learnt; leave the option out.",
    )
    require(
        options.precision in PRECISIONS,
        f"`--precision` must be one of {', '.join(PRECISIONS)} here",
        options.precision,
        "Scores are those of one precision: name it.",
    )
    require(options.threads >= 1, "`--threads` must be at least 1", options.threads, "Leave it out.")
    if options.json:
        folder = os.path.dirname(os.path.abspath(options.json))
        require(
            os.path.isdir(folder) and not os.path.isdir(options.json),
            "`--json` must be a file in a folder that is there",
            options.json,
            "Make the folder, or name a file.",
        )
    check_files([options.data])
    if flags:
        load(NAME, "klue_beam.beam_pipelines.commands.beam").check_beam_flags(flags, NAME, parser.option_names)
    code: int = load(NAME, "klue_beam.beam_pipelines.commands.evaluation_run").run(options, flags, ROWS[options.rows])
    return code
