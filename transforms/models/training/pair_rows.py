"""Sentences with many pairs of mentions, and how sure each relation is: what running text asks, not chosen pairs.

KLUE-RE marks one pair of a sentence, and 71 % of its pairs are related. In running text every person and organization
meets every other mention, and a few pairs in a hundred are related. Here are the pairs that KLUE-RE does not mark:

- the marked pair the other way round, where its relation says what that one is;
- pairs of other mentions of the sentence, found by a model: most are unrelated, but nobody looked, so that a part of
  the model's own belief stays (positive and unlabelled data);
- pairs that cannot be related: one name twice, a mention that is cut or is none.

References: Elkan and Noto, 2008, "Learning classifiers from only positive and unlabeled data"; Kiryo et al., 2017,
https://arxiv.org/abs/1703.00593
"""

import dataclasses
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional

from schemas.labels import ENTITY_TYPES, NO_RELATION, UNRELATED_OBJECT_TYPES
from transforms.codepoints import Ints
from transforms.formats.klue import Mention, RelationExample
from transforms.models.multitask import MultiTaskModel, to_tensor
from transforms.models.pieces import EncodedTexts, PaddedInputs
from transforms.models.relating import flatten_states, join_states, locate_pairs
from transforms.models.training.objectives import Output, States, device_of, whole_units

INVERSE: Final = {
    NO_RELATION: NO_RELATION,
    "org:alternate_names": "org:alternate_names",
    "org:member_of": "org:members",
    "org:members": "org:member_of",
    "org:top_members/employees": "per:employee_of",
    "per:employee_of": "org:top_members/employees",
    "per:alternate_names": "per:alternate_names",
    "per:parents": "per:children",
    "per:children": "per:parents",
    "per:siblings": "per:siblings",
    "per:spouse": "per:spouse",
    "per:other_family": "per:other_family",
    "per:colleagues": "per:colleagues",
}
"""What a pair is the other way round; of the other relations nothing is known, or the object is no subject."""

SUBJECTS: Final = tuple(UNRELATED_OBJECT_TYPES)
BELIEFS: Final = {
    "org:alternate_names": 0.37,
    "org:member_of": 0.18,
    "org:members": 0.12,
    "org:place_of_headquarters": 0.32,
    "org:product": 0.08,
    "org:top_members/employees": 0.24,
    "per:alternate_names": 0.09,
    "per:children": 0.17,
    "per:colleagues": 0.62,
    "per:employee_of": 0.07,
    "per:parents": 0.76,
    "per:siblings": 0.57,
    "per:spouse": 0.26,
    "per:title": 0.38,
}
"""How much of a model's belief in a relation between mentions of running text stays. Fitted on 161 relations of `small`
of v0.1.0 that a person read (`benchmarks.reading`, seeds 18 and 19): 18 % were right, of those of a label the share
here times their mean score, drawn towards the mean of all as if four more had been read."""

OTHER_BELIEF: Final = 0.25
"""The same for the other labels, of which hardly one was read."""

MARKED_BELIEF: Final = 0.2
"""So much more stays in a sentence of KLUE-RE, which was chosen for the relations that it tells of."""

UNMARKED_WEIGHT: Final = 0.5
"""How much an unmarked pair counts; a marked one counts 1."""


class Pair(NamedTuple):
    """Two mentions and how likely each relation between them is.

    Attributes:
      subject, object: the mentions.
      goal: probabilities by relation; what is missing to 1 is no_relation.
      weight: how much the pair counts in the loss.
    """

    subject: Mention
    object: Mention
    goal: Mapping[str, float]
    weight: float


@dataclasses.dataclass(frozen=True, slots=True)
class PairRow:
    """A sentence and some of its pairs."""

    text: str
    pairs: tuple[Pair, ...]


class Guess(NamedTuple):
    """A relation that a model sees between two of its mentions (numbers in the list of mentions)."""

    subject: int
    object: int
    label: str
    score: float


@dataclasses.dataclass(frozen=True, slots=True)
class Guessed:
    """What a model finds in a text.

    Attributes:
      mentions: its entities.
      relations: between them; a pair that is in none is unrelated by the model.
    """

    mentions: tuple[Mention, ...]
    relations: tuple[Guess, ...]


def can_be_related(subject: Mention, object_: Mention) -> bool:
    """Tell whether KLUE has a relation between two mentions of such types.

    >>> can_be_related(Mention(0, 3, "PS"), Mention(4, 6, "TI"))
    False
    """
    return subject.type in UNRELATED_OBJECT_TYPES and object_.type not in UNRELATED_OBJECT_TYPES[subject.type]


