"""Settling the precision `auto`, when a plan is made: the fastest form whose labels are those of fp32."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import torch

from klue_beam.schemas.config import AUTO_PRECISION, ModelConfig
from klue_beam.schemas.sentence import SENTENCE
from klue_beam.transforms.annotate.sentences import annotate
from klue_beam.transforms.evaluation.agreement import Agreement, compare_labels
from klue_beam.transforms.models.engine.loading import load_engines
from klue_beam.transforms.models.nets.precision import choose_device

TRIAL_SENTENCES: Final = (
    "해온시는 4월 12일 시청에서 기자 회견을 열고 새 버스 노선 열두 개를 공개했다.",
    '김다온 시장은 "출근길이 20분쯤 짧아질 것"이라고 말했다.',
    "한빛전자는 올해 2분기에 매출 3조 2천억 원, 영업이익 4,100억 원을 냈다고 밝혔다.",
    "이 회사 박서준 대표는 부산 공장을 내년 3월까지 두 배로 늘리겠다고 했다.",
    "대표팀은 어제 서울에서 열린 경기에서 일본을 2대 1로 꺾고 결승에 올랐다.",
    "주장 이하람은 후반 37분에 오른발로 결승 골을 넣었다.",
    "정부는 다음 달부터 전기 요금을 5% 올리는 방안을 국회에 보고했다.",
    "야당 의원들은 서민의 부담이 커진다며 반대했다.",
    "새 휴대전화에는 사진을 글로 설명해 주는 기능이 들어갔다.",
    "연구진은 이 방법으로 전력 소모를 3분의 1로 줄였다고 논문에 썼다.",
    "프랑스 파리에서는 기후 회의가 사흘째 이어지고 있다.",
    "유엔 사무총장은 각국에 약속을 지키라고 촉구했다.",
    "정약용은 1762년에 경기도 광주에서 태어난 조선 후기의 학자이다.",
    "그는 수원 화성을 지을 때 거중기를 만들어 공사 기간을 크게 줄였다.",
    "새별대학교는 1954년에 최은서 박사가 세운 사립 대학으로, 본부는 대전에 있다.",
    "소설 《푸른 밤》은 작가 윤지안이 2016년에 발표한 두 번째 장편이다.",
    "한강은 태백산맥에서 시작해 서울을 지나 서해로 흘러 들어간다.",
    "배우 오세린은 영화 '마지막 정거장'에서 역장의 딸을 연기했다.",
    "두 사람은 2011년에 결혼해 슬하에 아들 하나와 딸 하나를 두었다.",
    "국물이 진하고 면도 쫄깃한데 값은 조금 비싸요.",
    "배우들 연기는 좋았지만 결말이 너무 급하게 끝나서 아쉬웠다ㅠㅠ",
    "배송이 이틀 만에 왔고 상자도 멀쩡했습니다. 다음에도 여기서 살게요!",
    "아이와 함께 봤는데 둘 다 시간 가는 줄 몰랐어요 ㅎㅎ",
    "학교 앞 건널목에 신호등을 세워 주시기를 간곡히 부탁드립니다.",
    "저희 마을에는 3년째 버스가 하루에 두 번밖에 다니지 않습니다.",
    "담당 부서에서는 예산이 없다는 말만 되풀이하고 있습니다.",
    "내일 저녁 일곱 시에 강남역 3번 출구에서 만나자.",
    "응, 그런데 비가 온다니까 우산 꼭 챙겨.",
    "아까 보낸 자료를 확인하셨으면 답장 부탁드려요.",
    "감기에 걸렸을 때는 물을 자주 마시고 푹 쉬는 것이 좋다.",
    "양파를 얇게 썰어 기름을 두른 팬에 10분 동안 약한 불로 볶는다.",
    "계약을 해지하려는 사람은 30일 전까지 서면으로 상대방에게 알려야 한다.",
)
"""What a precision is tried on: plain sentences of many kinds, made up for it; some 700 tokens."""

FASTER_FORMS: Final = ("bf16", "int8")
"""In the order of their exactness."""

MOST_TIME: Final = 0.9
"""A form must take at most so much of a more exact one's time; else its other numbers are not worth having."""

FIRST_SENTENCES: Final = 4
FIRST_MOST_TIME: Final = 1.5
"""A form that takes more than so much of fp32's time for the first sentences is tried no further: where a processor has
no arithmetic for it, it is slower by tens of times."""

