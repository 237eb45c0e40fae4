"""Find every gap where a sentence can end, in a whole batch of documents at once, and describe it."""

from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.split.splitters.enclosures import find_enclosures
from klue_beam.transforms.split.splitters.features import COLUMN, COLUMNS, Candidates
from klue_beam.transforms.split.splitters.layout import (
    BLANK_LINE,
    CLASS,
    COMMA,
    DIGIT,
    FIRST_TAIL,
    HANGUL,
    LATIN,
    LINE_END,
    MOOD,
    N_IDS,
    PLAIN_SPACE,
    SPACE,
    STOP,
    Layout,
)

BARE, STOPPED, STOPPED_CLOSED, CLOSED, MOODY, MOODY_STOPPED = range(6)
"""Kinds of what stands between the last word and the candidate: nothing, a full stop, …"""

_GAP: Final = np.zeros(PLAIN_SPACE + 1, dtype=np.int64)
_GAP[[PLAIN_SPACE, LINE_END, BLANK_LINE]] = 1, 2, 3

_FINAL_CONSONANT: Final = np.zeros(N_IDS, dtype=np.int64)
_FINAL_CONSONANT[0xAC00:0xD7A4] = np.arange(0xD7A4 - 0xAC00) % 28 + 1

STRONG_ENDINGS: Final = "다요죠까음임함네"
_IS_STRONG_ENDING: Final = np.isin(np.arange(N_IDS), [ord(ending) for ending in STRONG_ENDINGS])

_FAR: Final = np.iinfo(np.int64).max
_FORWARDS: Final = np.arange(5)
_ANCHOR: Final = np.repeat((0, 1, 2), (6, 5, 3))
_OFFSET: Final = np.concatenate((-1 - np.arange(6), _FORWARDS, -1 - np.arange(3)))
"""Of L1 … T3: which place it is counted from (the end of the last word, the next word, the gap), and how far."""

_WINDOW_BITS: Final = np.zeros((11, 2), dtype=np.int64)
_WINDOW_BITS[:6, 0], _WINDOW_BITS[6:, 1] = 1 << np.arange(6), 1 << np.arange(5)
_LEADING: Final = np.array([(~pattern & (pattern + 1)).bit_length() - 1 for pattern in range(64)])
"""How many of the lowest bits of a pattern are set before the first that is not."""

_ENCLOSED: Final = [COLUMNS.index(name) for name in ("I", "IO", "IC", "A1", "A2")]
_LENGTHS: Final = [COLUMNS.index(name) for name in ("EL", "RL")]
_CLASSES_SEEN: Final = (0, 1, 2, 6, 7, 8)
_DISTANCES: Final = [COLUMNS.index(name) for name in ("IO", "IC", "DE", "DB", "S1", "S2")]
_BUCKET: Final = np.minimum(2 * np.log2(np.arange(200) + 1), 15).astype(np.int64)
"""By distance, the last entry for all greater ones: half octaves, 0 to 15."""

_COUNT: Final = np.array([0, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7], dtype=np.int64)
_DOCUMENT_END: Final = np.array([0] * STOP + [1, 2, 2, 2], dtype=np.int64)
"""By class of the last character: a word, a full stop, another mark."""

_IS_LATIN_OR_DIGIT, _IS_END = (np.isin(np.arange(13), kinds) for kinds in ((LATIN, DIGIT), (STOP, MOOD)))
_IS_WORD: Final = (np.arange(13) < FIRST_TAIL) & (np.arange(13) != SPACE)


def _can_part() -> Bools:
    """Tell of two neighbouring classes, as 16 * left + right, whether a sentence can end between them."""
    table = np.zeros((16, 16), dtype=bool)
    table[SPACE + 1 : MOOD + 1, SPACE] = True
    table[FIRST_TAIL : MOOD + 1, SPACE + 1 : FIRST_TAIL] = True
    table[:, COMMA] = False
    return table.ravel()


_CAN_PART: Final = _can_part()


