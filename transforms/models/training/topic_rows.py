"""Sentences of running text with how likely each topic is: those of documents, and those that have none.

A sentence of a news body is about what its article is about, so it gets what a model makes of the whole document. What
says nothing (a greeting, a number, a list mark) gets all topics alike, so that a model is unsure of it and a fitted
score can leave it without a topic.

Reference (outlier exposure): Hendrycks et al., 2019, https://arxiv.org/abs/1812.04606
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from transforms.codepoints import Ints
from transforms.models.multitask import MultiTaskModel, to_tensor
from transforms.models.pieces import EncodedTexts, PaddedInputs
from transforms.models.training.objectives import Output, States
from transforms.models.training.pair_rows import SoftOutput

_PLAIN: Final = tuple(
    text
    for line in (
        "안녕하세요|안녕|네|예|아니요|감사합니다|고맙습니다|죄송합니다|알겠습니다|잘 부탁드립니다|수고하세요",
        "반갑습니다|그렇습니다|그렇다|아니다|맞아요|글쎄요|정말요|왜요|뭐라고|그래서요|그런데|그러나|하지만",
        "따라서|다음과 같다|아래와 같습니다|이상입니다|끝|참고|출처|제목|목차|서론|결론|본문|부록|표 1|그림 2",
        "주석|제1장|제2조|가.|나.|다.|(1)|①|1.|2)|-|*|※|▶|◇|…|...|?|!|ㅋㅋ|ㅠㅠ|ㅎㅎㅎ|^^|:)|T_T",
        "오늘은 날씨가 좋다|밥 먹었어|뭐 해|지금 가요|언제 와|어디야|나도 그래|그건 아니야|잠깐만|괜찮아",
        "모르겠어|그는 고개를 끄덕였다|그녀는 웃었다|아무 말도 하지 않았다|문이 열렸다|그때였다|시간이 흘렀다",
        "나는 잠이 들었다|비가 왔다|자세한 내용은 아래를 보세요|문의해 주세요|첨부합니다|확인 바랍니다",
        "읽어 주셔서 감사합니다|계속|더 보기|목록|이전|다음|좋아요|싫어요|최고|별로|그냥 그래|그럭저럭",
        "또 올게요|처음입니다|질문 있습니다|도와주세요|답변 부탁드립니다|테스트|test|OK||",
    )
    for text in line.split("|")
)
_ENDS: Final = ("", "", ".", "!", "?", "~", "...", " ㅎㅎ", "!!")


@dataclasses.dataclass(frozen=True, slots=True)
class TopicRow:
    """A text and how likely each topic is; what is missing to 1 is shared by all topics."""

    text: str
    goal: Mapping[str, float]


def make_plain_rows(count: int, seed: int) -> list[TopicRow]:
    """Make so many texts without a topic."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        parts = [_PLAIN[int(i)] for i in random.integers(len(_PLAIN), size=int(random.integers(1, 4)))]
        text = " ".join(part + _ENDS[int(random.integers(len(_ENDS)))] for part in parts)
        if random.random() < 0.15:
            text = str(int(random.integers(1, 10 ** int(random.integers(1, 7)))))
        rows.append(TopicRow(text, {}))
    return rows


def make_document_rows(
    documents: Iterable[tuple[Sequence[str], npt.NDArray[np.float64]]],
    topics: Sequence[str],
    trust: float = 0.85,
    most: int | None = None,
) -> list[TopicRow]:
    """Give each sentence of a document what its whole document is likely about.

    Args:
      documents: each one's sentences, its title first, and the logarithms of the topics' probabilities for each.
        Shape of those: (n_sentences, n_topics).
      topics: their names.
      trust: how much of that belief stays; topics share the rest.
      most: documents of one topic, the first ones; else what texts there are would tell how frequent topics are.

    The title counts as much as three sentences. Mean log probabilities are a document's; they are sharpened by half,
    since sentences of one document are no independent witnesses.
    """
    rows = []
    taken = [0] * len(topics)
    for sentences, logs in documents:
        weights = np.where(np.arange(len(sentences)) == 0, 3.0, 1.0)
        mean = 1.5 * (logs * weights[:, None]).sum(0) / weights.sum()
        taken[int(mean.argmax())] += 1
        if most is not None and taken[int(mean.argmax())] > most:
            continue
        belief = np.exp(mean - mean.max())
        belief *= trust / belief.sum()
        goal = {topic: round(float(p), 4) for topic, p in zip(topics, belief, strict=True) if p > 0.01}
        rows += [TopicRow(sentence, goal) for sentence in sentences]
    return rows


def save_topic_rows(path: Path, rows: Iterable[TopicRow]) -> None:
    """Write rows as JSON lines, all or nothing."""
    partial = path.with_name(path.name + ".partial")
    lines = (json.dumps({"text": row.text, "goal": dict(row.goal)}, ensure_ascii=False) for row in rows)
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.replace(partial, path)


def load_topic_rows(path: str) -> list[TopicRow]:
    """Read back what `save_topic_rows` wrote.

    Raises:
      ValueError: on a line that is no such row, with its path and line.
    """
    rows = []
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                rows.append(TopicRow(row["text"], {str(k): float(v) for k, v in row["goal"].items()}))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: a row must be text and goal, got {line[:80]!r}.") from error
    return rows


class SoftTopicObjective:
    """The topic, with a distribution for a label.

    Args:
      name: what the recipe calls it.
      rows: texts with their goals.
      topics: the model's.
    """

    def __init__(self, name: str, rows: Sequence[TopicRow], topics: Sequence[str]) -> None:
        self.name = name
        self.texts = [row.text for row in rows]
        goals = np.array([[row.goal.get(topic, 0.0) for topic in topics] for row in rows], dtype=np.float32)
        self.goals = goals + (1 - goals.sum(1, keepdims=True)) / len(topics)

    def known(self) -> bytes:
        """See Objective: the goals."""
        return self.goals.tobytes()

    def outputs(
        self,
        model: MultiTaskModel,
        states: States,
        encoded: EncodedTexts,  # noqa: ARG002 - the same call for every objective
        inputs: PaddedInputs,  # noqa: ARG002
        index: Ints,
    ) -> dict[str, Output]:
        """See Objective: tc."""
        logits = model.topic(states.hidden, states.mask).float()
        goal = to_tensor(self.goals[index], logits.device)
        return {"tc": SoftOutput(logits, goal.argmax(1), goal.new_ones(len(index)), goal=goal)}
