"""Many files of one line against one file of the same lines: time, and files in the dataset.

    python benchmarks/many_files.py --files 10000 -- --model tiny --tasks tc --workers 2

What follows `--` goes to `klue-beam annotate`. Time is told by the clock, and in seconds of processor time of the
command and of all processes that it starts, which other work on the machine disturbs less.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Run(NamedTuple):
    """What annotating an input took, and how many data files it left."""

    wall_seconds: float
    cpu_seconds: float
    files: int


def annotate(source: Path, output: Path, options: list[str]) -> Run:
    """Annotate a file or a folder.

    Raises:
      SystemExit: if the command fails.
    """
    command = [sys.executable, "-m", "klue_beam", "annotate", "--input", str(source), "--output", str(output), *options]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(time.monotonic() - began, cpu_seconds, len(list(output.glob("data/*.parquet"))))


def write_lines(folder: Path, n_files: int) -> tuple[Path, Path]:
    """Write the same lines as one file, and as a folder of one file a line."""
    one, many = folder / "one.txt", folder / "many"
    many.mkdir()
    lines = [f"{number}번째 글이다. 김하늘 대표는 부산에서 {number % 40}년 동안 일했다.\n" for number in range(n_files)]
    one.write_text("".join(lines), encoding="utf-8")
    for number, line in enumerate(lines):
        (many / f"{number:06d}.txt").write_text(line, encoding="utf-8")
    return one, many


def main() -> None:
    """Annotate both and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, metavar="N", help="how many files (default: %(default)s).")
    parser.add_argument("options", nargs="*", metavar="OPTION", help="of `klue-beam annotate`, behind --.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="klue-beam-many-files-") as folder:
        one, many = write_lines(Path(folder), arguments.files)
        runs = {
            "one file": annotate(one, Path(folder) / "out-one", arguments.options),
            f"{arguments.files:,} files": annotate(many, Path(folder) / "out-many", arguments.options),
        }
    table = Table("input", "seconds", "processor seconds", "data files", box=None, pad_edge=False)
    for name, run in runs.items():
        table.add_row(name, f"{run.wall_seconds:.1f}", f"{run.cpu_seconds:.1f}", f"{run.files:,}")
    whole, parts = runs.values()
    ratio = (parts.wall_seconds / whole.wall_seconds, parts.cpu_seconds / whole.cpu_seconds)
    table.add_row("ratio", f"{ratio[0]:.2f}", f"{ratio[1]:.2f}", "")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
