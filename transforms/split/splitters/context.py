"""What the document around a candidate tells: its lines, its lists, its brackets, and how its writer ends sentences."""

import dataclasses
from typing import Final

import numpy as np

from klue_beam.transforms.base.codepoints import Bools, Ints
from klue_beam.transforms.split.splitters.enclosures import find_enclosures
from klue_beam.transforms.split.splitters.features import COLUMN, COLUMNS
from klue_beam.transforms.split.splitters.layout import (
    BLANK_LINE,
    BULLET,
    CLASS,
    DIGIT,
    HANGUL,
    LINE_END,
    MOOD,
    N_IDS,
    OPENER,
    PLAIN_SPACE,
    SPACE,
    STOP,
    Layout,
)

_PAST, _FUTURE = 21, 9
"""Values of J1 and J2: the final consonants ㅆ and ㄹ."""

_ENDING: Final = np.zeros(N_IDS, dtype=np.int64)
_POLITE, _PLAIN, FAMILIAR, _ASKED = 1, 2, 3, 4
_ENDING[[ord(ending) for ending in "요죠쥬"]] = _POLITE
_ENDING[[ord(ending) for ending in "어지네냐대니음군"]] = FAMILIAR
_ENDING[[ord(ending) for ending in "까께게"]] = _ASKED
_BEFORE_POLITE: Final = np.isin(np.arange(N_IDS), [ord(c) for c in "어아여해세에네돼워와져려러겨봐줘까군데고걸니지"])
_FEW: Final = np.array([0, 1, 2, 2, 3])
"""By count, the last entry for all greater ones."""

LINE_BEGIN: Final = np.where(np.isin(CLASS, (BULLET, MOOD, OPENER)), np.arange(N_IDS), CLASS).astype(np.int64)
"""By id, what a line that begins with it looks like: a bullet is itself, everything else its class."""

_FAR: Final = np.iinfo(np.int64).max
_ENCLOSED: Final = [COLUMNS.index(name) for name in ("I", "IO", "IC", "A1", "A2")]
_COUNT: Final = np.array([0, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7], dtype=np.int64)
_DOCUMENT_END: Final = np.array([0] * STOP + [1, 2, 2, 2], dtype=np.int64)
"""By class of the last character: a word, a full stop, another mark."""


def fill_enclosed(layout: Layout, gap: Ints, columns: Ints) -> None:
    """Tell the opening mark around each candidate, how far it and its partner are, and what follows the partner."""
    opens, closes = find_enclosures(layout)
    columns[:, COLUMN["OB"]] = 0
    if not opens.size:
        columns[:, _ENCLOSED] = 0
        return
    pair = opens.searchsorted(gap) - 1
    begin, end = opens[pair], closes[pair]
    inside = (pair >= 0) & (end >= gap)
    seen = (layout.ids[begin], gap - begin, end - gap, layout.ids[end + 1], layout.ids[end + 2])
    for at, column in zip(_ENCLOSED, seen, strict=True):
        columns[:, at] = column * inside
    closed = (pair >= 0) & (end == gap - 1)
    before = layout.classes[begin - 1].astype(np.int64)
    before = np.where(before == SPACE, 16 + layout.classes[begin - 2], before)
    columns[:, COLUMN["OB"]] = (1 + before) * closed


def speech(last: Ints, before: Ints, final_before: Ints) -> Ints:
    """Tell how each last word speaks, if it can hardly be a noun: politely, plainly, familiarly; otherwise 0."""
    ending = _ENDING[last]
    past = final_before == _PAST
    stated, formal = last == ord("다"), before == ord("니")
    polite = ((ending == _POLITE) & _BEFORE_POLITE[before]) | (stated & formal)
    plain = (stated & past) | ((ending == _ASKED) & (final_before == _FUTURE))
    return np.where(polite, _POLITE, np.where(plain, _PLAIN, np.where((ending == FAMILIAR) & past, FAMILIAR, 0)))


def levels(document: Ints, spoken: Ints, documents: int) -> Ints:
    """Tell of each candidate how often its document speaks in each way: three digits to the base of 4."""
    counts = np.bincount(document * 4 + spoken, minlength=4 * documents).reshape(documents, 4)[:, 1:]
    return (_FEW.take(counts, mode="clip") @ np.array([1, 4, 16]))[document]


