"""`klue-beam annotate`: the call, read and checked."""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Final

from klue_beam.beam_pipelines.commands.base import CommandParser, load, require_folder, run_command
from klue_beam.beam_pipelines.commands.options import add_dataset_arguments
from klue_beam.beam_pipelines.commands.values import add_fields, whole_number
from klue_beam.beam_pipelines.local.cluster import ClusterConfig
from klue_beam.schemas.config import require
from klue_beam.schemas.registry import STORES

NAME: Final = "annotate"

NOTES: Final = """\
Every option of Apache Beam is taken too. With --runner NAME (DaskRunner in full:
apache_beam.runners.dask.dask_runner.DaskRunner) the same graph runs on that runner, without it in processes of this
machine. An unknown option is an error.

Exit codes: 0 when every record is in the data or in the rejects; 1 when not, when shards were set aside, when there
are more rejects than --max_rejects, and after Ctrl-C (the same command goes on from there); 2 for a wrong call, which
starts nothing.
"""


def make_parser() -> CommandParser:
    """Make the parser of the command: the options of the dataset, and those of this run alone."""
    parser = CommandParser(
        NAME,
        "Annotate Korean text: sentences, topics, entities, relations and dependency trees, as Parquet.",
        [
            "klue-beam annotate --input news.jsonl.xz --output out --workers 4",
            "klue-beam annotate --input 'dump/*.txt' --text_unit block --tasks tc,ner --output out --dry_run",
        ],
        notes=NOTES,
        usage="klue-beam annotate --input PATH ... --output DIR [OPTION ...]",
    )
    add_dataset_arguments(parser)
    group = parser.add_argument_group("this run alone (what is found does not depend on it)")
    add_fields(group, ClusterConfig)
    group.add_argument(
        "--max_rejects",
        type=whole_number,
        metavar="N",
        help="more rejects than this make the run a failure (exit code 1); left out, more rejects than documents do, "
        "and a run whose first records are all rejects is not begun.",
    )
    group.add_argument("--dry_run", action="store_true", help="print what would be done; write nothing.")
    group.add_argument(
        "--preview",
        type=whole_number,
        nargs="?",
        const=6,
        default=0,
        metavar="N",
        help="draw N annotated sentences at the end (6 if N is left out).",
    )
    return parser


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """What was asked for, read and checked.

    Attributes:
      options: the parsed options.
      beam_flags: the options that are Beam's.
      runner: the Beam runner that was named, None for the local driver.
      cluster: where the local driver runs shards.
    """

    options: argparse.Namespace
    beam_flags: tuple[str, ...]
    runner: str | None
    cluster: ClusterConfig

    @property
    def runs_here(self) -> bool:
        """Whether all that writes to the dataset are processes of this call."""
        return self.runner is None and self.cluster.scheduler is None


def read_call(arguments: Sequence[str]) -> Call:
    """Read the command's arguments.

    Raises:
      ValueError: on an option that nobody knows, is missing, does not go with another one, or has a wrong value.
      SystemExit: after --help.
    """
    parser = make_parser()
    options, beam_flags = parser.parse_known_args(arguments)
    runner = None
    if beam_flags:
        beam = load(NAME, "klue_beam.beam_pipelines.commands.beam")
        beam.check_beam_flags(beam_flags, NAME, parser.option_names)
        runner = beam.runner_of(beam_flags)
    _check(options, runner)
    names = [field.name for field in dataclasses.fields(ClusterConfig)]
    cluster = ClusterConfig(**{name: getattr(options, name) for name in names})
    return Call(options, tuple(beam_flags), runner, cluster)


def _check(options: argparse.Namespace, runner: str | None) -> None:
    """Refuse options that are missing, out of range, or do not go together.

    Raises:
      ValueError: if there are any.
    """
    for name in ("input", "output"):
        require(bool(getattr(options, name)), f"`--{name}` must be given", getattr(options, name), "Name a path.")
    scheme, is_address, _ = options.output.partition("://")
    require(
        not is_address or scheme in STORES,
        "`--output` must be a folder, local or mounted",
        options.output,
        "Annotate into a folder and copy it, or mount the store.",
    )
    if not is_address:
        require_folder("--output", options.output)
    for name in ("workers", "scheduler"):
        require(
            runner is None or not getattr(options, name),
            f"`--{name}` is of the local driver and must be left out with --runner",
            getattr(options, name),
            "Leave one of the two out; Beam's runners have options of their own, as --direct_num_workers.",
        )
    for name in ("max_rejects", "preview"):
        number = getattr(options, name)
        require(number is None or number >= 0, f"`--{name}` must be at least 0", number, "Leave it out.")


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
      The exit code, as the help text explains it.
    """
    return run_command(NAME, lambda: _annotate(arguments))


def _annotate(arguments: Sequence[str]) -> int:
    call = read_call(arguments)
    code: int = load(NAME, "klue_beam.beam_pipelines.commands.annotation_run").run(call)
    return code
