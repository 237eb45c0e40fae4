"""Annotated sentences drawn in a terminal, each task's findings as the task draws them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.sentence import SENTENCE
from klue_beam.transforms.base.printable import show_in_place
from klue_beam.transforms.plan.dataset import Dataset
from klue_beam.transforms.tasks.base import Drawing

Row = Mapping[str, Any]
"""One row of the output, as `to_pylist` gives it."""

LONGEST_PREVIEW_CHARS: Final = 90
"""A preview passes over longer sentences while there are shorter ones."""

PREVIEW_ROWS: Final = 1000
"""So many rows of a segment are looked at to pick from."""


def draw_sentence(row: Row, *, in_order: bool = False) -> RenderableType:
    """Draw an annotated sentence; what was not asked for or not found is left out.

    Args:
      row: of the output's schema. Control characters in it are drawn as their pictures.
      in_order: whether the words of a tree stand in their order, joined by arcs, and not nested.

    Returns:
      Something that a rich console prints; it measures Korean as two cells a syllable, and breaks no line within what a
      task has marked.
    """
    row = show_in_place(dict(row))
    drawing = Drawing(
        Text(f"{row['doc_id']} · {row['sentence_index']}", style="dim"), Text(row["text"]), in_order=in_order
    )
    known = {task.field.name: task for task in TASKS.values()}
    for name, value in row.items():
        if value is None or value == [] or name in SENTENCE.names:
            continue
        if name in known:
            known[name].draw(row, drawing)
        else:
            drawing.head.append(f"  {name}: {value}")  # the package of its task is not installed
    if flags := row.get("flags"):
        drawing.head.append(f"  {', '.join(flags)}", style="not dim yellow")
    return Group(drawing.head, _Unbroken(drawing.sentence), *drawing.below)


@dataclass(frozen=True, slots=True)
class _Unbroken:
    """Text in lines that end between words, and never within what is marked unless that alone is wider than a line."""

    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        line = Text()
        for piece in self._pieces():
            if line and line.cell_len + piece.cell_len - _blank_end(piece) > options.max_width:
                yield _without_end(line)
                line = Text()
            line.append_text(piece)
        yield _without_end(line)

    def _pieces(self) -> Iterator[Text]:
        """Cut the text behind each run of white space that is not in what is marked."""
        plain, spans = self.text.plain, self.text.spans
        marked = bytearray(len(plain))
        for span in spans:
            marked[span.start : span.end] = b"\1" * (span.end - span.start)
        ends = [
            i for i in range(1, len(plain)) if plain[i - 1].isspace() and not plain[i].isspace() and not marked[i - 1]
        ]
        yield from self.text.divide(ends)


def _blank_end(text: Text) -> int:
    return len(text.plain) - len(text.plain.rstrip())


def _without_end(text: Text) -> Text:
    text = text.copy()
    text.rstrip()
    return text


def _interest(row: Row) -> tuple[bool, int, int]:
    short = len(row["text"]) <= LONGEST_PREVIEW_CHARS
    return short, min(len(row.get("relations") or ()), 2), min(len(row.get("entities") or ()), 3)


def pick_sentences(dataset: Dataset, number: int) -> list[Row]:
    """Pick sentences of a dataset to show, the same ones each time.

    The first rows of each segment are cut into `number` parts, and of each part the row with the most relations and
    entities is taken, short ones first.

    Args:
      dataset: what is shown.
      number: at most so many.

    Raises:
      ValueError, OSError: if a file of the dataset cannot be read.
    """
    picked: list[Row] = []
    for receipt in dataset.receipts():
        if len(picked) >= number:
            break
        first = next(dataset.segment_rows(receipt), None)
        rows = first.slice(0, PREVIEW_ROWS).to_pylist() if first is not None else []
        wanted = min(number - len(picked), len(rows))
        for part in range(wanted):
            picked.append(max(rows[part * len(rows) // wanted : (part + 1) * len(rows) // wanted], key=_interest))
    return picked


def draw_preview(console: Console, dataset: Dataset, number: int) -> None:
    """Draw up to `number` sentences of a dataset."""
    for row in pick_sentences(dataset, number):
        console.print(draw_sentence(row))
        console.print()
