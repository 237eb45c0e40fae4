"""Where tables and sentences are drawn: a terminal, or a file or pipe that has no width of its own."""

import os
import shutil
from typing import Final, TextIO

from rich.console import Console

WIDTH_OF_A_FILE: Final = 10_000
"""Where there is no terminal, nothing is wrapped unless COLUMNS says how wide it is."""


def open_console(file: TextIO, *, width_of_a_file: int = WIDTH_OF_A_FILE) -> Console:
    """Open a console on a terminal or on a file.

    Args:
      file: where to.
      width_of_a_file: how wide it is where `file` is no terminal and COLUMNS is not set.
    """
    if file.isatty():
        return Console(file=file)
    width = shutil.get_terminal_size().columns if os.environ.get("COLUMNS") else width_of_a_file
    return Console(file=file, width=width)
