"""A tree drawn as arcs beside its words, in the order of the sentence, a line a word."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

MOST_LEVELS: Final = 14
"""Arcs that lie deeper within each other make the margin too wide."""

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_SIGNS: Final = {
    0: " ",
    _UP | _DOWN: "│",
    _LEFT | _RIGHT: "─",
    _DOWN | _RIGHT: "╭",
    _UP | _RIGHT: "╰",
    _UP | _DOWN | _RIGHT: "├",
    _DOWN | _LEFT | _RIGHT: "┬",
    _UP | _LEFT | _RIGHT: "┴",
    _UP | _DOWN | _LEFT | _RIGHT: "┼",
}


def draw_arcs(arcs: Sequence[Mapping[str, Any]]) -> Text | None:
    """Draw a tree: an arc from each word to its head, with an arrow at the word; the root has a dot.

    Args:
      arcs: of the output, in order, at least one.

    Returns:
      A line a word with its label, or None if arcs lie too deep within each other.
    """
    levels = _find_levels([(arc["index"] - 1, arc["head"] - 1) for arc in arcs if arc["head"]])
    n_levels = max(levels.values(), default=0)
    if n_levels > MOST_LEVELS:
        return None
    width = 2 * n_levels
    grid = [[0] * width for _ in arcs]
    for (word, head), level in levels.items():
        first, last = sorted((word, head))
        column = width - 2 * level
        for line in range(first, last + 1):
            grid[line][column] |= (_DOWN if line < last else 0) | (_UP if line > first else 0)
        for line in (first, last):
            grid[line][column] |= _RIGHT
            for place in range(column + 1, width):
                grid[line][place] |= _LEFT | _RIGHT
    lines = []
    for arc, row in zip(arcs, grid, strict=True):
        joined = bool(row) and bool(row[-1] & _RIGHT)
        end = "●" if not arc["head"] else "▶" if joined else " "
        margin = "".join(_SIGNS[cell] for cell in row) + end
        lines.append(Text.assemble((margin, "dim"), " ", arc["form"], " ", (arc["deprel"], "cyan")))
    text = Text("\n").join(lines)
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text


def _find_levels(arcs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Find how far from the words each arc goes: further than those within it, not as far as one that it touches."""
    levels: dict[tuple[int, int], int] = {}
    for one in sorted(arcs, key=lambda arc: (abs(arc[0] - arc[1]), arc)):
        begin, end = sorted(one)
        within = [level for other, level in levels.items() if min(other) < end and max(other) > begin]
        touched = {level for other, level in levels.items() if min(other) == end or max(other) == begin}
        levels[one] = next(level for level in itertools.count(1 + max(within, default=0)) if level not in touched)
    return levels
