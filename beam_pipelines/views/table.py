"""Rows of a query drawn as a table, in columns of their true width."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from klue_beam.transforms.base.printable import show, show_lines
from klue_beam.transforms.report.results import to_cell

NOTHING: Final = "∅"
"""Stands for null, which is not the empty text."""

LONGEST_LINE: Final = 10_000
"""So wide is a table where there is no terminal, and COLUMNS does not say how wide it is."""

LONGEST_CELL_CHARS: Final = 300
"""A longer value is cut in a table; other formats have it whole."""


def draw_rows(console: Console, names: Sequence[str], rows: Iterable[Sequence[Any]], limit: int) -> None:
    """Draw the first rows of a result.

    Args:
      console: where to; in one that is no terminal, lines are as long as they need to be.
      names: of the columns.
      rows: values as JSON has them; no more of them are read than are drawn, and one.
      limit: at most so many rows are drawn.
    """
    taken = list(itertools.islice(rows, limit + 1))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for position, name in enumerate(names):
        found = [row[position] for row in taken if row[position] is not None]
        numbers = bool(found) and all(isinstance(value, int | float) for value in found)
        table.add_column(Text(show(name)), justify="right" if numbers else "left", overflow="fold")
    for row in taken[:limit]:
        table.add_row(*map(_cell, row))
    console.print(table, no_wrap=False, crop=False)
    said = f"the first {limit:,} rows; --limit gives more of them, --format csv all"
    count = said if len(taken) > limit else f"{len(taken):,} row{'s' * (len(taken) != 1)}"
    console.print(Text(f"({count})", style="dim"), soft_wrap=True)


def _cell(value: Any) -> Text:
    if value is None:
        return Text(NOTHING, style="dim")
    text = show_lines(to_cell(value, NOTHING))  # a table drawn by DuckDB itself (EXPLAIN) has lines of its own
    return Text(text if len(text) <= LONGEST_CELL_CHARS or "\n" in text else f"{text[:LONGEST_CELL_CHARS]}…")