MOST_DIFFERENT: Final = 1 / 200
"""Of each kind, at most this share of the labels may differ from fp32's, and always one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """How a precision did on TRIAL_SENTENCES.

    Attributes:
      precision: the precision.
      seconds: what annotating took, of processor time, on a GPU of time; None where it was given up early.
      agreements: with fp32, by kind of label; empty where it was given up.
    """

    precision: str
    seconds: float | None
    agreements: dict[str, Agreement]

    @property
    def agrees(self) -> bool:
        """Whether its labels are as good as fp32's.

        >>> Trial("int8", 1.0, {"heads": Agreement(298, 300, 300), "topic": Agreement(31, 32, 32)}).agrees
        False
        >>> Trial("int8", 1.0, {"heads": Agreement(299, 300, 300), "topic": Agreement(31, 32, 32)}).agrees
        True
        """
        return bool(self.agreements) and all(
            found.different <= max(1, MOST_DIFFERENT * found.expected) for found in self.agreements.values()
        )


def settle_precision(config: ModelConfig, device: str = "auto") -> ModelConfig:
    """Choose the precision that a configuration leaves open.

    The models annotate TRIAL_SENTENCES in each form, one thread, here and now. A form is taken whose labels agree with
    those of fp32: of each kind (topics, entities, relations, heads, dependency labels) at most one in 200 differs, and
    always one may. On the CPU it must also be faster by a tenth than any more exact one that could be taken: bf16 than
    fp32, int8 than both. On a GPU it is bf16, where the GPU has that and the labels agree. Otherwise it is fp32.

    What is settled depends on the processor and its load; so a plan stores it, and all later runs and all workers take
    what the plan says.

    Args:
      config: what `resolve_models` gave.
      device: as in `choose_device`.

    Returns:
      The configuration with one of PRECISIONS; as it is where it has one.

    Raises:
      ValueError: if the device is not there.
    """
    if config.precision != AUTO_PRECISION:
        return config
    where = choose_device(device, "fp32")
    forms = FASTER_FORMS if where.type == "cpu" else ("bf16",) * torch.cuda.is_bf16_supported(including_emulation=False)
    return dataclasses.replace(config, precision=choose_trial(try_precisions(config, forms, where), where).precision)


def choose_trial(trials: list[Trial], device: torch.device) -> Trial:
    """Choose among trials by the rule of `settle_precision`; they come in the order of their exactness, fp32 first.

    >>> same = {"topic": Agreement(32, 32, 32)}
    >>> trials = [Trial("fp32", 1.0, same), Trial("bf16", 0.6, same), Trial("int8", 0.5, same)]
    >>> choose_trial(trials, torch.device("cpu")).precision
    'int8'
    >>> trials[1:] = [Trial("bf16", 0.95, same)]
    >>> [choose_trial(trials, torch.device(name)).precision for name in ("cpu", "cuda")]
    ['fp32', 'bf16']
    """
    chosen = trials[0]
    for trial in trials[1:]:
        if not trial.agrees or trial.seconds is None or chosen.seconds is None:
            continue
        if device.type == "cuda" or trial.seconds <= MOST_TIME * chosen.seconds:
            chosen = trial
    return chosen


def try_precisions(config: ModelConfig, forms: tuple[str, ...], device: torch.device) -> list[Trial]:
    """Try fp32 and other forms on TRIAL_SENTENCES, one after another.

    Args:
      config: what `resolve_models` gave.
      forms: out of PRECISIONS without fp32.
      device: where.

    Returns:
      A trial of fp32 and of each form, in this order.
    """
    rows = _list_rows()
    with _one_thread():
        first_seconds, whole = _time_form(config, "fp32", rows, device, float("inf"))
        seconds, expected = whole or (0.0, rows)
        trials = [Trial("fp32", seconds, compare_labels(expected, expected))]
        for form in forms:
            try:
                _, whole = _time_form(config, form, rows, device, FIRST_MOST_TIME * first_seconds)
            except Exception:  # whatever an architecture that has no such form raises: there is fp32
                logging.getLogger(__name__).warning("The models do not run in %s.", form, exc_info=True)
                whole = None
            trials.append(Trial(form, whole[0], compare_labels(whole[1], expected)) if whole else Trial(form, None, {}))
    return trials


def _time_form(
    config: ModelConfig, form: str, rows: pa.RecordBatch, device: torch.device, first_most_seconds: float
) -> tuple[float, tuple[float, pa.RecordBatch] | None]:
    """Annotate in one form.

    Returns:
      The seconds of the first sentences; the seconds of all and the annotated rows, None where the first took too long.
    """
    engines = load_engines(dataclasses.replace(config, precision=form), device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    first = rows.slice(0, FIRST_SENTENCES)
    annotate(first, engines)  # what is made once, at the first pass
    began = clock()
    annotate(first, engines)
    first_seconds = clock() - began
    if device.type == "cpu" and first_seconds > first_most_seconds:
        return first_seconds, None
    began = clock()
    annotated, _ = annotate(rows, engines)
    return first_seconds, (clock() - began, annotated)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _list_rows() -> pa.RecordBatch:
    n = len(TRIAL_SENTENCES)
    columns = {
        "doc_id": ["trial"] * n,
        "source": ["trial"] * n,
        "record_index": [0] * n,
        "sentence_index": range(n),
        "begin": [0] * n,
        "end": [len(text) for text in TRIAL_SENTENCES],
        "text": TRIAL_SENTENCES,
        "metadata": pa.nulls(n, pa.string()),
        "flags": [[] for _ in range(n)],
    }
    return pa.RecordBatch.from_pydict(columns, schema=SENTENCE)