def make_pair_rows(
    examples: Sequence[RelationExample],
    guessed: Mapping[str, Guessed],
    seed: int,
    *,
    max_pairs: int = 8,
    impossible_share: float = 0.3,
) -> list[PairRow]:
    """Make rows of texts, some of which have marked pairs.

    Args:
      examples: KLUE-RE's rows.
      guessed: what a model finds in their texts, and in others, by text.
      seed: of what is drawn.
      max_pairs: of a row, beside the marked ones.
      impossible_share: pairs that cannot be related, as a share of the unmarked ones.
    """
    random = np.random.default_rng(seed)
    marked: dict[str, list[RelationExample]] = defaultdict(list)
    for example in examples:
        marked[example.text].append(example)
    rows = []
    for text in dict.fromkeys([*marked, *guessed]):
        own = marked.get(text, [])
        found = guessed.get(text, Guessed((), ()))
        pairs = [pair for example in own for pair in _known_pairs(example)]
        unmarked = _unmarked_pairs(text, own, found)
        n_kept = min(max_pairs, len(unmarked))
        pairs += [unmarked[i] for i in random.permutation(len(unmarked))[:n_kept]]
        mentions = [*found.mentions, *(m for example in own for m in (example.subject, example.object))]
        n_impossible = int(random.binomial(max(1, n_kept), impossible_share))
        pairs += [pair for _ in range(n_impossible) if (pair := _impossible_pair(text, mentions, random)) is not None]
        if pairs:
            rows.append(PairRow(text, tuple(pairs)))
    return rows


def _known_pairs(example: RelationExample) -> list[Pair]:
    """Give the marked pair, and the other way round where that is known."""
    pairs = [Pair(example.subject, example.object, {example.label: 1.0}, 1.0)]
    inverse = INVERSE.get(example.label)
    if inverse is not None and can_be_related(example.object, example.subject):
        prefix = "per:" if example.object.type == "PS" else "org:"
        if inverse == NO_RELATION or inverse.startswith(prefix):
            pairs.append(Pair(example.object, example.subject, {inverse: 1.0}, 1.0))
    return pairs


def _unmarked_pairs(text: str, own: Sequence[RelationExample], found: Guessed) -> list[Pair]:
    """Pair the mentions that a model found; what overlaps with a marked pair is left out."""
    marked = [mention for example in own for mention in (example.subject, example.object)]
    believed = {(guess.subject, guess.object): guess for guess in found.relations}
    pairs = []
    for i, subject in enumerate(found.mentions):
        for j, other in enumerate(found.mentions):
            if i == j or not can_be_related(subject, other):
                continue
            if any(_overlap(subject, one) for one in marked) and any(_overlap(other, one) for one in marked):
                continue
            goal = {}
            guess = believed.get((i, j))
            if guess is not None and _name(text, subject) != _name(text, other):
                belief = BELIEFS.get(guess.label, OTHER_BELIEF) + (MARKED_BELIEF if own else 0)
                goal = {guess.label: round(belief * guess.score, 4)}
            pairs.append(Pair(subject, other, goal, UNMARKED_WEIGHT))
    return pairs


def _impossible_pair(text: str, mentions: Sequence[Mention], random: np.random.Generator) -> Pair | None:
    """Give a pair of which one mention is cut, or is none, or is the other one's name again."""
    subjects = [mention for mention in mentions if mention.type in SUBJECTS]
    if not subjects:
        return None
    subject = subjects[int(random.integers(len(subjects)))]
    again = text.find(_name(text, subject), subject.end)
    if again >= 0 and random.random() < 0.5:
        return Pair(subject, Mention(again, again + subject.end - subject.begin, subject.type), {}, 1.0)
    wrong = _wrong_mention(text, mentions, random)
    if wrong is None or _overlap(wrong, subject):
        return None
    as_subject = random.random() < 0.5 and wrong.type in SUBJECTS and can_be_related(wrong, subject)
    pair = (wrong, subject) if as_subject else (subject, wrong)
    return Pair(*pair, {}, 1.0) if can_be_related(*pair) else None


def _wrong_mention(text: str, mentions: Sequence[Mention], random: np.random.Generator) -> Mention | None:
    """Give a part of a mention, or one to three syllables of a word without one."""
    if mentions and random.random() < 0.4:
        whole = mentions[int(random.integers(len(mentions)))]
        length = whole.end - whole.begin
        if length < 3 or " " in _name(text, whole):
            return None
        kept = int(random.integers(1, length - 1))
        begin = whole.begin if random.random() < 0.4 else whole.end - kept
        return Mention(begin, begin + kept, whole.type)
    covered = np.zeros(len(text) + 1, dtype=np.bool_)
    for mention in mentions:
        covered[mention.begin : mention.end] = True
    free = [
        i
        for i, char in enumerate(text)
        if "가" <= char <= "힣" and not covered[i] and (random.random() < 0.2 or i == 0 or text[i - 1] == " ")
    ]
    if not free:
        return None
    begin = free[int(random.integers(len(free)))]
    end = begin + 1
    while end < len(text) and end - begin < int(random.integers(1, 5)) and text[end] != " " and not covered[end]:
        end += 1
    return Mention(begin, end, ("PS", "PS", "OG", "LC", "POH")[int(random.integers(5))])


def _overlap(one: Mention, other: Mention) -> bool:
    return one.begin < other.end and other.begin < one.end


def _name(text: str, mention: Mention) -> str:
    return text[mention.begin : mention.end]


