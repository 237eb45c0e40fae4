"""How `klue-beam annotate` scales: with worker processes, and with the size of its input.

    python -m benchmarks.scaling workers --input TEXTS --size 2MB -- --model small
    python -m benchmarks.scaling sizes --input TEXTS --sizes 5MB 50MB -- --model tiny

  workers  the same input with 1 worker and with several, of one thread each: on so many free cores the ratio should be
           near their number
  sizes    two sizes of text, documents distinct: the time for each MB and the peak memory of all processes should be
           the same

The text is made of the input's sentences in ever new orders. Each run is a whole command; what it takes on one document
is start-up, left out and given beside. What follows `--` goes to `klue-beam annotate`.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from beam_pipelines.options import parse_size_bytes
from benchmarks.memory import BYTES_PER_MB
from benchmarks.memory import measure as run_command
from benchmarks.report import new_console, new_table
from benchmarks.samples import write_distinct

SHARDS_A_WORKER = 8
"""So many shards, that no worker waits long for the last of another."""


class Measured(NamedTuple):
    """A run of the command.

    Attributes:
      size_bytes: of the input.
      peak_bytes: memory of all its processes together, at its highest.
      seconds: by the wall clock, start-up left out.
    """

    size_bytes: int
    peak_bytes: int
    seconds: float

    @property
    def seconds_per_mb(self) -> float:
        """Seconds for each 10^6 bytes of input."""
        return self.seconds / self.size_bytes * BYTES_PER_MB


class CommandRunner:
    """Runs `klue-beam annotate` on files, each into a folder of its own.

    Args:
      folder: where outputs go.
      options: options of the command.
    """

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self._folder, self._options, self._runs = folder, list(options), 0

    def run(self, source: Path, workers: int, startup_seconds: float, *options: str) -> Measured:
        """Annotate a file.

        Args:
          source: the file.
          workers: processes of one thread each.
          startup_seconds: left out of the time.
          options: further options of the command.
        """
        self._runs += 1
        output = self._folder / f"out-{self._runs}"
        arguments = ["--input", str(source), "--output", str(output), "--workers", str(workers), "--threads", "1"]
        peak_bytes, seconds = run_command([*arguments, *options, *self._options])
        return Measured(source.stat().st_size, peak_bytes, seconds - startup_seconds)


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


def _time_startup(runner: CommandRunner, source: str, folder: Path, workers: int) -> float:
    """Give the seconds that the command takes on one document. More workers than shards are not started."""
    return runner.run(write_distinct(source, 1, folder / f"one-{workers}.jsonl"), workers, 0.0).seconds


def compare_workers(call: argparse.Namespace, folder: Path, console: Console) -> None:
    """Run the same text with one worker and with several, and print the ratio of their times."""
    runner = CommandRunner(folder, call.options)
    text = write_distinct(call.input, call.size, folder / "text.jsonl")
    startup = _time_startup(runner, call.input, folder, 1)
    shards = ("--shard_bytes", str(max(1, text.stat().st_size // (SHARDS_A_WORKER * call.workers))))
    runs = [(workers, runner.run(text, workers, startup, *shards)) for workers in (1, call.workers)]
    table = new_table("workers", "MB", "start-up, s", "seconds", "seconds/MB", "peak memory, MB", "ratio")
    for workers, run in runs:
        table.add_row(f"{workers}", f"{run.size_bytes / BYTES_PER_MB:.2f}", f"{startup:.1f}", f"{run.seconds:.1f}",
                      f"{run.seconds_per_mb:.2f}", f"{run.peak_bytes / BYTES_PER_MB:,.0f}",
                      f"{runs[0][1].seconds / run.seconds:.2f}")  # fmt: skip
    console.print(table)
    ratio = runs[0][1].seconds / runs[1][1].seconds
    console.print(f"ratio of the speed of {call.workers} workers to that of 1: {ratio:.2f}")


def compare_sizes(call: argparse.Namespace, folder: Path, console: Console) -> None:
    """Run two sizes of distinct text, and print the ratios of time for each MB and of peak memory."""
    runner = CommandRunner(folder, call.options)
    startup = _time_startup(runner, call.input, folder, call.workers)
    runs = [
        runner.run(write_distinct(call.input, size, folder / f"text-{size}.jsonl"), call.workers, startup)
        for size in call.sizes
    ]
    table = new_table("MB", "start-up, s", "seconds", "seconds/MB", "ratio", "peak memory, MB", "ratio")
    for run in runs:
        table.add_row(f"{run.size_bytes / BYTES_PER_MB:.2f}", f"{startup:.1f}", f"{run.seconds:.1f}",
                      f"{run.seconds_per_mb:.2f}", f"{run.seconds_per_mb / runs[0].seconds_per_mb:.3f}",
                      f"{run.peak_bytes / BYTES_PER_MB:,.0f}",
                      f"{run.peak_bytes / runs[0].peak_bytes:.3f}")  # fmt: skip
    console.print(table)
    console.print(
        f"ratio of the larger to the smaller: time for each MB "
        f"{runs[1].seconds_per_mb / runs[0].seconds_per_mb:.3f}, peak memory "
        f"{runs[1].peak_bytes / runs[0].peak_bytes:.3f}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of this module; gives the exit code."""
    call = make_parser().parse_args(arguments)
    compare = {"workers": compare_workers, "sizes": compare_sizes}[call.command]
    try:
        with tempfile.TemporaryDirectory(prefix="klue-beam-scaling-") as name:
            compare(call, Path(name), new_console())
    except (ValueError, OSError) as error:
        print(f"benchmarks.scaling: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
