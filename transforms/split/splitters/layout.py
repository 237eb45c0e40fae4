"""Documents laid out for the boundary model: white space collapsed, footnote marks left out, padding between them."""

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools, Codes, Ints, is_white_space
from klue_beam.transforms.split.splitters.canonical import FORM, canonical
from klue_beam.transforms.split.splitters.faces import mark_faces
from klue_beam.transforms.split.splitters.simple import LINE_BREAKS

Classes = npt.NDArray[np.uint8]

PAD: Final = 10
"""Ids of padding before, between and behind documents: no window reaches from one document into another."""

NOTHING, LINE_END, BLANK_LINE, PLAIN_SPACE = 0, 10, 11, 32
"""Ids of padding, and of white space with one line break in it, with more, and without any."""

N_IDS: Final = 0x10001
"""Code points past U+FFFF, emoji as a rule, share the last id; a NUL of the text has the id of U+FFFD."""

NONE, SPACE, CORE, HANGUL, DIGIT, LATIN, COMMA, OPENER, BULLET, STOP, CLOSER, QUOTE, MOOD = range(13)
"""Classes of ids. STOP ends sentences, MOOD stands behind them (ㅋㅋ, ^^, ~, emoji), CORE is everything else."""

FIRST_TAIL: Final = STOP
"""Classes from here on can stand between the last word of a sentence and its end."""

_MEMBERS: Final = {
    COMMA: ",，、:;/",
    OPENER: "([{<‘“「『《〈【〔（［｛＜",
    BULLET: "-–—*•·ㆍ○●◎◇◆□■△▲▽▼▶▷※→①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮",
    STOP: ".!?。！？…‥．｡",
    CLOSER: ")]}>’”」』》〉】〕）］｝＞",
    QUOTE: "\"'`″",
    MOOD: "~∼〜～^♡♥♪♬",
    SPACE: " \n\x0b",
}


def _class_table() -> Classes:
    table = np.full(N_IDS, CORE, dtype=np.uint8)
    table[0xAC00:0xD7A4] = HANGUL
    table[ord("0") : ord("9") + 1] = DIGIT
    table[ord("A") : ord("Z") + 1] = table[ord("a") : ord("z") + 1] = LATIN
    table[0x3131:0x318F] = table[0x2600:0x27C0] = table[0xFE00:0xFE10] = table[0x200D] = MOOD
    for kind, members in _MEMBERS.items():
        table[[ord(member) for member in members]] = kind
    table[NOTHING], table[N_IDS - 1] = NONE, MOOD
    return table


CLASS: Final = _class_table()
_BREAK_FLAG, _BRACKET_FLAG, _NUL_FLAG, _FORM_FLAG = 1, 2, 4, 8


def _flag_table() -> Classes:
    table = np.where(FORM > 0, _FORM_FLAG, 0).astype(np.uint8)
    table[list(LINE_BREAKS)] = _BREAK_FLAG
    table[ord("[")] = _BRACKET_FLAG
    table[0] = _NUL_FLAG
    return table


_FLAGS: Final = _flag_table()
"""By code point, what a batch must hold for a rare step to be worth its time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """A batch of documents as one array of ids.

    Attributes:
      ids: one a character or run of white space, with padding around each document. Shape: (n_ids,), int64.
      classes: the class of each id. Shape: (n_ids,), uint8.
      position: where in the batch's code points each id stands, -1 for padding. Shape: (n_ids,).
      begins, ends: half-open range of ids of each document. Shape: (n_documents,).
    """

    ids: Ints
    classes: Classes
    position: Ints
    begins: Ints
    ends: Ints


def lay_out(codes: Codes, space: Bools, begins: Ints) -> Layout:
    """Lay out documents that are given end to end.

    Args:
      codes: code points. Shape: (n_codes,).
      space: whether each is white space. Shape: (n_codes,).
      begins: where each document begins, and the end of the last one. Shape: (n_documents + 1,).
    """
    flags = _FLAGS.take(codes)
    seen = int(np.bitwise_or.reduce(flags))
    source = None
    if seen & _FORM_FLAG:
        codes, source, begins = canonical(codes, begins)
        flags, space = _FLAGS.take(codes), is_white_space(codes)
    kept = ~space
    kept[1:] |= ~space[:-1]
    kept[:1] = True
    if len(begins) > 2:
        kept[begins[:-1][begins[:-1] < len(codes)]] = True
    if seen & _BRACKET_FLAG:
        _leave_out_footnotes(codes, kept)
    position = kept.nonzero()[0]
    ids = codes[position].astype(np.int64)
    np.minimum(ids, N_IDS - 1, out=ids)
    if seen & _NUL_FLAG:
        ids[ids == NOTHING] = 0xFFFD
    gaps = space[position].nonzero()[0]
    ids[gaps] = PLAIN_SPACE
    if seen & _BREAK_FLAG:
        _mark_line_breaks(codes, ((flags & _BREAK_FLAG) > 0).nonzero()[0], position, gaps, ids)
    bounds = position.searchsorted(begins)
    return _pad(ids, position if source is None else source[position], bounds)


def _leave_out_footnotes(codes: Codes, kept: Bools) -> None:
    """Drop footnote marks of one to three digits, `[12]`, from what is kept: a word ends before them."""
    for begin in (codes == ord("[")).nonzero()[0].tolist():
        mark = codes[begin + 1 : begin + 5].tolist()
        digits = 0
        while digits < len(mark) and ord("0") <= mark[digits] <= ord("9"):
            digits += 1
        if 0 < digits < len(mark) and mark[digits] == ord("]"):
            kept[begin : begin + digits + 2] = False


def _mark_line_breaks(codes: Codes, breaks: Ints, position: Ints, gaps: Ints, ids: Ints) -> None:
    """Tell white space with line breaks in it from other white space; a carriage return and its line feed are one."""
    follows_return = (codes[breaks] == ord("\n")) & (codes[np.maximum(breaks - 1, 0)] == ord("\r"))
    breaks = breaks[~follows_return]
    ends = np.append(position, len(codes))[gaps + 1]
    count = breaks.searchsorted(ends) - breaks.searchsorted(position[gaps])
    ids[gaps[count == 1]] = LINE_END
    ids[gaps[count > 1]] = BLANK_LINE


def _pad(ids: Ints, position: Ints, bounds: Ints) -> Layout:
    """Put padding around each document, and classify."""
    documents = len(bounds) - 1
    shift = PAD * np.arange(1, documents + 1)
    size = len(ids) + PAD * (documents + 1)
    padded = np.zeros(size, dtype=np.int64)
    padded_position = np.full(size, -1, dtype=np.int64)
    if documents == 1:
        padded[PAD:-PAD], padded_position[PAD:-PAD] = ids, position
    else:
        at = np.arange(len(ids)) + np.repeat(shift, np.diff(bounds))
        padded[at], padded_position[at] = ids, position
    faces = mark_faces(padded)
    classes = CLASS[padded]
    classes[faces] = MOOD
    return Layout(padded, classes, padded_position, bounds[:-1] + shift, bounds[1:] + shift)