def save_pair_rows(path: Path, rows: Iterable[PairRow]) -> None:
    """Write rows as JSON lines, all or nothing."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        for row in rows:
            pairs = [[*pair.subject, *pair.object, dict(pair.goal), pair.weight] for pair in row.pairs]
            file.write(json.dumps({"text": row.text, "pairs": pairs}, ensure_ascii=False) + "\n")
    os.replace(partial, path)


def load_pair_rows(path: str) -> list[PairRow]:
    """Read back what `save_pair_rows` wrote.

    Raises:
      ValueError: on a line that is no such row, with its path and line.
    """
    rows = []
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                pairs = [Pair(Mention(*p[0:3]), Mention(*p[3:6]), p[6], float(p[7])) for p in row["pairs"]]
                rows.append(PairRow(row["text"], tuple(pairs)))
            except (IndexError, KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: a row must be text and pairs, got {line[:80]!r}.") from error
    return rows


def shorten_row(row: PairRow, n_chars: int, max_length: int) -> PairRow:
    """Leave out what stands further than so many code points from all pairs, of a row that is longer than `max_length`.

    >>> pair = Pair(Mention(11, 14, "PS"), Mention(6, 8, "LC"), {}, 1.0)
    >>> shorten_row(PairRow("어제 오전 서울에서 김하늘 씨가 말했다", (pair,)), 2, 10).text
    '오전 서울에서 김하늘 씨가'
    """
    if len(row.text) <= max_length:
        return row
    bounds = [b for pair in row.pairs for mention in (pair.subject, pair.object) for b in (mention.begin, mention.end)]
    begin = row.text.rfind(" ", 0, max(0, min(bounds) - n_chars)) + 1
    after = row.text.find(" ", min(len(row.text), max(bounds) + n_chars))
    end = len(row.text) if after < 0 else after

    def move(mention: Mention) -> Mention:
        return Mention(mention.begin - begin, mention.end - begin, mention.type)

    pairs = tuple(pair._replace(subject=move(pair.subject), object=move(pair.object)) for pair in row.pairs)
    return PairRow(row.text[begin:end], pairs)


@dataclasses.dataclass(frozen=True, slots=True)
class SoftOutput(Output):
    """An output whose items have a distribution over the classes for a label.

    Attributes:
      goal: Shape: (n_items, n_classes).
    """

    goal: Tensor | None = None

    def loss(self) -> Tensor:
        """Give the weighted mean cross entropy."""
        if self.goal is None or self.item_weights is None:
            raise AssertionError("a soft output has a goal and weights")
        each = -(self.goal * functional.log_softmax(self.logits, -1)).sum(-1)
        return self.weight * (each * self.item_weights).sum() / self.item_weights.sum().clamp(min=1e-6)


class PairObjective:
    """The relations of several pairs of a text, each with a distribution for a label.

    Args:
      name: what the recipe calls it.
      rows: texts with pairs, each one at least.
      relations: the model's.
      smoothing: of the goals.
    """

    def __init__(self, name: str, rows: Sequence[PairRow], relations: Sequence[str], smoothing: float = 0.05) -> None:
        self.name = name
        self.rows = rows
        self.texts = [row.text for row in rows]
        self.relations = tuple(relations)
        self.smoothing = smoothing

    def known(self) -> bytes:
        """See Objective: the pairs and their goals."""
        return repr([(row.pairs, self.smoothing) for row in self.rows]).encode()

    def outputs(
        self, model: MultiTaskModel, states: States, encoded: EncodedTexts, inputs: PaddedInputs, index: Ints
    ) -> dict[str, Output]:
        """See Objective: re."""
        device = device_of(model)
        batch = [self.rows[i] for i in index]
        rows = np.repeat(np.arange(len(batch)), [len(row.pairs) for row in batch])
        pairs = [pair for row in batch for pair in row.pairs]
        tokens = flatten_states(states.lower, states.mask)
        flat = join_states([(np.arange(len(batch)), inputs.mask.sum(1), tokens)], len(batch), tokens)
        sides = [(pair.subject, pair.object) for pair in pairs]
        bounds = np.array([[bound for m in two for bound in (m.begin, m.end - 1)] for two in sides])
        types = np.array([[ENTITY_TYPES.index(m.type) for m in two] for two in sides])
        chars = encoded.chars.offsets[rows, None] + bounds
        where = locate_pairs(encoded, whole_units(encoded), inputs.n_prefix, flat, rows, chars, types)
        logits = model.relation(flat.states, to_tensor(where, device)).float()
        goal = to_tensor(self._goals(pairs), device)
        weights = to_tensor(np.array([pair.weight for pair in pairs], dtype=np.float32), device)
        return {"re": SoftOutput(logits, goal.argmax(1), weights, goal=goal)}

    def _goals(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        goals = np.zeros((len(pairs), len(self.relations)), dtype=np.float32)
        for goal, pair in zip(goals, pairs, strict=True):
            for label, probability in pair.goal.items():
                goal[self.relations.index(label)] += probability
            goal[self.relations.index(NO_RELATION)] += 1 - sum(pair.goal.values())
        return (1 - self.smoothing) * goals + self.smoothing / len(self.relations)
