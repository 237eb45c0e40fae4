"""Other endings for written sentences, as people talk, text and write at home: `갔다` → `갔어`, `갔지`, `갔대`, `갔제`.

The corpora that people have split are written ones. So their sentences are given the endings of other writers, without
a mark as a rule, and the splitter learns those endings before real beginnings of sentences.
"""

import random
import re
from typing import Final

_BASE: Final = 0xAC00
_NIEUN, _RIEUL, _MIEUM, _BIEUP, _SSANGSIOT = 4, 8, 16, 17, 20
"""Numbers of final consonants."""

_BRIGHT: Final = frozenset((0, 8))
"""Numbers of the vowels ㅏ and ㅗ, behind which 아 stands, not 어."""

_CONTRACTED: Final = {0: 0, 1: 1, 4: 4, 5: 5, 6: 6, 8: 9, 11: 10, 13: 14, 18: 4, 20: 6}
"""What a stem's vowel and 아 or 어 become: 가 → 가, 보 → 봐, 되 → 돼, 주 → 줘, 쓰 → 써, 지 → 져."""

_PAST: Final = {
    "polite": "어요 어요 어요 네요 네요 죠 지요 거든요 더라고요 더라구요 는데요 잖아요 습니다 습니다 어용 네용 대요 "
    "을까요",
    "familiar": "어 어 어 어 지 지 네 네 거든 더라 더라고 더라구 다니까 잖아 구나 냐 대 대 니 군 을걸 당 다",
    "note": "음 음 음 음 슴 다 네",
    "dialect": "쥬 어유 구먼 제 지라 당께 다니께 걸랑 드라 심더 네 어",
}
"""By style, what the past tense, a stem in ㅆ, ends in."""

_PRESENT: Final = {
    "polite": "네요 죠 지요 거든요 더라고요 잖아요 는데요 세요 십시오 네용",
    "familiar": "지 지 네 네 더라 더라고 거든 잖아 냐 자 니 는구나",
    "note": "네",
    "dialect": "쥬 제 지라 드라 걸랑 재",
}
_OPEN: Final = {
    "polite": "ㄴ대요 ㄹ게요 ㄹ까요 ㅂ니다 ㅂ니다 아요 아요 아요",
    "familiar": "ㄴ다 ㄴ대 ㄴ다니까 ㄴ당 ㄹ게 ㄹ까 ㄹ걸 아 아 아 아라",
    "note": "ㄴ다 ㅁ ㅁ",
    "dialect": "ㄴ다 ㄴ당께 아유",
}
"""… and an open stem, whose final consonant becomes ㄴ, ㄹ, ㅁ or ㅂ, or to whose vowel 아 is added."""

_CLOSED: Final = {
    "polite": "아요 아요 네요 을까요 을게요",
    "familiar": "아 아 는대 다니까 을까 을게 을걸",
    "note": "음",
    "dialect": "아유 제 지라",
}
_STATING: Final = {
    "polite": "이에요 이에요 이네요 이죠 입니다 입니다",
    "familiar": "이야 이야 이지 이네 이거든 이래 이잖아 이구나 이더라 이다",
    "note": "임",
    "dialect": "이여 이제 이구먼 인겨",
}
STYLES: Final = tuple(_PAST)

_VERB: Final = re.compile(r"(?P<stem>[가-힣])(?P<end>다|니다)[.]?$")


def _ends_in_syllable(text: str) -> bool:
    return bool(text) and "가" <= text[-1] <= "힣"


def _parts(syllable: str) -> tuple[int, int, int]:
    code = ord(syllable) - _BASE
    return code // 588, code % 588 // 28, code % 28


def _syllable(lead: int, vowel: int, tail: int) -> str:
    return chr(_BASE + lead * 588 + vowel * 28 + tail)


def with_other_ending(text: str, style: str, rng: random.Random) -> str:
    """Give a sentence in the plain or the formal style another ending, without its full stop; leave any other alone.

    Args:
      text: the sentence.
      style: one of STYLES.
      rng: the source of chance.

    >>> [with_other_ending("비가 왔다.", style, random.Random(0)) for style in STYLES]
    ['비가 왔습니다', '비가 왔다니까', '비가 왔네', '비가 왔다니께']
    """
    found = _VERB.search(text)
    if not found:
        return text
    kept, stem, ending = text[: found.start()], found["stem"], found["end"]
    lead, vowel, tail = _parts(stem)
    if ending == "니다":
        if stem == "습" and _ends_in_syllable(kept):
            kept, (lead, vowel, tail) = kept[:-1], _parts(kept[-1])
        elif tail == _BIEUP:
            tail = 0
        else:
            return text
    elif stem == "는":
        if not _ends_in_syllable(kept):
            return text
        kept, (lead, vowel, tail) = kept[:-1], _parts(kept[-1])
    elif tail == _NIEUN:
        tail = 0
    return kept + _ended(lead, vowel, tail, style, rng)


def _ended(lead: int, vowel: int, tail: int, style: str, rng: random.Random) -> str:
    """End a stem: in the past tense, closed by a consonant, or open."""
    stem = _syllable(lead, vowel, tail)
    if tail == _SSANGSIOT:
        return stem + rng.choice(_PAST[style].split())
    if stem == "이":
        return rng.choice(_STATING[style].split())
    if style != "note" and rng.random() < 0.5:
        return stem + rng.choice(_PRESENT[style].split())
    if tail:
        ending = rng.choice(_CLOSED[style].split())
        return stem + (ending if vowel in _BRIGHT else ending.replace("아", "어"))
    return _opened(lead, vowel, rng.choice(_OPEN[style].split()))


def _opened(lead: int, vowel: int, ending: str) -> str:
    final = {"ㄴ": _NIEUN, "ㄹ": _RIEUL, "ㅁ": _MIEUM, "ㅂ": _BIEUP}.get(ending[0])
    if final:
        return _syllable(lead, vowel, final) + ending[1:]
    if (lead, vowel) == (18, 0):
        return "해" + ending[1:]
    if vowel in _CONTRACTED:
        return _syllable(lead, _CONTRACTED[vowel], 0) + ending[1:]
    return _syllable(lead, vowel, 0) + "어" + ending[1:]
