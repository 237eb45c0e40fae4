"""Peak memory of a job and of one ten times as large, from a plain file and from one .gz: the ratios should be near 1.

    python benchmarks/memory.py --input ../shared/data/text/boddari.jsonl.xz -- --tasks tc --workers 2

What follows `--` goes to `klue-beam annotate`. The larger input is the smaller one, repeated. The memory of a job is
that of its whole tree of processes: their proportional set sizes, or resident set sizes where the system has no such.
"""

import argparse
import gzip
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import smart_open
from rich.console import Console
from rich.table import Table

SAMPLE_SECONDS = 0.5
BYTES_PER_MB = 1_000_000


def tree_bytes(root: psutil.Process) -> int:
    """Memory of a process and all below it, now; those that end meanwhile count nothing."""
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def measure(arguments: list[str], sample_seconds: float = SAMPLE_SECONDS) -> tuple[int, float]:
    """Run `klue-beam annotate`; give the peak memory in bytes and the seconds it took.

    Args:
      arguments: of the command.
      sample_seconds: between two looks at its memory, each of which takes milliseconds of a core and of its processes.
    """
    began = time.monotonic()
    command = [sys.executable, "-m", "klue_beam", "annotate", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as job:
        root, peak_bytes = psutil.Process(job.pid), 0
        while job.poll() is None:
            try:
                peak_bytes = max(peak_bytes, tree_bytes(root))
            except psutil.NoSuchProcess:
                break
            time.sleep(sample_seconds)
        said = job.stderr.read() if job.stderr else ""
    if job.returncode:
        sys.exit(f"{' '.join(command)} ended with {job.returncode}:\n{said}")
    return peak_bytes, time.monotonic() - began


def make_inputs(source: Path, times: int, folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Make the source once and several times over, plain and compressed: (kind, smaller, larger)."""
    suffix = Path(source.name.removesuffix(".xz").removesuffix(".gz").removesuffix(".bz2").removesuffix(".zst")).suffix
    once, often = folder / f"once{suffix}", folder / f"often{suffix}"
    with smart_open.open(source, "rb") as file, once.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    with often.open("wb") as copy:
        for _ in range(times):
            with once.open("rb") as file:
                shutil.copyfileobj(file, copy)
    yield "plain", once, often
    packed = []
    for path in (once, often):
        packed.append(path.with_name(f"{path.name}.gz"))
        with path.open("rb") as file, gzip.open(packed[-1], "wb", compresslevel=1) as copy:
            shutil.copyfileobj(file, copy)
    yield "one .gz", packed[0], packed[1]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="one file, compressed or not")
    parser.add_argument("--times", type=int, default=10, help="how often the larger input repeats it")
    parser.add_argument("--within", type=float, default=0.15, help="a larger deviation of a ratio from 1 is a failure")
    parser.add_argument("options", nargs="*", help="options of `klue-beam annotate`, behind --")
    call = parser.parse_args()
    table = Table("input", "MB", "seconds", "peak memory, MB", "ratio", box=None)
    missed = False
    with tempfile.TemporaryDirectory(prefix="klue-beam-memory-") as name:
        for kind, *paths in make_inputs(call.input, call.times, Path(name)):
            peaks: list[int] = []
            for path in paths:
                output = Path(name) / f"out-{path.name}"
                peak_bytes, seconds = measure(["--input", str(path), "--output", str(output), *call.options])
                shutil.rmtree(output)
                peaks.append(peak_bytes)
                ratio = peaks[-1] / peaks[0]
                megabytes = (path.stat().st_size / BYTES_PER_MB, peak_bytes / BYTES_PER_MB)
                table.add_row(kind, f"{megabytes[0]:,.1f}", f"{seconds:,.0f}", f"{megabytes[1]:,.0f}", f"{ratio:.3f}")
            missed |= abs(peaks[-1] / peaks[0] - 1) > call.within
    Console().print(table)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