def _kind_table() -> Ints:
    table = np.full(16, CLOSED)
    for at in range(16):
        tail, stopped, moody, closed = (bool(at & bit) for bit in (1, 2, 4, 8))
        if not tail:
            table[at] = BARE
        elif moody:
            table[at] = MOODY_STOPPED if stopped else MOODY
        elif stopped:
            table[at] = STOPPED_CLOSED if closed else STOPPED
    return table


_KIND: Final = _kind_table()
"""By 1 (there is a tail) + 2 (with a full stop) + 4 (with a mood mark) + 8 (a closing mark or a quote ends it)."""

_TAIL_BITS: Final = np.array([0] * STOP + [1 + 2, 1, 1, 1 + 4])
_CLOSING_BIT: Final = np.array([0] * STOP + [0, 8, 8, 0])

_KIND_STEP: Final = np.array([6, 0, 12, 12])
"""By gap: nothing, a space, a line end, a blank line."""


def _gaps(layout: Layout, is_bare_ending: Bools) -> Ints:
    """Find the ids before which a sentence can end: white space, or a word right behind a full stop or ㅋㅋ."""
    ids, classes = layout.ids, layout.classes
    gap = _CAN_PART[(classes[:-1] << 4) | classes[1:]].nonzero()[0] + 1
    before, left, here, right = classes[gap - 2], classes[gap - 1], classes[gap], classes[gap + 1]
    spaced = (right > SPACE) & ((left >= FIRST_TAIL) | (ids[gap] != PLAIN_SPACE) | is_bare_ending[ids[gap - 1]])
    unspaced = (_IS_END[left] | _IS_END[before]) & ~(_IS_LATIN_OR_DIGIT[before] & _IS_LATIN_OR_DIGIT[here])
    return gap[np.where(here == SPACE, spaced, unspaced)]


def propose(layout: Layout, is_bare_ending: Bools) -> Candidates:
    """Find the candidates of a batch of documents and describe them.

    Args:
      layout: the documents.
      is_bare_ending: which ids can end a sentence without any mark. Shape: (N_IDS,).
    """
    ids, classes = layout.ids, layout.classes
    gap = _gaps(layout, is_bare_ending)
    columns = np.empty((len(gap), len(COLUMNS) + 1), dtype=np.int64)
    at_space = classes[gap] == SPACE
    anchors = np.stack((_word_ends(classes)[gap - 1], gap + at_space, gap), axis=1)
    places = anchors[:, _ANCHOR] + _OFFSET
    in_tail = gap[:, None] - anchors[:, :1] > _FORWARDS[:3]
    windows, kinds = columns[:, :14], classes[places]
    windows[:] = ids[places]
    windows[:, 11:] *= in_tail
    kinds[:, 11:] *= in_tail
    columns[:, 14:16] = _FINAL_CONSONANT[windows[:, :2]]
    columns[:, 16:22] = kinds[:, _CLASSES_SEEN]
    gap_kind = _GAP[np.minimum(ids[gap], PLAIN_SPACE)] * at_space
    kind = _kinds(kinds[:, 11:])
    columns[:, COLUMN["G"]] = gap_kind
    columns[:, COLUMN["TL"]] = np.minimum(gap - anchors[:, 0], 6)
    columns[:, _LENGTHS] = _word_lengths(kinds[:, :11] > SPACE)
    document = layout.begins.searchsorted(gap, side="right") - 1
    begin, end = layout.begins[document], layout.ends[document]
    spaced_stop = at_space & ((kind == STOPPED) | (kind == STOPPED_CLOSED))
    columns[:, COLUMN["DE"]], columns[:, COLUMN["DB"]] = end - gap, gap - begin
    _fill_enclosed(layout, gap, columns)
    _fill_neighbours(gap, gap[spaced_stop], begin, end, columns)
    columns[:, _DISTANCES] = _BUCKET.take(columns[:, _DISTANCES], mode="clip")
    columns[:, COLUMN["P"]] = _prior(layout, document, windows[:, 0], at_space & (kind == BARE), spaced_stop)
    columns[:, COLUMN["LL"]] = _line_fill(layout, document, gap, gap_kind)
    columns[:, COLUMN["KIND"]] = kind + _KIND_STEP[gap_kind]
    columns[:, -1] = 1
    return Candidates(layout.position[gap], columns)


