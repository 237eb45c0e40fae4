"""Annotated sentences drawn in a terminal: topic, entities, relations and the dependency tree."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from klue_beam.transforms.plan.dataset import Dataset

Row = Mapping[str, Any]
"""One row of the output, as `to_pylist` gives it."""

ENTITY_STYLES: Final = {
    "PS": "black on bright_green",
    "LC": "black on bright_cyan",
    "OG": "black on bright_yellow",
    "DT": "black on bright_magenta",
    "TI": "black on magenta",
    "QT": "white on blue",
    "POH": "black on white",
    "NOH": "black on white",
}
LABEL_STYLE: Final = "bold"
QUIET_STYLE: Final = "dim"
LONGEST_PREVIEW_CHARS: Final = 90
"""A preview passes over longer sentences while there are shorter ones."""

PREVIEW_ROWS: Final = 1000
"""So many rows of a segment are looked at to pick from."""


def _highlight_entities(row: Row) -> Text:
    """Give the sentence with each entity on its colour, its label behind it, so that it reads without colours too."""
    text, line, done = row["text"], Text(), 0
    for entity in row.get("entities") or ():
        line.append(text[done : entity["begin"]])
        style = ENTITY_STYLES.get(entity["label"], "reverse")
        line.append(f"[{entity['text']}", style=style)
        line.append(f" {entity['label']}]", style=f"{style} {LABEL_STYLE}")
        done = entity["end"]
    line.append(text[done:])
    return line


def _relation_lines(row: Row) -> Iterator[Text]:
    entities = row.get("entities") or ()
    for relation in row.get("relations") or ():
        subject, object_ = (entities[relation[side]]["text"] for side in ("subject", "object"))
        yield Text.assemble(
            f"{subject} ", ("─ ", QUIET_STYLE), (relation["label"], LABEL_STYLE), (" → ", QUIET_STYLE), object_,
            (f"  {relation['score']:.2f}", QUIET_STYLE),
        )  # fmt: skip


def _dependency_tree(arcs: Sequence[Mapping[str, Any]]) -> Tree:
    """Nest eojeols below their heads, those of one head in the order of the sentence."""
    children: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for arc in arcs:
        children[arc["head"]].append(arc)

    def label(arc: Mapping[str, Any]) -> Text:
        return Text.assemble(arc["form"], " ", (arc["deprel"], "cyan"))

    (root,) = children[0]
    tree = Tree(label(root), guide_style=QUIET_STYLE)
    open_branches = [(root["index"], tree)]
    while open_branches:  # no recursion: a tree is as deep as a sentence has words
        index, branch = open_branches.pop()
        open_branches += [(child["index"], branch.add(label(child))) for child in children[index]]
    return tree


def draw_sentence(row: Row) -> RenderableType:
    """Draw an annotated sentence; what was not asked for or not found is left out.

    Args:
      row: of the output's schema.

    Returns:
      Something that a rich console prints; it measures Korean as two cells a syllable.
    """
    head = Text(f"{row['doc_id']} · {row['sentence_index']}", style=QUIET_STYLE)
    if topic := row.get("topic"):
        head.append(f"  {topic['label']}", style="not dim bold magenta").append(f" {topic['score']:.2f}")
    if flags := row.get("flags"):
        head.append(f"  {', '.join(flags)}", style="not dim yellow")
    parts: list[RenderableType] = [head, _highlight_entities(row), *_relation_lines(row)]
    if arcs := row.get("dependencies"):
        parts.append(_dependency_tree(arcs))
    return Group(*parts)


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
