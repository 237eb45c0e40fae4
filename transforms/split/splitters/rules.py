"""The few things that the boundary model is not asked about, because they are certain or too rare to be learned."""

import itertools
from collections.abc import Iterable
from typing import Final

import numpy as np

from klue_beam.transforms.base.codepoints import Bools
from klue_beam.transforms.split.splitters.candidates import BARE, CLOSED, N_KINDS, NO_FINAL, STOPPED, STOPPED_CLOSED
from klue_beam.transforms.split.splitters.features import COLUMN as _AT
from klue_beam.transforms.split.splitters.features import Candidates
from klue_beam.transforms.split.splitters.layout import (
    BLANK_LINE,
    BULLET,
    CLASS,
    DIGIT,
    HANGUL,
    LATIN,
    LINE_END,
    MOOD,
    N_IDS,
    NOTHING,
    PLAIN_SPACE,
    SPACE,
)

_ABBREVIATIONS: Final = """
Mr Mrs Ms Dr Prof St Jr Sr Rev Gen Col Capt Lt Sgt Gov Sen Rep Pres Messrs No Nos no Vol Vols vol no p pp P PP vs al ed
Ed eds Eds trans Trans Inc Ltd Co Corp Bros Fig Figs fig figs cf Cf ch Ch sec Sec art Art op Op Ave Mt Ft dept Dept
Univ approx Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Wed Thu Fri Sat Sun est Est min max tel Tel ext
"""
ABBREVIATIONS: Final = frozenset(_ABBREVIATIONS.split())
"""Words of Latin letters whose full stop ends no sentence."""

_MARKERS: Final = frozenset(map(ord, "가나다라마바사아자차카타파하ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹ"))
_CIRCLED: Final = frozenset(range(ord("①"), ord("⑳") + 1))
_HESITATIONS: Final = frozenset(map(ord, "음어저그흠에"))
_LINKING: Final = frozenset(map(ord, "은는을를의에와과로만데면"))
"""Last syllables of particles and of connective endings: what follows an ellipsis behind them completes them."""

_AMENDMENTS: Final = ("개정", "신설", "본조", "전문", "제목", "단서", "삭제")
_COMMENTS: Final = frozenset((*range(0x3131, 0x318F), ord("^"), N_IDS - 1))
_EYES: Final = frozenset(map(ord, ":;"))
_LINE_BEGINS: Final = frozenset((NOTHING, LINE_END, BLANK_LINE))

_QUOTING_WORDS: Final = """
하고 하며 하면서 하는 하던 하더니 하자 하기에 하니 라고 라며 라는 라면서 라던 이라고 이라며 이라는 고 며 면서 는 란
"""
_QUOTING: Final = frozenset(_QUOTING_WORDS.split())
"""Words that take the quotation before them as their object."""

_GRANTING_WORDS: Final = """
하더라 하여도 해도 할지라 할망정 한들 치더라 쳐도 치고 치자 손치더 싶더니 싶어 싶었 싶은 싶으
"""
_GRANTING: Final = frozenset(_GRANTING_WORDS.split())
"""Beginnings of words that go on behind a verb in the plain style: `하였다 하더라도`, `왔다 쳐도`, `되겠다 싶어`."""

_SAYING: Final = frozenset(("할", "하여", "하는", "해서", "하니", "하고"))
"""… and whole words that do: `없다 할 것이다`, `받았다 하여`."""

_GRANTING_BEGINS: Final = frozenset(ord(word[0]) for word in _GRANTING | _SAYING)
_LONGEST_GRANTING: Final = max(map(len, _GRANTING))

_QUOTING_BEGINS: Final = frozenset(ord(word[0]) for word in _QUOTING)

_PLAIN: Final = ord("다")

_L1, _L2, _CL1 = (_AT[name] for name in ("L1", "L2", "CL1"))
_R1, _CR1, _T1, _T2, _TL, _EL = (_AT[name] for name in ("R1", "CR1", "T1", "T2", "TL", "EL"))
_G, _I, _J2, _KIND, _MARKED = (_AT[name] for name in ("G", "I", "J2", "KIND", "MARKED"))
_LINE_END_GAP, _BLANK_LINE_GAP = 2, 3

_IS_BULLET: Final = CLASS == BULLET
_IS_OWN_BULLET: Final = np.isin(np.arange(N_IDS), [ord(mark) for mark in "•○●◎◇◆□■△▲▽▼▶▷※①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮"])
"""Marks that open an item also without white space behind them, unlike `-` and `·`."""

Row = list[int]


def required(candidates: Candidates) -> Bools:
    """Tell which candidates end a sentence whatever the model says: line ends before a bullet or a list number.

    Returns:
      Shape: (n_candidates,).
    """
    columns = candidates.columns
    first, second, third = columns[:, _R1], columns[:, _R1 + 1], columns[:, _R1 + 2]
    bullet = _IS_BULLET[first] & (_IS_OWN_BULLET[first] | (second == PLAIN_SPACE))
    numbered = (columns[:, _CR1] == DIGIT) & (columns[:, _CL1] != DIGIT) & (third == PLAIN_SPACE)
    numbered &= (second == ord(".")) | (second == ord(")"))
    return (columns[:, _G] >= _LINE_END_GAP) & (bullet | numbered)


def allowed(candidates: Candidates) -> Candidates:
    """Give the candidates that no rule forbids."""
    columns = candidates.columns
    # What stands between quotation marks or brackets is part of the sentence around it.
    candidates = candidates.where((columns[:, _I] == 0) | (columns[:, _G] == _BLANK_LINE_GAP))
    return candidates.where(np.array([not _forbidden(row) for row in candidates.columns.tolist()], dtype=bool))


