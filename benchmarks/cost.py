"""What annotating costs: sentences per core-hour, and the core-hours of a terabyte of text.

    python -m benchmarks.cost --input TEXTS --model small tiny

A sample is annotated from the file to Parquet, all four tasks, as a worker of `klue-beam annotate` does it on one
thread; start-up is left out and given beside. A core-hour is an hour in which the process has a core (CPU time): on a
machine at rest it is an hour by the clock. A terabyte is 10^12 bytes of UTF-8 text like the sample's, decompressed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.report import describe_processor, new_table, run_in_folder
from benchmarks.samples import add_input_arguments, sample_documents
from benchmarks.timing import use_one_thread
from benchmarks.whole_run import WholeRun, Worker, models_of
from klue_beam.schemas.config import PRECISIONS, ModelConfig

SECONDS_AN_HOUR = 3600
BYTES_A_TERABYTE = 10**12


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_input_arguments(parser, 2000)
    parser.add_argument(
        "--model",
        nargs="+",
        default=["small"],
        metavar="NAME",
        help="multi-task models by name or folder; ratios are to the first (default: small).",
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=ModelConfig().precision, help="(default: %(default)s)."
    )
    return parser


def sentences_per_core_hour(run: WholeRun) -> float:
    """Say how many sentences a core annotates in an hour."""
    return run.sentences / run.spent.cpu * SECONDS_AN_HOUR


def core_hours_per_terabyte(run: WholeRun) -> float:
    """Say how many hours a core needs for 10^12 bytes of such text."""
    return BYTES_A_TERABYTE / run.text_bytes * run.spent.cpu / SECONDS_AN_HOUR


def print_costs(console: Console, runs: Sequence[tuple[str, WholeRun]]) -> None:
    """Print each model's cost, and its ratio to the first's."""
    table = new_table("model", "start-up, s", "seconds", "CPU seconds", "sentences/core-hour", "core-hours/TB",
                      "TB of Parquet/TB", "ratio")  # fmt: skip
    first = runs[0][1]
    for name, run in runs:
        ratio = sentences_per_core_hour(run) / sentences_per_core_hour(first)
        table.add_row(
            name,
            f"{run.startup.wall:.1f}",
            f"{run.spent.wall:.1f}",
            f"{run.spent.cpu:.1f}",
            f"{sentences_per_core_hour(run):,.0f}",
            f"{core_hours_per_terabyte(run):,.0f}",
            f"{run.output_bytes / run.text_bytes:.2f}",
            f"{ratio:.2f}",
        )
    console.print(table)
    for name, run in runs[1:]:
        ratio = sentences_per_core_hour(run) / sentences_per_core_hour(first)
        console.print(f"{name} is {ratio:.1f} times as fast as {runs[0][0]}")


def measure(call: argparse.Namespace, folder: Path, console: Console) -> None:
    """Annotate the sample with each model, and print what it costs."""
    documents = sample_documents(call.input, call.sentences)
    runs = []
    for number, name in enumerate(call.model):
        place = folder / str(number)
        place.mkdir()
        worker = Worker(models_of(name), place, documents, precision=call.precision)
        runs.append((name, worker.run("sample", documents)))
    run = runs[0][1]
    console.print(
        f"{run.sentences} sentences of {call.input}, {run.characters} characters, {run.text_bytes} bytes, "
        f"{call.precision}, one thread, {describe_processor()}\n"
    )
    print_costs(console, runs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of this module; gives the exit code."""
    call = make_parser().parse_args(arguments)
    use_one_thread()
    return run_in_folder("cost", lambda folder, console: measure(call, folder, console))


if __name__ == "__main__":
    sys.exit(main())
