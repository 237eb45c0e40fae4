"""`klue-beam verify DIR`: prove that each input record is in a dataset exactly once."""

import argparse
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from klue_beam.transforms.verify.dataset import verify

MOST_FAULTS_SHOWN: Final = 50


def main(arguments: Sequence[str]) -> int:
    """Verify a dataset and say what is wrong with it.

    Returns:
      0 if it is whole, 1 if not, 2 for a wrong call.
    """
    parser = argparse.ArgumentParser(
        prog="klue-beam verify",
        description="Count the records of a dataset's inputs again, and prove that each is in the data or in the "
        "rejects exactly once and that every file is as it was written.",
    )
    parser.add_argument("dataset", metavar="DIR", help="the folder that was the --output of `klue-beam annotate`.")
    dataset: str = parser.parse_args(list(arguments)).dataset
    out, err = Console(), Console(stderr=True)
    bar = Progress(
        TextColumn("verifying shards"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    try:
        with bar:
            task = bar.add_task("", total=None)
            report = verify(dataset, lambda done, total: bar.update(task, completed=done, total=total))
    except ValueError as error:
        err.print(Text(f"klue-beam verify: {error}"), soft_wrap=True)
        return 2
    for fault in report.faults[:MOST_FAULTS_SHOWN]:
        out.print(Text(f"FAULT {fault}", style="red"), soft_wrap=True)
    if len(report.faults) > MOST_FAULTS_SHOWN:
        out.print(f"… and {len(report.faults) - MOST_FAULTS_SHOWN:,} faults more")
    for source, why in report.not_recounted.items():
        out.print(Text(f"not counted again: {source}: {why}"), soft_wrap=True)
    for name, number in report.counts.items():
        out.print(f"{name.replace('_', ' '):<24}{number:>14,}", highlight=False)
    out.print(
        "The dataset is whole." if report.is_whole else f"The dataset is not whole: {len(report.faults):,} faults."
    )
    return 0 if report.is_whole else 1
