"""Find every gap where a sentence can end, in a whole batch of documents at once, and describe it."""

from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.split.splitters.bare_endings import Endings
from klue_beam.transforms.split.splitters.context import (
    FAMILIAR,
    LINE_BEGIN,
    Lines,
    fill_enclosed,
    fill_neighbours,
    fill_prior,
    is_numbered,
    levels,
    sequence_of_lists,
    speech,
)
from klue_beam.transforms.split.splitters.features import COLUMN, COLUMNS, Candidates
from klue_beam.transforms.split.splitters.layout import (
    BLANK_LINE,
    BULLET,
    COMMA,
    DIGIT,
    FIRST_TAIL,
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

N_KINDS: Final = 6
"""The column KIND is one of them plus a multiple of this, by the gap."""

_GAP: Final = np.zeros(PLAIN_SPACE + 1, dtype=np.int64)
_GAP[[PLAIN_SPACE, LINE_END, BLANK_LINE]] = 1, 2, 3

NO_FINAL: Final = 1
"""What the columns J1 and J2 hold for an open syllable; 0 is for what is no syllable."""

_FINAL_CONSONANT: Final = np.zeros(N_IDS, dtype=np.int64)
_FINAL_CONSONANT[0xAC00:0xD7A4] = np.arange(0xD7A4 - 0xAC00) % 28 + NO_FINAL

_FORWARDS: Final = np.arange(5)
_ANCHOR: Final = np.repeat((0, 1, 2), (6, 5, 3))
_OFFSET: Final = np.concatenate((-1 - np.arange(6), _FORWARDS, -1 - np.arange(3)))
"""Of L1 … T3: which place it is counted from (the end of the last word, the next word, the gap), and how far."""

_WINDOW_BITS: Final = np.zeros((11, 2), dtype=np.int64)
_WINDOW_BITS[:6, 0], _WINDOW_BITS[6:, 1] = 1 << np.arange(6), 1 << np.arange(5)
_LEADING: Final = np.array([(~pattern & (pattern + 1)).bit_length() - 1 for pattern in range(64)])
"""How many of the lowest bits of a pattern are set before the first that is not."""

_LENGTHS: Final = [COLUMNS.index(name) for name in ("EL", "RL")]
_CLASSES_SEEN: Final = (0, 1, 2, 6, 7, 8)
_DISTANCES: Final = [COLUMNS.index(name) for name in ("IO", "IC", "DE", "DB", "S1", "S2")]
_BUCKET: Final = np.minimum(2 * np.log2(np.arange(200) + 1), 15).astype(np.int64)
"""By distance, the last entry for all greater ones: half octaves, 0 to 15."""

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


def _gaps(layout: Layout, endings: Endings) -> Ints:
    """Find the ids before which a sentence can end.

    They are white space, if a mark, a line end, the last character or a list marker behind it speak for it; and words
    right behind a full stop or ㅋㅋ.
    """
    ids, classes = layout.ids, layout.classes
    gap = _CAN_PART[(classes[:-1] << 4) | classes[1:]].nonzero()[0] + 1
    before, left, here, right = classes[gap - 2], classes[gap - 1], classes[gap], classes[gap + 1]
    spaced = (right > SPACE) & ((left >= FIRST_TAIL) | (ids[gap] != PLAIN_SPACE) | endings.where(ids, gap))
    spaced |= right == BULLET
    digits = (right == DIGIT).nonzero()[0]
    spaced[digits] |= is_numbered(layout, gap[digits])
    unspaced = (_IS_END[left] | _IS_END[before]) & ~(_IS_LATIN_OR_DIGIT[before] & _IS_LATIN_OR_DIGIT[here])
    return gap[np.where(here == SPACE, spaced, unspaced)]


def propose(layout: Layout, endings: Endings) -> Candidates:
    """Find the candidates of a batch of documents and describe them.

    Args:
      layout: the documents.
      endings: what sentences end in that have no mark.
    """
    ids, classes = layout.ids, layout.classes
    gap = _gaps(layout, endings)
    word_end, lines = _word_ends(classes), Lines.of(layout)
    begun = (word_end[gap - 1] > lines.begin(gap)) | (ids[gap] < PLAIN_SPACE)
    gap = gap[begun]
    columns = np.empty((len(gap), len(COLUMNS) + 1), dtype=np.int64)
    at_space = classes[gap] == SPACE
    anchors = np.stack((word_end[gap - 1], gap + at_space, gap), axis=1)
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
    columns[:, COLUMN["LP"]] = ids[np.maximum(anchors[:, 0] - columns[:, COLUMN["EL"]] - 2, 0)]
    columns[:, COLUMN["RE"]] = ids[anchors[:, 1] + columns[:, COLUMN["RL"]] - 1]
    _describe_context(layout, lines, gap, kind, columns)
    columns[:, COLUMN["KIND"]] = kind + _KIND_STEP[gap_kind]
    columns[:, -1] = 1
    return Candidates(layout.position[gap], columns)


def _describe_context(layout: Layout, lines: Lines, gap: Ints, kind: Ints, columns: Ints) -> None:
    """Fill the columns that tell of the document, given those that tell of the words around."""
    gap_kind, last = columns[:, COLUMN["G"]], columns[:, COLUMN["L1"]]
    at_space = gap_kind > 0
    document = layout.begins.searchsorted(gap, side="right") - 1
    begin, end = layout.begins[document], layout.ends[document]
    spaced_stop = at_space & ((kind == STOPPED) | (kind == STOPPED_CLOSED))
    columns[:, COLUMN["DE"]], columns[:, COLUMN["DB"]] = end - gap, gap - begin
    fill_enclosed(layout, gap, columns)
    fill_neighbours(gap, gap[spaced_stop], begin, end, columns)
    columns[:, _DISTANCES] = _BUCKET.take(columns[:, _DISTANCES], mode="clip")
    spoken = speech(last, columns[:, COLUMN["L2"]], columns[:, COLUMN["J2"]])
    bare = at_space & (kind == BARE) & (spoken > 0) & (spoken < FAMILIAR)
    fill_prior(layout, document, last, bare, spaced_stop, columns)
    columns[:, COLUMN["SP"]] = levels(document, spoken, len(layout.begins))
    columns[:, COLUMN["LB"]] = LINE_BEGIN[layout.ids[lines.begin(gap)]]
    columns[:, COLUMN["SEQ"]] = sequence_of_lists(layout, gap, document, columns[:, COLUMN["LB"]] == DIGIT)
    columns[:, COLUMN["LL"]] = lines.fill(gap, gap_kind, document)


def _word_ends(classes: npt.NDArray[np.uint8]) -> Ints:
    """Give for each id where the last word up to it ends. Shape: (n_ids,)."""
    return np.maximum.accumulate(np.arange(1, len(classes) + 1) * _IS_WORD[classes])


def _kinds(tail: npt.NDArray[np.uint8]) -> Ints:
    """Tell the kind of each candidate from the classes of its tail, backwards."""
    return _KIND[np.bitwise_or.reduce(_TAIL_BITS[tail], axis=1) | _CLOSING_BIT[tail[:, 0]]]


def _word_lengths(solid: Bools) -> Ints:
    """Count the characters of the last and of the next word, up to the first white space of each window."""
    return _LEADING[solid @ _WINDOW_BITS]
