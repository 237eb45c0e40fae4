"""Names of works, products and events, and words for positions, tagged from the form table of KLUE-NER's corpus.

KLUE-RE marks two mentions of a sentence, so it tells where a POH is and hardly where none is. The table lists what
people marked in 21,008 sentences, 150 kinds of it: what is in none of its forms is no name, and what it calls a
position, an occupation or a kinship is none either, but a mention of a kind of its own (TITLE_TYPE).
"""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from transforms.codepoints import Ints
from transforms.models.multitask import MultiTaskModel, to_tensor
from transforms.models.pieces import EncodedTexts, PaddedInputs, index_chars
from transforms.models.spec import bio_tags
from transforms.models.training.char_tagger import FormTable
from transforms.models.training.objectives import IGNORE, TITLE_TYPE, Output, States, device_of, tag_logits, whole_units

_TITLES: Final = ("CV_POSITION", "CV_OCCUPATION", "CV_RELATION")
_NAMES: Final = ("AFA_", "AFW_", "EV_", "CV_PRIZE", "TMI_SW", "TMI_SERVICE", "TMI_SITE", "TMI_MODEL", "TMI_PROJECT")
_PLAIN: Final = (
    "CV_ART", "CV_LAW", "CV_FOOD", "CV_CLOTHING", "CV_SPORTS", "CV_POLICY", "CV_DRINK", "CV_CURRENCY", "CV_TAX",
    "CV_LANGUAGE", "FD_", "TR_", "TM_", "TMM_", "AM_", "PT_", "MT_",
)  # fmt: skip
"""Kinds that are common nouns for the most part."""

_OPENING: Final = frozenset("'\"‘“<〈《「『[")
_PARTICLES: Final = frozenset(
    particle
    for line in (
        "은 는 이 가 을 를 의 에 와 과 도 로 으로 에서 에게 께서 만 까지 부터 보다 처럼 라는 이라는",
        "이다 입니다 님 님이 님의 님은 님께 들 들이 들은 들의 씨 인",
    )
    for particle in line.split()
)


@dataclasses.dataclass(frozen=True, slots=True)
class MentionRow:
    """A text with a mention tag for each character: one of `bio_tags`, or None where nothing is known."""

    text: str
    tags: tuple[str | None, ...]


def tag_mentions(texts: Sequence[str], table: FormTable) -> list[MentionRow]:
    """Tag what the table knows in texts that it was counted on, the longest form first.

    Args:
      texts: sentences of the table's corpus.
      table: forms with their labels and frequencies.
    """
    longest = max((len(form) for form in table), default=0)
    return [_tag(text, table, longest) for text in texts]


def _tag(text: str, table: FormTable, longest: int) -> MentionRow:
    tags: list[str | None] = ["O"] * len(text)
    begin = 0
    while begin < len(text):
        if begin and _is_word(text[begin - 1]) and _is_word(text[begin]):
            begin += 1
            continue
        ends = range(min(len(text), begin + longest), begin, -1)
        end = next((e for e in ends if text[begin:e] in table and _ends_word(text, e)), 0)
        if not end:
            begin += 1
            continue
        kind = _kind(text, begin, end, table[text[begin:end]])
        tags[begin:end] = (
            [None] * (end - begin)
            if kind is None
            else ["O"] * (end - begin)
            if kind == "O"
            else [f"B-{kind}", *[f"I-{kind}"] * (end - begin - 1)]
        )
        begin = end
    return MentionRow(text, tuple(tags))


def _kind(text: str, begin: int, end: int, labels: Collection[str]) -> str | None:
    """Give the type of a form in its place, O where it is a common noun, None where that is not known."""
    if all(label.startswith(_TITLES) for label in labels):
        return TITLE_TYPE if end - begin > 1 else None
    if all(label.startswith(_PLAIN) for label in labels):
        return "O"
    if any(label.startswith(_NAMES) for label in labels):
        is_quoted = begin > 0 and text[begin - 1] in _OPENING
        alone = all(label.startswith(_NAMES) for label in labels)
        if is_quoted or (alone and end - begin >= 4 and not text[begin:end].isdecimal()):
            return "POH"
    return None


def _is_word(char: str) -> bool:
    return char.isalnum()


def _ends_word(text: str, end: int) -> bool:
    rest = text[end:]
    if not rest or not _is_word(rest[0]):
        return True
    word = ""
    for char in rest:
        if not _is_word(char):
            break
        word += char
    return word in _PARTICLES


class MentionObjective:
    """The mention tag of each character; one of None is left out, and O counts less than a mention.

    Args:
      name: what the recipe calls it.
      rows: tagged texts.
      types: the model's mention types; a tag of another type is left out.
      outside_weight: how much a character without a mention counts.
    """

    def __init__(
        self, name: str, rows: Sequence[MentionRow], types: Sequence[str], outside_weight: float = 0.5
    ) -> None:
        self.name = name
        self.texts = [row.text for row in rows]
        ids = {tag: number for number, tag in enumerate(bio_tags(types))}
        self.tags = [np.array([IGNORE if tag is None else ids.get(tag, IGNORE) for tag in row.tags]) for row in rows]
        self.outside_weight = outside_weight

    def known(self) -> bytes:
        """See Objective: the tags."""
        return b"".join(tags.tobytes() for tags in self.tags) + str(self.outside_weight).encode()

    def outputs(
        self, model: MultiTaskModel, states: States, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints
    ) -> dict[str, Output]:
        """See Objective: mention, white space left out."""
        device = device_of(model)
        chars = index_chars(encoded, whole_units(encoded), inputs.n_prefix)
        labels = np.concatenate([self.tags[i] for i in index])[chars.char]
        weights: npt.NDArray[np.float32] = np.where(labels == 0, self.outside_weight, 1.0).astype(np.float32)
        logits = tag_logits(model.mention, states.hidden, chars)
        return {"mention": Output(logits, to_tensor(labels, device), to_tensor(weights, device), weight=0.5)}
