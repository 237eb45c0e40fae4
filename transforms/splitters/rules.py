"""The few things that the boundary model is not asked about, because they are certain or too rare to be learned."""

from typing import Final

import numpy as np

from transforms.splitters.features import CLOSED, STOPPED, Candidates
from transforms.splitters.layout import BLANK_LINE, CLASS, DIGIT, LATIN, LINE_END, N_IDS, NOTHING
from transforms.splitters.spans import Bools

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


def forbidden(candidates: Candidates) -> Bools:
    """Tell where no sentence ends, whatever the model says. Shape: (n_candidates,)."""
    return _enclosed(candidates) | _after_list_marker(candidates) | _after_abbreviation(candidates)


def _enclosed(candidates: Candidates) -> Bools:
    """Keep what stands between quotation marks or brackets together: it is part of the sentence around it."""
    return (candidates.column("I") != 0) & (candidates.column("G") != _BLANK_LINE_GAP)


def _after_list_marker(candidates: Candidates) -> Bools:
    """Keep `1.`, `12)`, `가.`, `Ⅰ.`, `a.` at the beginning of a line with the text that they number."""
    kind = candidates.column("KIND") % 6
    marked = ((kind == STOPPED) | (kind == CLOSED)) & (candidates.column("TL") == 1)
    first, second, third = (candidates.column(name).astype(np.int64) for name in ("L1", "L2", "L3"))
    short = _IS_MARKER[first] & _IS_LINE_BEGIN[second]
    long = (CLASS[first] == DIGIT) & (CLASS[second] == DIGIT) & _IS_LINE_BEGIN[third]
    return marked & (short | long)


def _after_abbreviation(candidates: Candidates) -> Bools:
    """Keep `Dr.`, `No.` and initials (`J. R. R.`) with what follows them."""
    found = np.zeros(len(candidates.cut), dtype=bool)
    stopped = (candidates.column("T1") == ord(".")) & (candidates.column("TL") == 1)
    for at in np.flatnonzero(stopped & (candidates.column("CL1") == LATIN)).tolist():
        word = ""
        for code in candidates.columns[at, :6].astype(np.int64).tolist():
            if CLASS[code] != LATIN:
                break
            word = chr(code) + word
        found[at] = word in ABBREVIATIONS or (len(word) == 1 and word.isupper())
    return found
