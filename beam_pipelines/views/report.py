"""A report on a model's scores, drawn in a terminal."""

import math
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from klue_beam.transforms.tasks.base import Task
from klue_beam.transforms.tasks.report import (
    CALIBRATION_ERROR,
    Confusion,
    FurtherTable,
    LabelScore,
    Mistake,
    Report,
)

COMMON_METRICS: Final = {CALIBRATION_ERROR: "expected calibration error"}
"""What the scores are called that every task has."""

CONFUSIONS_SHOWN: Final = 12


def draw_report(console: Console, task: Task, title: str, rows_note: str, report: Report) -> None:
    """Draw a report: metrics beside KLUE-BERT-base's, a table by label, confusions, surest mistakes.

    Args:
      console: where to.
      task: what was scored; it names its metrics.
      title: the model and the data.
      rows_note: which rows were scored.
      report: what to draw.
    """
    console.print(Text(f"{task.name}: {title}", style="bold"), soft_wrap=True)
    console.print(Text(f"{report.rows:,} rows: {rows_note}."), soft_wrap=True)
    for heading, table in (
        ("Scores", _metrics(task, report)),
        *((further.heading, _further(further)) for further in report.further),
        ("By label", _labels(report.labels)),
        (f"Confusions, the {CONFUSIONS_SHOWN} most frequent", _confusions(report.confusions)),
    ):
        console.print()
        console.print(Text(heading, style="bold"))
        console.print(table)
    console.print()
    console.print(Text("The surest mistakes", style="bold"))
    _print_mistakes(console, report.mistakes)


def _number(value: float | None) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


def _metrics(task: Task, report: Report) -> Table:
    table = _table(("metric", "score", "KLUE-BERT-base") if task.published else ("metric", "score"))
    titles = {**COMMON_METRICS, **task.metrics}
    for name, value in {**report.metrics, **report.details}.items():
        published = task.published.get(name)
        table.add_row(titles.get(name, name), _number(value), *([_number(published)] if task.published else []))
    return table


def _further(further: FurtherTable) -> Table:
    table = _table(tuple(further.columns.values()))
    first, *others = further.columns
    for row in further.rows:
        table.add_row(str(getattr(row, first)), *(_number(getattr(row, name)) for name in others))
    return table


def _labels(labels: Sequence[LabelScore]) -> Table:
    table = _table(("label", "precision", "recall", "F1", "gold"))
    for row in labels:
        table.add_row(row.label, *map(_number, row[1:]))
    return table


def _table(columns: Sequence[str]) -> Table:
    """Give an empty table, numbers to the right in all columns but the first."""
    table = Table(*columns, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _confusions(confusions: Sequence[Confusion]) -> Table:
    table = Table("gold", "taken for", "times", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    for confusion in confusions[:CONFUSIONS_SHOWN]:
        table.add_row(confusion.gold, confusion.predicted, f"{confusion.times:,}")
    return table


def _print_mistakes(console: Console, mistakes: Sequence[Mistake]) -> None:
    for mistake in mistakes:
        line = Text(f"{mistake.score:.3f}  ", style="dim")
        line.append(f"{mistake.predicted}", style="red").append(" for ").append(mistake.gold, style="green")
        console.print(line, soft_wrap=True)
        console.print(Text(f"       {mistake.text}"), soft_wrap=True)
