"""`klue-beam average`: one model folder whose weights are the mean of several."""

from collections.abc import Sequence
from typing import Final

from klue_beam.beam_pipelines.commands.base import CommandParser, load, require_folder, run_command

NAME: Final = "average"
DESCRIPTION: Final = (
    "Average the weights of models that `klue-beam train` trained on from the same model (other seeds, other orders of "
    "the rows): about as good as asking them all, at the cost of one. `klue-beam calibrate` comes after it."
)


def make_parser() -> CommandParser:
    """Describe the command line."""
    parser = CommandParser(NAME, DESCRIPTION, ["klue-beam average --models seed-1 seed-2 --output mean"])
    add = parser.add_argument
    add("--models", required=True, nargs="+", metavar="FOLDER", help="model folders, or names of embedded models")
    add("--output", required=True, metavar="FOLDER", help="the new model folder")
    add("--name", help="what provenance calls the model (default: the output folder's name)")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run `klue-beam average`; the exit code is 0 when done, 1 after Ctrl-C, 2 for a wrong call."""
    return run_command(NAME, lambda: _average(argv))


def _average(argv: Sequence[str]) -> int:
    args = make_parser().parse_args(argv)
    require_folder("--output", args.output)
    code: int = load(NAME, "klue_beam.beam_pipelines.commands.averaging_run").run(args)
    return code