def _word_ends(classes: npt.NDArray[np.uint8]) -> Ints:
    """Give for each id where the last word up to it ends. Shape: (n_ids,)."""
    return np.maximum.accumulate(np.arange(1, len(classes) + 1) * _IS_WORD[classes])


def _kinds(tail: npt.NDArray[np.uint8]) -> Ints:
    """Tell the kind of each candidate from the classes of its tail, backwards."""
    return _KIND[np.bitwise_or.reduce(_TAIL_BITS[tail], axis=1) | _CLOSING_BIT[tail[:, 0]]]


def _word_lengths(solid: Bools) -> Ints:
    """Count the characters of the last and of the next word, up to the first white space of each window."""
    return _LEADING[solid @ _WINDOW_BITS]


def _fill_enclosed(layout: Layout, gap: Ints, columns: Ints) -> None:
    """Tell the opening mark around each candidate, how far it and its partner are, and what follows the partner."""
    opens, closes = find_enclosures(layout)
    if not opens.size:
        columns[:, _ENCLOSED] = 0
        return
    pair = opens.searchsorted(gap) - 1
    begin, end = opens[pair], closes[pair]
    inside = (pair >= 0) & (end >= gap)
    seen = (layout.ids[begin], gap - begin, end - gap, layout.ids[end + 1], layout.ids[end + 2])
    for at, column in zip(_ENCLOSED, seen, strict=True):
        columns[:, at] = column * inside


def _prior(layout: Layout, document: Ints, last: Ints, bare: Bools, stopped: Bools) -> Ints:
    """Tell how this writer ends sentences: a cell of full stops x bare strong endings x how the document ends."""
    documents = len(layout.begins)
    stops = np.bincount(document[stopped & (CLASS[last] == HANGUL)], minlength=documents)
    bares = np.bincount(document[bare & _IS_STRONG_ENDING[last]], minlength=documents)
    final = layout.classes[layout.ends - 1]
    final = np.where(final == SPACE, layout.classes[layout.ends - 2], final)
    counts = _COUNT.take(stops, mode="clip") * 8 + _COUNT.take(bares, mode="clip")
    return (counts * 3 + _DOCUMENT_END[final])[document]


def _fill_neighbours(gap: Ints, sure: Ints, begin: Ints, end: Ints, columns: Ints) -> None:
    """Tell how far the nearest white space behind a full stop is, before and after each candidate."""
    sure = np.concatenate(((-1,), np.sort(sure), (_FAR,)))
    before = sure[sure.searchsorted(gap) - 1]
    after = sure[sure.searchsorted(gap, side="right")]
    columns[:, COLUMN["S1"]] = gap - np.maximum(before, begin)
    columns[:, COLUMN["S2"]] = np.minimum(after, end) - gap


def _line_fill(layout: Layout, document: Ints, gap: Ints, gap_kind: Ints) -> Ints:
    """Tell at a line end how long its line is against the longest of the document: lines wrapped by width are full."""
    fill = np.zeros_like(gap)
    at = (gap_kind > 1).nonzero()[0]
    if not at.size:
        return fill
    ends = ((layout.ids == LINE_END) | (layout.ids == BLANK_LINE)).nonzero()[0]
    of_line = ends.searchsorted(gap[at])
    begins = np.maximum(np.where(of_line > 0, ends[of_line - 1] + 1, 0), layout.begins[document[at]])
    lengths = gap[at] - begins
    longest = np.zeros(len(layout.begins), dtype=np.int64)
    np.maximum.at(longest, document[at], lengths)
    longest = longest[document[at]]
    fill[at] = 1 + 8 * lengths // longest + 10 * np.minimum(longest // 40, 4)
    return fill
