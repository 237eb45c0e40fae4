"""`klue-beam verify DIR`: prove that each input record is in a dataset exactly once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from klue_beam.beam_pipelines.commands.base import INCOMPLETE, OK, CommandParser, load, run_command

if TYPE_CHECKING:
    from klue_beam.transforms.verify.dataset import VerifyReport

NAME: Final = "verify"
MOST_FAULTS_SHOWN: Final = 50

NOT_PROVED: Final = 3
"""Exit code of a dataset that is whole as far as can be told."""

AT_WORK: Final = 4
"""Exit code while a run is at work in the dataset."""


def make_parser() -> CommandParser:
    """Describe the command line."""
    parser = CommandParser(
        NAME,
        "Count the records of a dataset's inputs again, and prove that each is in the data or in the rejects exactly "
        "once and that every file is as it was written.",
        ["klue-beam verify annotated"],
        notes="Exit codes: 0 if the dataset is whole, 1 if not, 2 for a wrong call, 3 if it is whole as far as can be "
        "told (a source is gone or cannot be read, so that its records could not be counted again), 4 while a run is "
        "at work in it.",
    )
    parser.add_argument("dataset", metavar="DIR", help="the folder that was the --output of `klue-beam annotate`")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Verify a dataset and say what is wrong with it.

    Returns:
      The exit code, as the help text explains it.
    """
    return run_command(NAME, lambda: _verify(arguments))


def _verify(arguments: Sequence[str]) -> int:
    dataset: str = make_parser().parse_args(list(arguments)).dataset
    verify = load(NAME, "klue_beam.transforms.verify.dataset").verify
    from rich.text import Text  # noqa: PLC0415

    from klue_beam.beam_pipelines.views.consoles import open_console  # noqa: PLC0415
    from klue_beam.beam_pipelines.views.progress import make_bar  # noqa: PLC0415

    out, err = open_console(), open_console(stderr=True)
    bar = make_bar("verifying shards", err)
    with bar:
        task = bar.add_task("", total=None)
        report = verify(dataset, lambda done, total: bar.update(task, completed=done, total=total))
    for fault in report.faults[:MOST_FAULTS_SHOWN]:
        out.print(Text(f"FAULT {fault}", style="red"), soft_wrap=True)
    if len(report.faults) > MOST_FAULTS_SHOWN:
        out.print(f"… and {len(report.faults) - MOST_FAULTS_SHOWN:,} faults more")
    for source, why in report.not_recounted.items():
        out.print(Text(f"not counted again: {source}: {why}"), soft_wrap=True)
    for name, number in report.counts.items():
        out.print(f"{name.replace('_', ' '):<24}{number:>14,}", highlight=False)
    verdict, code = _judge(report)
    out.print(verdict, highlight=False, soft_wrap=True)
    return code


def _judge(report: "VerifyReport") -> tuple[str, int]:
    """Say what a report means, and give the exit code."""
    if report.is_at_work:
        return "A run is at work in the dataset. Verify it when that is done.", AT_WORK
    if report.faults:
        return f"The dataset is not whole: {len(report.faults):,} faults.", INCOMPLETE
    if report.not_recounted:
        number = len(report.not_recounted)
        return (
            f"The dataset is whole as far as can be told: {number:,} of its sources could not be counted again.",
            NOT_PROVED,
        )
    return "The dataset is whole.", OK
