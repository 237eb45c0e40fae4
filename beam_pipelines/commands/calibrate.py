"""`klue-beam calibrate`: fit a trained model's temperatures and priors on labelled rows that training never saw."""

from collections.abc import Sequence
from typing import Final

from klue_beam.beam_pipelines.commands.base import CommandParser, check_files, load, run_command
from klue_beam.beam_pipelines.commands.values import add_fields, read_fields, whole_number
from klue_beam.schemas.config import require
from klue_beam.schemas.registry import TASKS

NAME: Final = "calibrate"
DESCRIPTION: Final = (
    "Fit what turns a model's scores into probabilities and labels: a temperature for each task, the shares of the "
    "topics and the relations, how readily no_relation is chosen, which tags of characters like to follow which, the "
    "scores that entities must reach, how often one of a score is right, and whether trees are head-final. Fitted on "
    "one fixed half of each file (`evaluate --rows` scores the other); of KLUE-DP on half of the fifth that `train` "
    "leaves out. What such rows cannot tell is set by hand. Writes the model's klue_beam.json."
)


def make_parser() -> CommandParser:
    """Describe the command line."""
    parser = CommandParser(
        NAME, DESCRIPTION, ["klue-beam calibrate --model my-model --tc_data ynat-dev.json --ner_data klue-ner-dev.tsv"]
    )
    parser.add_argument("--model", required=True, metavar="FOLDER", help="a model folder that `klue-beam train` wrote")
    for name, task in TASKS.items():
        if task.data:
            parser.add_argument(f"--{name}_data", metavar="FILE", help=f"labelled rows of {name}: {task.data[name]}")
        if task.fit_options is not None:
            add_fields(parser, task.fit_options)
    parser.add_argument(
        "--threads", type=whole_number, metavar="N", help="threads of this process (default: as many as torch takes)"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run `klue-beam calibrate`; the exit code is 0 when done, 1 after Ctrl-C, 2 for a wrong call."""
    return run_command(NAME, lambda: _calibrate(argv))


def _calibrate(argv: Sequence[str]) -> int:
    args = make_parser().parse_args(argv)
    named = {name: getattr(args, f"{name}_data") for name, task in TASKS.items() if task.data}
    files = {name: path for name, path in named.items() if path}
    if not files:
        options = ", ".join(f"--{name}_data" for name in named)
        raise ValueError(f"`calibrate` must have labelled rows, got none. Give {options}.")
    by_hand = {
        name: read_fields(args, task.fit_options) for name, task in TASKS.items() if task.fit_options is not None
    }
    require(
        args.threads is None or args.threads >= 1,
        "`--threads` must be at least 1",
        args.threads,
        "Leave it out for the default.",
    )
    check_files(files.values())
    code: int = load(NAME, "klue_beam.beam_pipelines.commands.calibration_run").run(args, files, by_hand)
    return code
