"""Texts in one form for the boundary model, whichever way they were encoded.

They are composed, as NFC has it, and without the characters that nobody sees: zero-width spaces, joiners, variation
selectors, and marks that no letter takes up.

Reference: Unicode Standard Annex #15, "Unicode Normalization Forms", https://www.unicode.org/reports/tr15/; the
arithmetic of syllables: The Unicode Standard, section 3.12, "Conjoining Jamo Behavior".
"""

import itertools
import unicodedata
from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Bools, Codes, Ints

UNSEEN, JOINING, CHANGING = 1, 2, 4
"""Flags of code points: without width; composed with what stands before, or a mark; written otherwise in NFC."""

N_CODES: Final = 0x110000

_UNSEEN: Final = (
    *(0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF),
    *itertools.chain(range(0x180B, 0x180E), range(0x200B, 0x2010), range(0x202A, 0x202F), range(0x2060, 0x2070)),
    *itertools.chain(range(0xFE00, 0xFE10), range(0xFFF9, 0xFFFC), range(0xE0000, 0xE1000)),
)
_WITHOUT_FORMS: Final = ((0x3400, 0xA000), (0xAC00, 0xD7A4), (0xD800, 0xF900), (0x1F000, 0x2F800))
"""Ranges that are long and in which nothing composes or changes."""

_LEADS, _VOWELS, _TAILS, _SYLLABLES = 0x1100, 0x1161, 0x11A8, 0xAC00
_N_LEADS, _N_VOWELS, _N_TAILS, _N_SYLLABLES = 19, 21, 27, 11172
_PER_VOWEL: Final = _N_TAILS + 1


def _form_table() -> npt.NDArray[np.uint8]:
    table = np.zeros(N_CODES, dtype=np.uint8)
    past = 0
    for begin, end in (*_WITHOUT_FORMS, (0x2FA20, N_CODES)):
        for code in range(past, begin):
            character = chr(code)
            if unicodedata.combining(character):
                table[code] = JOINING
            parts = unicodedata.decomposition(character)
            if not parts or parts[0] == "<":
                continue
            if unicodedata.normalize("NFC", character) != character:
                table[code] |= CHANGING
            else:
                table[int(parts.split()[-1], 16)] |= JOINING
        past = end
    for first, count in ((_VOWELS, _N_VOWELS), (_TAILS, _N_TAILS)):
        table[first : first + count] = JOINING
    table[list(_UNSEEN)] = UNSEEN
    return table


FORM: Final = _form_table()
"""By code point, its flags."""


def canonical(codes: Codes, begins: Ints) -> tuple[Codes, Ints, Ints]:
    """Compose documents given end to end, and leave out what is not seen.

    Args:
      codes: code points. Shape: (n_codes,).
      begins: where each document begins, and the end of the last one. Shape: (n_documents + 1,).

    Returns:
      the code points, where in `codes` each of them comes from (the first of those that it is composed of; ascending),
      and where each document begins among them.

    >>> codes = np.frombuffer("\u1112\u1161\u11ab\u200b글".encode("utf-32-le"), dtype=np.uint32)
    >>> composed, position, begins = canonical(codes, np.array([0, 5]))
    >>> "".join(map(chr, composed)), position.tolist(), begins.tolist()
    ('한글', [0, 4], [0, 2])
    """
    position = ((FORM[codes] & UNSEEN) == 0).nonzero()[0]
    codes, begins = codes[position], position.searchsorted(begins)
    is_first = np.zeros(len(codes) + 1, dtype=bool)
    is_first[begins] = True
    codes, kept = _compose_syllables(codes, is_first[:-1])
    places = kept.nonzero()[0]
    codes, position, begins = codes[places], position[places], places.searchsorted(begins)
    return _compose_others(codes, position, begins)


def _compose_syllables(codes: Codes, is_first: Bools) -> tuple[Codes, Bools]:
    """Put syllables in the place of their first jamo; tell which places are still needed."""
    codes = codes.copy()
    vowel, tail = (codes - np.uint32(first) < count for first, count in ((_VOWELS, _N_VOWELS), (_TAILS, _N_TAILS)))
    vowel, tail = vowel & ~is_first, tail & ~is_first
    kept = np.ones(len(codes), dtype=bool)
    at = ((codes[:-1] - np.uint32(_LEADS) < _N_LEADS) & vowel[1:]).nonzero()[0]
    codes[at] = _SYLLABLES + ((codes[at] - _LEADS) * _N_VOWELS + codes[at + 1] - _VOWELS) * _PER_VOWEL
    kept[at + 1] = False
    syllable = codes - np.uint32(_SYLLABLES)
    at = ((syllable < _N_SYLLABLES) & (syllable % _PER_VOWEL == 0)).nonzero()[0]
    after = at + 1
    after += ~np.append(kept, True)[after]
    closed = np.append(tail, False)[after]
    at, after = at[closed], after[closed]
    codes[at] += codes[after] - (_TAILS - 1)
    kept[after] = False
    return codes, kept


def _compose_others(codes: Codes, position: Ints, begins: Ints) -> tuple[Codes, Ints, Ints]:
    """Compose what is no syllable: letters with their marks, kana, characters that are written otherwise in NFC."""
    form = FORM[codes]
    form[codes - np.uint32(_LEADS) < 0x100] = 0  # Jamo that are left stand alone.
    form[codes - np.uint32(_SYLLABLES) < _N_SYLLABLES] = 0
    if not form.any():
        return codes, position, begins
    joining = (form & JOINING) > 0
    joining[begins[:-1][begins[:-1] < len(codes)]] = False
    run = np.cumsum(~joining)
    run_begins = np.append((~joining).nonzero()[0], len(codes))
    touched = np.zeros(len(run_begins) + 1, dtype=bool)
    touched[run[form > 0]] = True
    new_codes: list[int] = []
    new_position: list[int] = []
    for number in touched.nonzero()[0].tolist():
        first, past = run_begins[number - 1 : number + 1].tolist()
        for part, offset in _parts("".join(map(chr, codes[first:past].tolist()))):
            new_codes += part
            new_position += [int(position[first + offset])] * len(part)
    untouched = ~touched[run]
    merged = np.concatenate((position[untouched], np.array(new_position, dtype=np.int64)))
    order = merged.argsort(kind="stable")
    merged_codes = np.concatenate((codes[untouched], np.array(new_codes, dtype=np.uint32)))[order]
    document_begins = np.append(position, np.iinfo(np.int64).max)[begins]
    return merged_codes, merged[order], merged[order].searchsorted(document_begins)


def _parts(text: str) -> list[tuple[list[int], int]]:
    """Compose a letter and what follows it: the parts that do not join, without marks left over, and their begins."""
    starts = [0, *(at for at in range(1, len(text)) if not unicodedata.combining(text[at])), len(text)]
    parts: list[str] = []
    for begin, end in itertools.pairwise(starts):
        letter = text[begin:end]
        if parts and _nfc(parts[-1] + letter) != _nfc(parts[-1]) + _nfc(letter):
            parts[-1] += letter
        else:
            parts.append(letter)
    begins = itertools.accumulate(map(len, parts), initial=0)
    return [
        ([ord(character) for character in _nfc(part) if not unicodedata.combining(character)], begin)
        for part, begin in zip(parts, begins, strict=False)
    ]


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
