"""RE: relations between entities of one sentence."""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from klue_beam.schemas.annotation import RELATION
from klue_beam.schemas.labels import ENTITY_TYPES, NO_RELATION, UNRELATED_OBJECT_TYPES
from klue_beam.transforms.base.codepoints import Bools, Ints, ranges
from klue_beam.transforms.tasks.columns import Probabilities, take_labels, to_list_array
from klue_beam.transforms.tasks.entity.spans import Entities

_MARKER_TYPES: Final = {"QT": "NOH", "TI": "NOH"}
"""KLUE-RE knows no QT and TI: its numerals are NOH."""


def marker_type(label: str) -> str:
    """Give the type, among those that KLUE-RE has, by which a relation model is told of an entity.

    Args:
      label: of an entity; one that is none of ENTITY_TYPES (of a checkpoint with a label set of its own) is read as
        another proper noun.

    >>> marker_type("PS"), marker_type("QT"), marker_type("EVT")
    ('PS', 'NOH', 'POH')
    """
    return _MARKER_TYPES.get(label, label if label in ENTITY_TYPES else "POH")


@dataclasses.dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Every pair that was scored, as the model was asked.

    Attributes:
      text: which text each pair is of. Shape: (n_pairs,).
      subject, object: indexes into the text's entities. Shape: (n_pairs,).
      probabilities: of the label set, no_relation among it. Shape: (n_pairs, n_relations).
    """

    text: Ints
    subject: Ints
    object: Ints
    probabilities: Probabilities


@dataclasses.dataclass(frozen=True, slots=True)
class Relations:
    """The relations of several texts, no_relation left out, sorted by text, subject and object.

    Attributes:
      labels: the label set.
      text: which text each relation is of. Shape: (n_relations,).
      subject, object: indexes into the text's entities. Shape: (n_relations,).
      label: index in `labels`. Shape: (n_relations,).
      score: Shape: (n_relations,).
      scored: what they were chosen from.
    """

    labels: Sequence[str]
    text: Ints
    subject: Ints
    object: Ints
    label: Ints
    score: Probabilities
    scored: ScoredPairs

    def without(self, failed: Bools) -> "Relations":
        """Leave out the relations of the texts where `failed`. Shape: (n_texts,)."""
        keep, scored = ~failed[self.text], ~failed[self.scored.text]
        pairs = self.scored
        return Relations(
            self.labels,
            self.text[keep],
            self.subject[keep],
            self.object[keep],
            self.label[keep],
            self.score[keep],
            ScoredPairs(pairs.text[scored], pairs.subject[scored], pairs.object[scored], pairs.probabilities[scored]),
        )

    def to_arrow(self, texts: Sequence[str], absent: Bools) -> pa.Array:
        """Lay out as a `relations` column; null where `absent`. Shape: (n_texts,)."""
        struct = pa.StructArray.from_arrays(
            [
                take_labels(self.labels, self.label),
                pa.array(self.subject, type=pa.int32()),
                pa.array(self.object, type=pa.int32()),
                pa.array(self.score, type=pa.float32()),
            ],
            fields=list(RELATION),
        )
        return to_list_array(np.searchsorted(self.text, np.arange(len(texts) + 1)), struct, absent)


@dataclasses.dataclass(frozen=True, slots=True)
class CandidatePairs:
    """Ordered pairs of entities whose relation is asked for.

    Attributes:
      subject, object: numbers of entities in the flat list. Shape: (n_pairs,).
      cut: groups that had more pairs than the bound. Shape: (n_cut,).
    """

    subject: Ints
    object: Ints
    cut: Ints


def list_candidate_pairs(entities: Entities, group: Ints, max_pairs: int) -> CandidatePairs:
    """Pair each person or organization with every other entity of its group that one of KLUE's relations can have.

    Args:
      entities: the entities.
      group: what pairs must have in common: the text, or the window. Ascending. Shape: (n_entities,).
      max_pairs: of a group that has more, the pairs nearest to each other are kept.
    """
    n = len(entities)
    starts = np.searchsorted(group, group, side="left")
    ends = np.searchsorted(group, group, side="right")
    relatable = np.array(
        [
            [
                label in UNRELATED_OBJECT_TYPES and other not in UNRELATED_OBJECT_TYPES[label]
                for other in entities.labels
            ]
            for label in entities.labels
        ],
        dtype=bool,
    ).reshape(len(entities.labels), len(entities.labels))
    is_subject = np.logical_or.reduce(relatable, axis=1)
    subjects = np.flatnonzero(is_subject[entities.label])
    which, objects = ranges(starts[subjects], ends[subjects])
    pair_subject = subjects[which]
    kept = (pair_subject != objects) & relatable[entities.label[pair_subject], entities.label[objects]]
    pair_subject, objects = pair_subject[kept], objects[kept]
    counts = np.bincount(group[pair_subject]) if n else np.zeros(0, dtype=np.int64)
    cut = np.flatnonzero(counts > max_pairs)
    if len(cut):
        apart = np.abs(entities.begin[pair_subject] - entities.begin[objects])
        order = np.lexsort((objects, pair_subject, apart, group[pair_subject]))
        first = np.cumsum(counts) - counts
        rank = np.arange(len(order)) - first[group[pair_subject][order]]
        kept = np.sort(order[rank < max_pairs])
        pair_subject, objects = pair_subject[kept], objects[kept]
    return CandidatePairs(pair_subject, objects, cut)


def decode_relations(
    probabilities: Probabilities, text: Ints, subject: Ints, object_: Ints, labels: Sequence[str]
) -> Relations:
    """Choose the relation of each pair and leave out no_relation.

    Args:
      probabilities: Shape: (n_pairs, n_relations).
      text: Shape: (n_pairs,).
      subject, object_: indexes into the text's entities. Shape: (n_pairs,).
      labels: the label set; a checkpoint's own label set may lack no_relation.
    """
    label = probabilities.argmax(1) if len(probabilities) else np.zeros(0, dtype=np.int64)
    score = probabilities.max(1, initial=0.0).astype(np.float32)
    keep = np.flatnonzero(label != labels.index(NO_RELATION)) if NO_RELATION in labels else np.arange(len(label))
    keep = keep[np.lexsort((object_[keep], subject[keep], text[keep]))]
    scored = ScoredPairs(text, subject, object_, probabilities)
    return Relations(labels, text[keep], subject[keep], object_[keep], label[keep], score[keep], scored)
