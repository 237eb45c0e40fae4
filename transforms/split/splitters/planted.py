"""What training documents are given that the corpora show too rarely: nouns that end like verbs, connectives, lists.

A language has always more names (기시다, 판다, 코스모다) than any corpus. So names are invented, and put where a
sentence surely goes on: the splitter has to tell by what stands around them, and by how the writer ends sentences.
"""

import random
import re
from typing import Final

_SYLLABLES: Final = """
가 고 구 기 나 노 누 니 다 도 디 라 레 로 루 리 마 메 모 무 미 바 베 보 부 비 사 세 소 스 시 아 야 에 오 요 우 유 이 자
제 조 주 지 카 코 쿠 키 타 테 토 투 티 파 페 포 푸 피 하 호 후 히 간 갈 강 건 경 곤 광 권 그 금 길 난 넬 단 달 담 대 동
드 란 랑 러 렌 론 린 만 말 먼 문 민 반 발 벤 별 본 빈 산 살 상 샤 서 석 선 설 성 손 솔 송 수 순 쉬 신 쓰 안 알 앙 야 양
언 엔 여 연 영 온 완 용 운 원 윈 은 인 일 임 장 전 정 젠 존 중 진 차 찬 천 첼 청 춘 치 칸 켄 콘 크 탄 탐 트 팔 판 펜 폰
풍 프 필 한 항 해 허 헤 현 혼 홍 화 환 황 훈
"""
_BODIES: Final = _SYLLABLES.split()
_VERBAL: Final = """
시 이 하 니 린 한 간 판 온 난 혼 지 리 크 우 루 르 서 오 가 나 된 런 렌 란 산 싶 있 없 좋 는 느 떠 모
"""
_VERBAL_BODIES: Final = _VERBAL.split()
"""Syllables that often stand before 다 in verbs too."""

_FINAL: Final = """
다 요 까 죠 네 지 니 라 나 서 대 어 음 임 함 자 해 군 게 래 가 야 아 마 려 돼 봐 줘 와 듯 중 용 염 삼 셈 걸
"""
_TAILS: Final = _FINAL.split()
_TAIL_WEIGHTS: Final = (
    *(60, 12, 6, 5, 6, 6, 5, 6, 5, 2, 3, 3, 4, 3, 3, 5, 3, 3, 2, 2, 3, 3, 2, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1),
)
_PAUSED: Final = frozenset("은는이가을를의에도로과와고서며만나데면게히")
_PAUSES: Final = ("...", "..", "…", "....", "~", "…", "...")
_WORD: Final = re.compile(r"(?<![^ ])[가-힣]+")
_WHILE: Final = re.compile(r"(?<=[가-힣])다가 (?=[가-힣])")
"""`보이다가 지난달`: written without its last syllable, `보이다 지난달`, it looks like an end."""

_MARKERS: Final = (
    "- ",
    "▶ ",
    "• ",
    "■ ",
    "* ",
    "※ ",
    "· ",
    "○ ",
    "▷ ",
    "● ",
    "-",
    "▶",
    "{}. ",
    "{}) ",
    "{circled} ",
    "{syllable}. ",
)
_INLINE: Final = ("▶ ", "■ ", "{}. ", "{}) ", "{circled} ", "● ", "▶", "※ ")


def invented_noun(rng: random.Random) -> str:
    """Invent a noun of two to five syllables that ends like a verb.

    >>> invented_noun(random.Random(4))
    '완다'
    """
    (tail,) = rng.choices(_TAILS, _TAIL_WEIGHTS)
    body = rng.choices(_BODIES, k=rng.choice((1, 1, 2, 2, 2, 3, 4)))
    if rng.random() < 0.4:
        body[-1] = rng.choice(_VERBAL_BODIES)
    return "".join(body) + tail


def plant(text: str, rng: random.Random, names: tuple[tuple[int, int], ...] = ()) -> str:
    """Put an invented noun into a sentence: before some word, or in the place of a name that no particle follows.

    Args:
      text: one sentence.
      rng: the source of chance.
      names: half-open code points of names in it.
    """
    bare = [(begin, end) for begin, end in names if _WORD.match(text, end + 1) and text[end] == " "]
    if bare and rng.random() < 0.7:
        begin, end = rng.choice(bare)
        return text[:begin] + invented_noun(rng) + text[end:]
    places = [begin for begin, _ in names if begin == 0 or text[begin - 1] == " "] if rng.random() < 0.6 else []
    places = places or [word.start() for word in _WORD.finditer(text)]
    if not places:
        return text
    place = rng.choice(places)
    return f"{text[:place]}{invented_noun(rng)} {text[place:]}"


def pause(text: str, rng: random.Random) -> str:
    """Put a mark of hesitation behind a word in the middle of a sentence, most often behind a particle.

    >>> pause("나는 어제 집에 갔다.", random.Random(2))
    '나는... 어제 집에 갔다.'
    """
    words = list(_WORD.finditer(text))[:-1]
    likely = [word for word in words if word[0][-1] in _PAUSED]
    if not words:
        return text
    end = rng.choice(likely or words).end()
    return text[:end] + rng.choice(_PAUSES) + text[end:] if text[end : end + 1] == " " else text


def shorten_connectives(text: str) -> str:
    """Write `-다가` as `-다`.

    >>> shorten_connectives("값이 내리다가 다시 올랐다.")
    '값이 내리다 다시 올랐다.'
    """
    return _WHILE.sub("다 ", text)


def as_list(texts: list[str], rng: random.Random) -> tuple[list[str], bool]:
    """Put list markers before texts, as one writer would; tell whether they can stand on one line."""
    inline = rng.random() < 0.4
    marker = rng.choice(_INLINE if inline else _MARKERS)
    first = rng.choice((0, 0, 1))
    past = len(texts) - rng.choice((0, 0, 1)) if len(texts) > 3 else len(texts)
    if rng.random() < 0.5:
        texts = [text[:-1] if text[-1] == "." else text for text in texts]
    marked = [
        marker.format(
            number, circled=chr(0x245F + min(number, 20)), syllable="가나다라마바사아자차카타파하"[min(number, 14) - 1]
        )
        + text
        for number, text in enumerate(texts[first:past], 1)
    ]
    return [*texts[:first], *marked, *texts[past:]], inline