def _forbidden(row: Row) -> bool:
    return (
        _before_quoting_verb(row)
        or _before_granting_verb(row)
        or _after_connective(row)
        or _before_circled_noun(row)
        or _before_particle(row)
        or _before_comment(row)
        or _before_amendment(row)
        or _after_number(row)
        or _after_list_marker(row)
        or _after_hesitation(row)
        or _after_abbreviation(row)
    )


def _before_quoting_verb(row: Row) -> bool:
    """Keep a quotation with the verb that quotes it: `“가자.” 하고 말했다`, `왜 이럴까? 라는 생각`."""
    if row[_R1] not in _QUOTING_BEGINS or row[_KIND] % N_KINDS not in (STOPPED, STOPPED_CLOSED, CLOSED):
        return False
    word = _next_word(row)
    return word in _QUOTING and (row[_KIND] % N_KINDS != STOPPED or "라" in word)


def _before_granting_verb(row: Row) -> bool:
    """Keep `하였다 하더라도`, `비쌌다 치고` together."""
    if row[_R1] not in _GRANTING_BEGINS or row[_KIND] % N_KINDS != BARE or row[_L1] != _PLAIN:
        return False
    word = _next_word(row)
    return word in _SAYING or any(word[:size] in _GRANTING for size in range(2, _LONGEST_GRANTING + 1))


def _before_circled_noun(row: Row) -> bool:
    """Keep `이 사건 ②상병` together, where the document marks its ends."""
    return row[_R1] in _CIRCLED and row[_KIND] == BARE and row[_MARKED] > 0


def _after_connective(row: Row) -> bool:
    """Keep `감소세를 보이다 지난달`, `뛰다 넘어져` together, where the document marks its ends."""
    open_stem = row[_L1] == _PLAIN and row[_J2] == NO_FINAL
    return open_stem and row[_KIND] == BARE and row[_MARKED] > 0


def _before_particle(row: Row) -> bool:
    """Keep a quotation or a title with the particle that is written right behind it: `〈가자!〉가`."""
    return row[_G] == 0 and row[_KIND] % N_KINDS == STOPPED_CLOSED and row[_CR1] == HANGUL


def _before_amendment(row: Row) -> bool:
    """Keep `<개정 2016. 1. 27.>` on the line with the provision that was amended."""
    return row[_R1] == ord("<") and _text(row[_R1 + 1 : _R1 + 3]) in _AMENDMENTS and row[_G] < _LINE_END_GAP


def _after_number(row: Row) -> bool:
    """Keep dates and list numbers, `2016. 1. 27. 선고`, with what follows them, as kss does."""
    return row[_T1] == ord(".") and row[_TL] == 1 and row[_CL1] == DIGIT and row[_G] < _LINE_END_GAP


def _before_comment(row: Row) -> bool:
    """Keep ㅋㅋ, :) and emoji on the line with the sentence that they comment on."""
    comment = row[_R1] in _COMMENTS or (row[_R1] in _EYES and row[_CR1] == MOOD)
    return comment and row[_G] < _LINE_END_GAP


def _after_list_marker(row: Row) -> bool:
    """Keep `-`, `1.`, `12)`, `가.`, `Ⅰ.`, `a.` at the beginning of a line, and `①`, with what they number."""
    if row[_KIND] % N_KINDS == BARE:
        return (row[_CL1] == BULLET and row[_L2] in _LINE_BEGINS) or (row[_L1] in _CIRCLED and row[_EL] == 1)
    if row[_TL] != 1 or row[_KIND] % N_KINDS not in (STOPPED, CLOSED):
        return False
    marker = row[_L1 : _L1 + 4]
    if marker[0] == ord("\\"):
        # Markdown's escape, `1\.`, as in the statutes.
        del marker[0]
    if marker[1] in _LINE_BEGINS:
        return marker[0] in _MARKERS or CLASS[marker[0]] in (DIGIT, LATIN)
    return CLASS[marker[0]] == CLASS[marker[1]] == DIGIT and marker[2] in _LINE_BEGINS


def _after_hesitation(row: Row) -> bool:
    """Keep `음...` and `그 사람은…` with what the speaker then says."""
    trails_off = row[_T1] == ord("…") or row[_T1] == row[_T2] == ord(".")
    if not trails_off or row[_G] >= _LINE_END_GAP:
        return False
    return row[_L1] in (_HESITATIONS if row[_EL] == 1 else _LINKING)


def _after_abbreviation(row: Row) -> bool:
    """Keep `Dr.`, `No.`, `e.g.`, `p.m.` and initials (`J. R. R.`) with what follows them."""
    if row[_T1] != ord(".") or row[_TL] != 1 or row[_CL1] != LATIN:
        return False
    word = _text(itertools.takewhile(lambda code: CLASS[code] == LATIN, row[_L1 : _L1 + 6]))[::-1]
    if len(word) == 1:
        dotted = row[_L2] == ord(".") and CLASS[row[_L2 + 1]] == LATIN
        return word.isupper() or (dotted and row[_G] < _LINE_END_GAP)
    return word in ABBREVIATIONS


def _next_word(row: Row) -> str:
    return _text(itertools.takewhile(lambda code: CLASS[code] > SPACE, row[_R1 : _R1 + 5]))


def _text(codes: Iterable[int]) -> str:
    return "".join(map(chr, codes))
