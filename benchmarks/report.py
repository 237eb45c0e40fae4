"""How benchmarks print: tables that keep their lines whole in a log."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.table import Table
from transformers.utils import logging

WIDTH: Final = 140


def new_console() -> Console:
    """Make a console for tables; keeps transformers from drawing bars between them."""
    logging.disable_progress_bar()
    return Console(highlight=False, soft_wrap=True, width=WIDTH)


def describe_processor() -> str:
    """Name what torch finds in the processor: which precision is the quickest depends on it."""
    bf16 = "with" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "without"
    return f"{torch.backends.cpu.get_cpu_capability()} {bf16} bf16"


def new_table(name: str, *figures: str) -> Table:
    """Make a table of a column of names, and of figures to its right."""
    table = Table(name, *figures, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def run_in_folder(name: str, measure: Callable[[Path, Console], None]) -> int:
    """Run a benchmark in a folder of its own that is gone afterwards; gives the exit code, 2 for a wrong call.

    Args:
      name: of the benchmark's module in this package.
      measure: is given the folder, and where to print.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f"klue-beam-{name}-") as folder:
            measure(Path(folder), new_console())
    except (ValueError, OSError) as error:
        print(f"benchmarks.{name}: {error}", file=sys.stderr)
        return 2
    return 0
