"""The few things that the boundary model is not asked about, because they are certain or too rare to be learned."""

from typing import Final

import numpy as np

from transforms.splitters.features import CLOSED, STOPPED, STOPPED_CLOSED, Candidates
from transforms.splitters.layout import BLANK_LINE, CLASS, DIGIT, LATIN, LINE_END, MOOD, N_IDS, NOTHING, SPACE
from transforms.splitters.spans import Bools, Ints

_ABBREVIATIONS: Final = """
Mr Mrs Ms Dr Prof St Jr Sr Rev Gen Col Capt Lt Sgt Gov Sen Rep Pres Messrs No Nos no Vol Vols vol no p pp P PP vs al ed
Ed eds Eds trans Trans Inc Ltd Co Corp Bros Fig Figs fig figs cf Cf ch Ch sec Sec art Art op Op Ave Mt Ft dept Dept
Univ approx
"""
ABBREVIATIONS: Final = frozenset(_ABBREVIATIONS.split())
"""Words of Latin letters whose full stop ends no sentence."""

_MARKERS: Final = "가나다라마바사아자차카타파하ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹ"
_IS_MARKER: Final = np.isin(np.arange(N_IDS), [ord(marker) for marker in _MARKERS]) | np.isin(CLASS, (DIGIT, LATIN))
_IS_LINE_BEGIN: Final = np.isin(np.arange(N_IDS), (NOTHING, LINE_END, BLANK_LINE))
_BLANK_LINE_GAP: Final = 3
_IS_HESITATION: Final = np.isin(np.arange(N_IDS), [ord(syllable) for syllable in "음어저그흠에"])
_IS_COMMENT: Final = np.isin(np.arange(N_IDS), (*range(0x3131, 0x318F), ord("^"), N_IDS - 1))
_QUOTING_WORDS: Final = """
하고 하며 하면서 하는 하던 하더니 하자 하기에 하니 라고 라며 라는 라면서 라던 이라고 이라며 이라는 고 며 면서 는 란
"""
_QUOTING: Final = frozenset(_QUOTING_WORDS.split())
"""Words that take the quotation before them as their object."""


def forbidden(candidates: Candidates) -> Bools:
    """Tell where no sentence ends, whatever the model says. Shape: (n_candidates,)."""
    return (
        _enclosed(candidates)
        | _before_quoting_verb(candidates)
        | _before_mood(candidates)
        | _after_list_marker(candidates)
        | _after_hesitation(candidates)
        | _after_abbreviation(candidates)
    )


def _enclosed(candidates: Candidates) -> Bools:
    """Keep what stands between quotation marks or brackets together: it is part of the sentence around it."""
    return (candidates.column("I") != 0) & (candidates.column("G") != _BLANK_LINE_GAP)


def _before_quoting_verb(candidates: Candidates) -> Bools:
    """Keep a quotation with the verb that quotes it: `“가자.” 하고 말했다`."""
    kind = candidates.column("KIND") % 6
    found = (kind == STOPPED_CLOSED) | (kind == CLOSED)
    for at in np.flatnonzero(found).tolist():
        found[at] = _word(candidates.columns[at, 6:11]) in _QUOTING
    return found


def _before_mood(candidates: Candidates) -> Bools:
    """Keep ㅋㅋ, :) and emoji on the line with the sentence that they comment on."""
    first = candidates.column("R1")
    smiley = (candidates.column("CR1") == MOOD) & ((first == ord(":")) | (first == ord(";")))
    return (_IS_COMMENT[first] | smiley) & (candidates.column("G") <= 1)


def _after_hesitation(candidates: Candidates) -> Bools:
    """Keep `음...` and `저…` with what the speaker then says."""
    word = _IS_HESITATION[candidates.column("L1")] & (candidates.column("EL") == 1)
    trails_off = (candidates.column("T1") == ord("…")) | (
        (candidates.column("T1") == ord(".")) & (candidates.column("T2") == ord("."))
    )
    return word & trails_off & (candidates.column("G") <= 1)


def _word(window: Ints) -> str:
    """Give the word at the beginning of a window, up to its first white space."""
    word = ""
    for code in window.tolist():
        if CLASS[code] <= SPACE:
            break
        word += chr(code)
    return word


def _after_list_marker(candidates: Candidates) -> Bools:
    """Keep `1.`, `12)`, `가.`, `Ⅰ.`, `a.` at the beginning of a line with the text that they number."""
    kind = candidates.column("KIND") % 6
    marked = ((kind == STOPPED) | (kind == CLOSED)) & (candidates.column("TL") == 1)
    first, second, third = (candidates.column(name) for name in ("L1", "L2", "L3"))
    short = _IS_MARKER[first] & _IS_LINE_BEGIN[second]
    long = (CLASS[first] == DIGIT) & (CLASS[second] == DIGIT) & _IS_LINE_BEGIN[third]
    return marked & (short | long)


def _after_abbreviation(candidates: Candidates) -> Bools:
    """Keep `Dr.`, `No.` and initials (`J. R. R.`) with what follows them."""
    found = np.zeros(len(candidates.cut), dtype=bool)
    stopped = (candidates.column("T1") == ord(".")) & (candidates.column("TL") == 1)
    for at in np.flatnonzero(stopped & (candidates.column("CL1") == LATIN)).tolist():
        word = ""
        for code in candidates.columns[at, :6].tolist():
            if CLASS[code] != LATIN:
                break
            word = chr(code) + word
        found[at] = word in ABBREVIATIONS or (len(word) == 1 and word.isupper())
    return found
