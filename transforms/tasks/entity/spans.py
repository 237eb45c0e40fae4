"""NER: named entities as disjoint character spans."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from klue_beam.schemas.annotation import ENTITY
from klue_beam.transforms.base.codepoints import Bools, CodePoints, Ints, ranges
from klue_beam.transforms.tasks.columns import Probabilities, take_labels, to_list_array
from klue_beam.transforms.tasks.entity.tagging import Scores, find_best_tags


@dataclasses.dataclass(frozen=True, slots=True)
class Entities:
    """The entities of several texts, sorted by text and begin, disjoint within a text.

    Attributes:
      labels: the label set.
      text: which text each entity is of. Shape: (n_entities,).
      begin, end: half-open code points in the text. Shape: (n_entities,).
      label: index in `labels`. Shape: (n_entities,).
      score: Shape: (n_entities,).
    """

    labels: Sequence[str]
    text: Ints
    begin: Ints
    end: Ints
    label: Ints
    score: Probabilities

    def __len__(self) -> int:
        return len(self.text)

    def take(self, index: npt.NDArray[np.int64] | Bools) -> "Entities":
        """Give the entities of these numbers, or where the mask is true, in this order."""
        return Entities(
            self.labels, self.text[index], self.begin[index], self.end[index], self.label[index], self.score[index]
        )

    def offsets(self, n_texts: int) -> Ints:
        """Tell where each text's entities begin. Shape: (n_texts + 1,)."""
        return np.searchsorted(self.text, np.arange(n_texts + 1))

    def without(self, failed: Bools) -> "Entities":
        """Leave out the entities of the texts where `failed`. Shape: (n_texts,)."""
        return self.take(~failed[self.text])

    def to_arrow(self, texts: Sequence[str], absent: Bools) -> pa.Array:
        """Lay out as an `entities` column; null where `absent`. Shape: (n_texts,)."""
        spans = zip(self.text.tolist(), self.begin.tolist(), self.end.tolist(), strict=True)
        struct = pa.StructArray.from_arrays(
            [
                take_labels(self.labels, self.label),
                pa.array(self.begin, type=pa.int32()),
                pa.array(self.end, type=pa.int32()),
                pa.array([texts[text][begin:end] for text, begin, end in spans], type=pa.string()),
                pa.array(self.score, type=pa.float32()),
            ],
            fields=list(ENTITY),
        )
        return to_list_array(self.offsets(len(texts)), struct, absent)


def no_entities(labels: Sequence[str]) -> Entities:
    """Give an empty set of entities."""
    none = np.zeros(0, dtype=np.int64)
    return Entities(labels, none, none, none, none, np.zeros(0, dtype=np.float32))


def decode_entities(
    probabilities: Probabilities, group: Ints, char: Ints, labels: Sequence[str], transitions: Scores | None = None
) -> Entities:
    """Group the BIO tags of characters into spans.

    White space is never tagged; a span reaches over it where the next character goes on with the entity. A tag I that
    follows nothing of its type begins an entity. The label of a span is the type with the highest mean probability of
    its characters, which is the score.

    Args:
      probabilities: of O, B- and I- of each type in order. Shape: (n_chars, 1 + 2 * n_types).
      group: the sequence (text or window) that each character is of, ascending. Shape: (n_chars,).
      char: position of the character, ascending within a group. Shape: (n_chars,).
      labels: the types.
      transitions: as `find_best_tags` takes them; without, each character has its most probable tag.

    Returns:
      The spans; `text` is the group, `begin` and `end` are in the numbers of `char`.

    Reference: Ramshaw and Marcus, 1995, https://aclanthology.org/W95-0107 (BIO).
    """
    if not len(group):
        return no_entities(labels)
    tag = probabilities.argmax(1) if transitions is None else find_best_tags(probabilities, group, transitions)
    inside = tag > 0
    kind = (tag - 1) // 2
    is_begin = inside & (tag % 2 == 1)
    new_group = np.concatenate(([True], group[1:] != group[:-1]))
    goes_on = np.concatenate(([False], inside[:-1] & (kind[1:] == kind[:-1]))) & ~new_group
    first = np.flatnonzero(is_begin | (inside & ~goes_on))
    if not len(first):
        return no_entities(labels)
    # A span ends before the next outside character, the next begin or the next group.
    stops = np.flatnonzero(np.concatenate((~inside | is_begin | new_group | (inside & ~goes_on), [True])))
    last = stops[np.searchsorted(stops, first, side="right")] - 1
    by_type = probabilities[:, 1:].reshape(len(tag), len(labels), 2).sum(-1)
    span, index = ranges(first, last + 1)
    summed = np.zeros((len(first), len(labels)), dtype=np.float64)
    np.add.at(summed, span, by_type[index])
    mean = summed / (last + 1 - first)[:, None]
    return Entities(labels, group[first], char[first], char[last] + 1, mean.argmax(1), mean.max(1).astype(np.float32))


