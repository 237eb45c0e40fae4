"""How `klue-beam annotate` scales: with worker processes, and with the size of its input.

    python -m benchmarks.scaling workers --input TEXTS --size 2MB -- --model small
    python -m benchmarks.scaling sizes --input TEXTS --sizes 5MB 50MB -- --model tiny

  workers  the same input with 1 worker and with several, of one thread each: on so many free cores the ratio should be
           near their number
  sizes    two sizes of text, documents distinct: the time for each MB and the peak memory of all processes should be
           the same

The text is the input's sentences in ever new orders, cut into shards. Each run is a whole command. The clock
runs from the moment when each worker has committed a shard to the last commit: start-up is left out and given beside,
with those first shards. What follows `--` goes to `klue-beam annotate`.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from benchmarks.commits import measure_commits
from benchmarks.memory import BYTES_PER_MB
from benchmarks.memory import measure as run_command
from benchmarks.report import new_table, run_in_folder
from benchmarks.samples import write_distinct
from klue_beam.beam_pipelines.commands.values import parse_size_bytes

SHARDS = 16
"""The smallest text is cut into so many shards for each worker, so that none waits long for the last of another."""

SAMPLE_SECONDS = 2.0
"""Memory is looked at so seldom, since that would take a tenth of a core from two workers that have two."""

OWN_OPTIONS = ("--input", "--output", "--workers", "--threads", "--shard_bytes")
"""What this benchmark tells the command itself: with more workers than it knows of, its clock would start too early."""


class Measured(NamedTuple):
    """A run of the command.

    Attributes:
      size_bytes: of the input.
      peak_bytes: memory of all its processes together, at its highest.
      startup_seconds: until each worker had committed a shard.
      seconds_per_mb: from then on, for each 10^6 bytes of input.
    """

    size_bytes: int
    peak_bytes: int
    startup_seconds: float
    seconds_per_mb: float


class CommandRunner:
    """Runs `klue-beam annotate` on files, each into a folder of its own.

    Args:
      folder: where outputs go.
      options: options of the command.

    Raises:
      ValueError: if one of them is of OWN_OPTIONS.
    """

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        own = [option for option in options if option.partition("=")[0] in OWN_OPTIONS]
        if own:
            raise ValueError(f"{', '.join(own)} behind -- is set by this benchmark itself; see its options before --")
        self._folder, self._options, self._runs = folder, list(options), 0

    def run(self, source: Path, workers: int, shard_bytes: int) -> Measured:
        """Annotate a file.

        Args:
          source: the file.
          workers: processes of one thread each.
          shard_bytes: of the file, or of the smallest of those that it is compared with.

        Raises:
          ValueError: if the file is too small to have more shards than workers.
        """
        self._runs += 1
        output = self._folder / f"out-{self._runs}"
        values = (source, output, workers, 1, shard_bytes)
        own = [str(part) for pair in zip(OWN_OPTIONS, values, strict=True) for part in pair]
        began = time.time()
        peak_bytes, _ = run_command([*own, *self._options], SAMPLE_SECONDS)
        committed = measure_commits(output, workers)
        per_mb = committed.seconds / committed.input_bytes * BYTES_PER_MB
        return Measured(source.stat().st_size, peak_bytes, committed.began - began, per_mb)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    workers = commands.add_parser("workers", help="one worker against several")
    sizes = commands.add_parser("sizes", help="a smaller input against a larger one")
    for command in (workers, sizes):
        command.add_argument("--input", required=True, metavar="PATH", help="where the sentences come from.")
        command.add_argument("options", nargs="*", help="options of `klue-beam annotate`, behind --")
    workers.add_argument(
        "--size",
        type=parse_size_bytes,
        default=parse_size_bytes("2MB"),
        help="of the text, for instance 2MB; it should take minutes (default: 2MB).",
    )
    workers.add_argument(
        "--workers", type=int, default=2, metavar="N", help="against one (default: %(default)s, for two free cores)."
    )
    sizes.add_argument(
        "--sizes",
        type=parse_size_bytes,
        nargs=2,
        default=[parse_size_bytes("5MB"), parse_size_bytes("50MB")],
        metavar="SIZE",
        help="the smaller and the larger (default: 5MB 50MB).",
    )
    sizes.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes, the same for both (default: %(default)s)."
    )
    return parser


def print_runs(console: Console, name: str, runs: Sequence[tuple[str, Measured]]) -> None:
    """Print runs, and their ratios to the first.

    Args:
      console: where to.
      name: of what differs from run to run.
      runs: with what they differ in.
    """
    table = new_table(name, "MB", "start-up, s", "seconds/MB", "ratio", "peak memory, MB", "ratio")
    first = runs[0][1]
    for label, run in runs:
        table.add_row(
            label,
            f"{run.size_bytes / BYTES_PER_MB:.2f}",
            f"{run.startup_seconds:.1f}",
            f"{run.seconds_per_mb:.2f}",
            f"{run.seconds_per_mb / first.seconds_per_mb:.3f}",
            f"{run.peak_bytes / BYTES_PER_MB:,.0f}",
            f"{run.peak_bytes / first.peak_bytes:.3f}",
        )
    console.print(table)


def compare_workers(call: argparse.Namespace, folder: Path, console: Console) -> None:
    """Run the same text with one worker and with several, and print the ratio of their speeds."""
    runner = CommandRunner(folder, call.options)
    text = write_distinct(call.input, call.size, folder / "text.jsonl")
    shard_bytes = max(1, call.size // (SHARDS * call.workers))
    one, several = (runner.run(text, workers, shard_bytes) for workers in (1, call.workers))
    print_runs(console, "workers", [("1", one), (str(call.workers), several)])
    console.print(
        f"ratio of the speed of {call.workers} workers to that of 1: {one.seconds_per_mb / several.seconds_per_mb:.2f}"
    )


def compare_sizes(call: argparse.Namespace, folder: Path, console: Console) -> None:
    """Run two sizes of distinct text, and print the ratios of time for each MB and of peak memory."""
    runner = CommandRunner(folder, call.options)
    shard_bytes = max(1, min(call.sizes) // (SHARDS * call.workers))
    texts = [write_distinct(call.input, size, folder / f"text-{size}.jsonl") for size in call.sizes]
    smaller, larger = (runner.run(text, call.workers, shard_bytes) for text in texts)
    print_runs(console, "text", [("smaller", smaller), ("larger", larger)])
    console.print(
        f"ratio of the larger to the smaller: time for each MB {larger.seconds_per_mb / smaller.seconds_per_mb:.3f}, "
        f"peak memory {larger.peak_bytes / smaller.peak_bytes:.3f}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of this module; gives the exit code."""
    call = make_parser().parse_args(arguments)
    compare = {"workers": compare_workers, "sizes": compare_sizes}[call.command]
    return run_in_folder("scaling", lambda folder, console: compare(call, folder, console))


if __name__ == "__main__":
    sys.exit(main())