def fill_prior(layout: Layout, document: Ints, last: Ints, bare: Bools, stopped: Bools, columns: Ints) -> None:
    """Tell how this writer ends sentences: a cell of full stops x sure endings without one x how the document ends.

    Where hardly any sure ending lacks its mark, the document counts as marked: at most one in six, and one in twelve
    where the document's own end has none.
    """
    documents = len(layout.begins)
    stops = np.bincount(document[stopped & (CLASS[last] == HANGUL)], minlength=documents)
    bares = np.bincount(document[bare], minlength=documents)
    final = layout.classes[layout.ends - 1]
    final = np.where(final == SPACE, layout.classes[layout.ends - 2], final)
    end = _DOCUMENT_END[final]
    counts = _COUNT.take(stops, mode="clip") * 8 + _COUNT.take(bares, mode="clip")
    columns[:, COLUMN["P"]] = (counts * 3 + end)[document]
    needed = np.where(end > 0, 6 * bares, np.maximum(12 * bares, 4))
    columns[:, COLUMN["MARKED"]] = (stops >= needed)[document]


def sequence_of_lists(layout: Layout, gap: Ints, document: Ints, in_item: Bools) -> Ints:
    """Tell where a list number follows that its document counts on from: after 1, or before 3."""
    sequence = np.zeros_like(gap)
    at = (is_numbered(layout, gap) & (layout.classes[gap] == SPACE)).nonzero()[0]
    if not at.size:
        return sequence
    number = layout.ids[gap[at] + 1] - ord("0")
    counts_on = (np.diff(number) == 1) & (np.diff(document[at]) == 0)
    sequence[at[1:]] |= counts_on
    sequence[at[:-1]] |= counts_on
    sequence[at] |= in_item[at] & (number == 2)
    return sequence


def fill_neighbours(gap: Ints, sure: Ints, begin: Ints, end: Ints, columns: Ints) -> None:
    """Tell how far the nearest white space behind a full stop is, before and after each candidate."""
    sure = np.concatenate(((-1,), np.sort(sure), (_FAR,)))
    before = sure[sure.searchsorted(gap) - 1]
    after = sure[sure.searchsorted(gap, side="right")]
    columns[:, COLUMN["S1"]] = gap - np.maximum(before, begin)
    columns[:, COLUMN["S2"]] = np.minimum(after, end) - gap


@dataclasses.dataclass(frozen=True, slots=True)
class Lines:
    """Where lines begin and end.

    Attributes:
      begins: of each line, its first id, ascending. Shape: (n_lines,).
      ends: of each line but a document's last, the id of its line end. Shape: (n_line_ends,).
    """

    begins: Ints
    ends: Ints

    @classmethod
    def of(cls, layout: Layout) -> "Lines":
        """Find the lines of a batch of documents."""
        ends = ((layout.ids == LINE_END) | (layout.ids == BLANK_LINE)).nonzero()[0]
        first = layout.begins + (layout.ids[layout.begins] == PLAIN_SPACE)
        return cls(np.sort(np.concatenate((first, ends + 1))) if ends.size else first, ends)

    def begin(self, at: Ints) -> Ints:
        """Give where the line of each id begins."""
        return self.begins[self.begins.searchsorted(at) - 1]

    def fill(self, gap: Ints, gap_kind: Ints, document: Ints) -> Ints:
        """Tell at a line end how long its line is against its document's longest: lines wrapped by width are full."""
        fill = np.zeros_like(gap)
        at = (gap_kind > 1).nonzero()[0]
        if not at.size:
            return fill
        lengths = gap[at] - self.begin(gap[at])
        longest = np.zeros(int(document[-1]) + 1, dtype=np.int64)
        np.maximum.at(longest, document[at], lengths)
        longest = longest[document[at]]
        fill[at] = 1 + 8 * lengths // longest + 10 * np.minimum(longest // 15, 8)
        return fill


def is_numbered(layout: Layout, gap: Ints) -> Bools:
    """Tell whether a digit and a full stop or a bracket, as before an item of a list, follow; `3. 1.` is a date."""
    mark = layout.ids[gap + 2]
    ends = ((mark == ord(".")) | (mark == ord(")"))) & (layout.classes[gap + 3] == SPACE)
    return ends & (layout.classes[gap + 1] == DIGIT) & (layout.classes[gap + 4] != DIGIT)