def merge_entities(first: Entities, second: Entities, labels: Sequence[str]) -> Entities:
    """Join two sets of entities of the same texts; of two that overlap, the one of `first` stays.

    Args:
      first, second: sorted and disjoint each; their label sets are in `labels`.
      labels: the label set of the result.
    """
    parts = []
    for entities, keep in ((first, None), (second, ~_overlaps(second, first))):
        kept = entities if keep is None else entities.take(keep)
        mapping = np.array([labels.index(label) for label in kept.labels], dtype=np.int64)
        parts.append((kept.text, kept.begin, kept.end, mapping[kept.label], kept.score))
    text, begin, end, label, score = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    joined = Entities(labels, text, begin, end, label, score)
    return joined.take(np.lexsort((begin, text)))


def _overlaps(these: Entities, others: Entities) -> Bools:
    """Tell which of `these` share a character with one of `others`. Shape: (len(these),)."""
    if not len(others) or not len(these):
        return np.zeros(len(these), dtype=bool)
    # Texts laid end to end, so that spans of different texts never meet.
    width = int(max(these.end.max(), others.end.max())) + 1
    other_begin, other_end = others.text * width + others.begin, others.text * width + others.end
    begin, end = these.text * width + these.begin, these.text * width + these.end
    before = np.searchsorted(other_end, begin, side="right")
    return (before < len(others)) & (np.append(other_begin, np.iinfo(np.int64).max)[before] < end)


def drop_unsure(entities: Entities, chars: CodePoints, min_score: float, min_inside_score: float) -> Entities:
    """Leave out the entities that a model is less sure of than it must be.

    A name that begins inside a word, right behind a letter or digit that is of no entity, is mostly a piece of a longer
    one: of KLUE-NER's gold entities 1.3 % begin so. Such a one must be surer than others.

    Args:
      entities: with spans in the flat array of code points.
      chars: the texts' code points.
      min_score: what an entity's score must reach.
      min_inside_score: what it must reach where the entity begins inside a word.
    """
    before = np.maximum(entities.begin - 1, 0)
    is_letter = np.array([chr(code).isalnum() for code in chars.codes[before]], dtype=bool)
    first = np.isin(entities.begin, chars.offsets)
    inside = is_letter & ~first & ~np.isin(entities.begin, entities.end)
    return entities.take(entities.score >= np.where(inside, max(min_score, min_inside_score), min_score))


def drop_overlaps(entities: Entities) -> Bools:
    """Tell which entities to keep so that none overlaps one before it in the same text. Shape: (n_entities,)."""
    keep = np.ones(len(entities), dtype=bool)
    clash = np.flatnonzero((entities.text[1:] == entities.text[:-1]) & (entities.begin[1:] < entities.end[:-1]))
    if len(clash):  # rare: windows disagreed; one pass over the entities settles chains of overlaps
        reached, text = -1, -1
        for i in range(len(entities)):
            if entities.text[i] != text:
                text, reached = int(entities.text[i]), -1
            keep[i] = entities.begin[i] >= reached
            reached = int(entities.end[i]) if keep[i] else reached
    return keep


def score_odds(scores: Probabilities) -> Probabilities:
    """Lay scores out as the logits of two classes, wrong and right. Shapes: (n,) to (n, 2).

    >>> score_odds(np.array([0.5, 1.0], np.float32)).round(1).tolist()
    [[0.0, 0.0], [0.0, 13.8]]
    """
    certain = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.stack((np.zeros_like(certain), np.log(certain / (1 - certain))), 1)
