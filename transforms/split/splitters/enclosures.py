"""Which quotation marks and brackets belong together."""

from typing import Final

import numpy as np

from klue_beam.transforms.base.codepoints import Ints
from klue_beam.transforms.split.splitters.layout import CLOSER, COMMA, LATIN, NONE, OPENER, QUOTE, SPACE, STOP, Layout

MAX_ENCLOSED: Final = 700
"""Marks further apart than so many ids are not taken for a pair: one of them is a stray."""

_MAX_DEPTH: Final = 8
_PAIRS: Final = (
    "()",
    "[]",
    "{}",
    "<>",
    "‘’",
    "“”",
    "「」",
    "『』",
    "《》",
    "〈〉",
    "【】",
    "〔〕",
    "（）",
    "［］",
    "｛｝",
    "＜＞",
)
_CLOSER_OF: Final = {ord(pair[0]): ord(pair[1]) for pair in _PAIRS}
_IS_MARK: Final = np.isin(np.arange(256), (OPENER, CLOSER, QUOTE))
_BEFORE_WORDS: Final = (SPACE, NONE, OPENER)
_AFTER_WORDS: Final = (SPACE, NONE, COMMA, STOP, CLOSER)


class _Matcher:
    """A bounded stack of open marks, and the outermost pairs found so far."""

    def __init__(self) -> None:
        self.open: list[tuple[int, int]] = []
        self.pairs: list[tuple[int, int]] = []

    def push(self, closer: int, at: int) -> None:
        if len(self.open) == _MAX_DEPTH:
            del self.open[0]
        self.open.append((closer, at))

    def find(self, closer: int, at: int) -> int:
        """Give the depth at which a mark with this closer is open and near enough, or -1."""
        for depth in range(len(self.open) - 1, -1, -1):
            if at - self.open[depth][1] > MAX_ENCLOSED:
                del self.open[: depth + 1]
                return -1
            if self.open[depth][0] == closer:
                return depth
        return -1

    def close(self, depth: int, at: int) -> None:
        begin = self.open[depth][1]
        del self.open[depth:]
        while self.pairs and self.pairs[-1][0] > begin:
            self.pairs.pop()
        self.pairs.append((begin, at))


def find_enclosures(layout: Layout) -> tuple[Ints, Ints]:
    """Pair quotation marks and brackets, document by document, in linear time.

    Straight quotes open after white space and close before it; apostrophes between Latin letters are left alone.

    Returns:
      Positions of the opening and the closing mark of each outermost pair, ascending. Shape: (n_pairs,) each.
    """
    at = np.flatnonzero(_IS_MARK[layout.classes])
    if not at.size:
        return at, at
    document = np.searchsorted(layout.begins, at, side="right").tolist()
    kinds, before, after = (layout.classes[at + step].tolist() for step in (0, -1, 1))
    matcher, current, done = _Matcher(), -1, []
    for place, mark, kind, left, right, of in zip(
        at.tolist(), layout.ids[at].tolist(), kinds, before, after, document, strict=True
    ):
        if of != current:
            done += matcher.pairs
            matcher, current = _Matcher(), of
        if kind == OPENER:
            matcher.push(_CLOSER_OF[mark], place)
        elif kind != QUOTE or left != LATIN or right != LATIN:
            _close_or_open(matcher, place, mark, kind == QUOTE, left in _BEFORE_WORDS and right not in _AFTER_WORDS)
    done += matcher.pairs
    pairs = np.array(done, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _close_or_open(matcher: _Matcher, place: int, mark: int, is_quote: bool, looks_opening: bool) -> None:
    depth = matcher.find(mark, place)
    if is_quote and looks_opening and depth >= 0:
        del matcher.open[depth:]
        depth = -1
    if depth >= 0:
        matcher.close(depth, place)
    elif is_quote and looks_opening:
        matcher.push(mark, place)
