"""Asking an engine for the relation between the two given mentions of KLUE-RE's rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from klue_beam.schemas.labels import ENTITY_TYPES, RELATIONS
from klue_beam.transforms.tasks.entity.spans import Entities
from klue_beam.transforms.tasks.metrics import Doubles
from klue_beam.transforms.tasks.relation.gold import RelationExample


def score_gold_pairs(engine: Any, examples: Sequence[RelationExample]) -> Doubles:
    """Score the gold pair of each example, its entities given.

    Returns:
      Probabilities of RELATIONS, NaN for a pair that the model did not score (the two are further apart than it sees);
      a relation of the model's that is none of RELATIONS counts for none. Shape: (n_examples, n_relations).
    """
    mentions = [sorted([(example.subject, 0), (example.object, 1)]) for example in examples]
    flat = [mention for here in mentions for mention, _ in here]
    entities = Entities(
        ENTITY_TYPES,
        np.repeat(np.arange(len(examples)), 2),
        np.array([mention.begin for mention in flat], np.int64),
        np.array([mention.end for mention in flat], np.int64),
        np.array([ENTITY_TYPES.index(mention.type) for mention in flat], np.int64),
        np.ones(len(flat), np.float32),
    )
    found = engine.annotate([example.text for example in examples], {"ner": entities}).found["re"]
    probabilities = np.full((len(examples), len(RELATIONS)), np.nan)
    columns = [(i, RELATIONS.index(label)) for i, label in enumerate(found.labels) if label in RELATIONS]
    theirs, ours = (np.array(side, dtype=np.int64) for side in zip(*columns, strict=True))
    pairs = found.scored
    is_gold = np.array([mentions[t][s][1] == 0 for t, s in zip(pairs.text, pairs.subject, strict=True)], dtype=bool)
    scored = pairs.text[is_gold]
    probabilities[scored] = 0.0
    probabilities[scored[:, None], ours] = pairs.probabilities[is_gold][:, theirs]
    return probabilities
