"""Smileys, sighs and stage directions, `T_T`, `^_^`, `:-)`, `(웃음)`: what comments on the sentence before it."""

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from klue_beam.transforms.base.codepoints import Ints

FACE: Final = ord("^")
"""The id that each character of a face gets: to the model all faces are one."""

_LONGEST: Final = 16
_JAMO: Final = range(0x3131, 0x3164)
_LETTER_EYES: Final = "TtOo0XxUuNnVvQq"
_EYES: Final = "@=>-^;*<.'+" + "".join(map(chr, _JAMO))
_DIRECTIONS: Final = (
    "웃음 박수 한숨 폭소 미소 눈물 울음 침묵 환호 탄식 흐느낌 긁적 긁적긁적 끄덕 헛기침 하하 호호 후훗 헤헤 흑흑"
)
_WHOSE: Final = "일동 모두 함께 다같이 잠시 잠깐 큰 긴 살짝 크게 관객 청중 좌중 전원"

_FACES: Final = re.compile(
    "|".join(
        (
            r"(?<![A-Za-z0-9])[:;=]['^o-]?\)+",
            r"(?<![A-Za-z0-9])[:;=]['^o-]?(?:\(+|[DPp])(?![A-Za-z0-9가-힣(])",
            rf"(?<![A-Za-z0-9_])[{_LETTER_EYES}]_+[{_LETTER_EYES}](?![A-Za-z0-9_])",
            rf"[{re.escape(_EYES)}][_ㅅㅁㅂ]+[{re.escape(_EYES)}];*",
            r"(?<![A-Za-z0-9>])>[.]?<(?![A-Za-z0-9가-힣<])",
            r"\^[.o-]\^;*",
            r"(?<![0-9-])-[.]-;*",
            r"(?<=[가-힣~!?.]);{2,}",
            r"(?<=[ㄱ-ㅣ^-]);+",
            r"\([ㄱ-ㅣ^_.><@;~!?♡♥…*T-]+\)(?![A-Za-z0-9])",
            rf"\((?:(?:{_WHOSE.replace(' ', '|')}) ?)?(?:{_DIRECTIONS.replace(' ', '|')})\)",
        )
    )
)


def _bits() -> npt.NDArray[np.uint8]:
    """Tell of each id, by pairs of bits, whether it can begin a face, and whether it can be second in one."""
    pairs = (
        (":;=", "'^o-)(DPp;"),
        (_LETTER_EYES + _EYES, "_ㅅㅁㅂ;"),
        (">^-", "<.o-"),
        (
            "(",
            "".join(map(chr, _JAMO)) + "^_.><@;~!?♡♥…*T-" + "".join(w[0] for w in (_DIRECTIONS + " " + _WHOSE).split()),
        ),
    )
    bits = np.zeros(0x10001, dtype=np.uint8)
    for number, (first, second) in enumerate(pairs):
        bits[[ord(character) for character in set(first)]] |= 1 << 2 * number
        bits[[ord(character) for character in set(second)]] |= 2 << 2 * number
    return bits


_BITS: Final = _bits()
_FIRSTS: Final = 0b01010101


def mark_faces(ids: Ints) -> Ints:
    """Put the id FACE in the place of each character of a face.

    Args:
      ids: a batch of documents, as laid out, with padding. Shape: (n_ids,). Changed in place.

    Returns:
      the places that were changed.
    """
    bits = _BITS.take(ids)
    places: list[int] = []
    past = 0
    for begin in ((((bits[:-1] & _FIRSTS) << 1) & bits[1:]) > 0).nonzero()[0].tolist():
        if begin < past:
            continue
        near = "".join(map(chr, ids[begin - 1 : begin + _LONGEST].tolist()))
        if face := _FACES.match(near, 1):
            past = begin + face.end() - 1
            places += range(begin, past)
    changed = np.array(places, dtype=np.int64)
    ids[changed] = FACE
    return changed
