"""Headlines told as people tell them: with a stop, as sentences, with a frame around them.

A model that learns topics from headlines alone takes a stop for a sign of one topic. Here each headline gets another
form, so that the form says nothing of the topic. No form adds a word that belongs to a topic.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from transforms.formats.klue import TopicExample

_SERIES: Final = re.compile(r"(?<=\S)(?:종합\d?|속보|[1-9]보)+$")
"""What a news agency adds to a headline's last word for its own use."""

_BREAK: Final = re.compile(r"\s*(?:…|\.{2,}|‥)\s*")

_ASKS: Final = re.compile(r"(?:까|나|가|요|죠|네|니|세)$")
_SAYS: Final = re.compile(r"(?:다|자|라)$")

_DOERS: Final = frozenset(
    word
    for line in (
        "개발 개최 개막 개시 개통 개편 결정 결승 경고 계약 고발 공개 공모 공연 관람 구속 기대 기록 기소 논의",
        "달성 당선 대응 도전 도입 돌파 마감 만류 모집 반발 반박 반대 발견 발사 발생 발의 발표 발탁 방문 방한",
        "복귀 봉쇄 부상 부활 분석 비판 사과 사망 사퇴 상승 석방 선고 선발 선언 선정 선출 성공 소환 수사 수상",
        "수출 승리 시사 시작 신청 실시 압수 연기 예고 예방 예상 예정 완료 완화 요구 요청 우려 우승 운영 유지",
        "유치 은퇴 의결 이전 인상 인수 인하 임명 입장 적발 전망 전환 점검 제공 제안 제출 조사 조성 주목 주장",
        "중단 증가 지급 지시 지원 지적 지정 진출 진행 질타 착공 착수 참가 참석 참여 철회 체결 체포 촉구 축소",
        "출간 출국 출마 출범 출시 출전 충돌 취소 취임 타결 탈출 통과 통제 투자 판매 폐쇄 포기 폭로 폭발 하락",
        "합의 해명 해임 해제 협력 협의 확대 확보 확산 확인 확정 환영 회동 회복 검토 강조 강화 감소 격상 가동",
        "가세 거부 거절 검거 건설 공급 공격 공략 교체 구축 금지 급등 급락 급증 나열 납부 노출",
    )
    for word in line.split()
)
"""Nouns that a headline ends in where a sentence has a verb of them with 하다."""

_STATED: Final = {
    "doer": (
        "했다.",
        "하였다.",
        "했습니다.",
        "했다고 밝혔다.",
        "하기로 했다.",
        "했다고 한다.",
        "했어요.",
        "할 예정이다.",
        "한다고 합니다.",
    ),
    "says": (".", ".", "고 밝혔다.", "고 한다.", "고 합니다.", "고 말했다.", "는 이야기다."),
    "asks": (".", "?", "!", "라고 물었다."),
    "noun": ("이다.", "입니다.", "이라고 한다.", "이라고 밝혔다.", "이라는 소식이다.", "이라고 합니다.", "이에요."),
    "open noun": ("이다.", "입니다.", "라고 한다.", "라고 밝혔다.", "라는 소식이다.", "라고 합니다.", "예요."),
}
"""What a last word is made to end in, by its kind; an open noun ends in a vowel."""

_FRAMES: Final = (
    "{} 소식이 전해졌다.",
    "오늘 전할 이야기는 '{}'입니다.",
    "'{}'라는 글이 올라왔다.",
    "기사 제목은 “{}”이다.",
    "다음은 {}에 관한 내용이다.",
    '관계자는 "{}"라고 말했다.',
)
_LEADS: Final = (
    "지난 3일 ",
    "한편 ",
    "이날 ",
    "또한 ",
    "지난달 ",
    "그는 ",
    "올해 들어 ",
    "어제 오후 ",
    "이에 따라 ",
    "▶ ",
    "- ",
    "1. ",
)
_JOINTS: Final = (", ", ". ", " ", " 그리고 ", "; ", " - ")
_STOPS: Final = (".", ".", ".", "!", "...", " .", "~")


def vary_headlines(examples: Sequence[TopicExample], seed: int) -> list[TopicExample]:
    """Give each headline another form, drawn by a seed: a third with a stop, the others as sentences or in a frame."""
    random = np.random.default_rng(seed)
    return [dataclasses.replace(example, text=vary_headline(example.text, random)) for example in examples]


def vary_headline(headline: str, random: np.random.Generator) -> str:
    """Give a headline another form.

    >>> random = np.random.default_rng(5)
    >>> [vary_headline("도서관…내달 개관종합", random) for _ in range(2)]
    ['도서관, 내달 개관이라고 합니다.', '지난 3일 도서관, 내달 개관이라고 한다.']
    """
    text = _SERIES.sub("", headline.strip())
    joint = _pick(_JOINTS[:2] if random.random() < 0.6 else _JOINTS, random)
    parts = [part for part in _BREAK.split(text) if part]
    if not parts:
        return headline
    text = joint.join(parts)
    form = random.random()
    if form < 0.33:
        text += _pick(_STOPS, random)
    elif form < 0.8:
        text = state(text, random)
    else:
        text = _pick(_FRAMES, random).format(text)
    return _pick(_LEADS, random) + text if random.random() < 0.15 else text


def state(text: str, random: np.random.Generator) -> str:
    """Let a headline end as a sentence does."""
    last = text.rsplit(maxsplit=1)[-1]
    if not "가" <= last[-1] <= "힣":
        return text + _pick(_STOPS, random)
    if last[-2:] in _DOERS:
        kind = "doer"
    elif _SAYS.search(last):
        kind = "says"
    elif _ASKS.search(last) and len(last) > 2:
        kind = "asks"
    else:
        kind = "noun" if (ord(last[-1]) - ord("가")) % 28 else "open noun"
    return text + _pick(_STATED[kind], random)


def _pick(choices: Sequence[str], random: np.random.Generator) -> str:
    return choices[int(random.integers(len(choices)))]
