"""Candidate pairs and relations."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from klue_beam.schemas.labels import ENTITY_TYPES, UNRELATED_OBJECT_TYPES
from klue_beam.transforms.tasks.entity.spans import Entities
from klue_beam.transforms.tasks.relation.pairs import decode_relations, list_candidate_pairs


@st.composite
def entities_of_texts(draw: st.DrawFn) -> Entities:
    counts = draw(st.lists(st.integers(0, 6), max_size=4))
    text = np.repeat(np.arange(len(counts)), counts)
    n = len(text)
    gaps = draw(st.lists(st.integers(1, 9), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, len(ENTITY_TYPES) - 1), min_size=n, max_size=n))
    begin = np.concatenate(
        [np.cumsum(part) for part in np.split(np.array(gaps, np.int64), np.cumsum(counts)[:-1])] or [[]]
    )
    begin = begin.astype(np.int64)
    return Entities(ENTITY_TYPES, text, begin, begin + 1, np.array(labels, np.int64), np.ones(n, np.float32))


@given(entities_of_texts(), st.integers(1, 12))
def test_candidates_are_the_nearest_pairs_of_a_possible_subject(entities: Entities, max_pairs: int) -> None:
    """Each person or organization with the entities that it can relate to, the nearest where there are too many."""
    pairs = list_candidate_pairs(entities, entities.text, max_pairs)
    expected, cut = [], []
    for text in sorted(set(entities.text.tolist())):
        here = np.flatnonzero(entities.text == text).tolist()
        possible = [
            (abs(int(entities.begin[s] - entities.begin[o])), s, o)
            for s in here
            for o in here
            if s != o
            and ENTITY_TYPES[entities.label[o]]
            not in UNRELATED_OBJECT_TYPES.get(ENTITY_TYPES[entities.label[s]], ENTITY_TYPES)
        ]
        cut += [text] if len(possible) > max_pairs else []
        expected += sorted((s, o) for _, s, o in sorted(possible)[:max_pairs])
    assert list(zip(pairs.subject.tolist(), pairs.object.tolist(), strict=True)) == expected
    assert pairs.cut.tolist() == cut


def test_no_relation_is_left_out_and_the_rest_sorted() -> None:
    """Relations come by text, subject and object; every scored pair stays with its probabilities."""
    rows = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], np.float32)
    text, subject, object_ = np.array([1, 0, 0]), np.array([0, 0, 1]), np.array([1, 1, 0])
    relations = decode_relations(rows, text, subject, object_, ("no_relation", "per:title"))
    assert relations.to_arrow([""] * 3, np.zeros(3, bool)).to_pylist() == [
        [{"label": "per:title", "subject": 1, "object": 0, "score": np.float32(0.7)}],
        [{"label": "per:title", "subject": 0, "object": 1, "score": np.float32(0.9)}],
        [],
    ]
    np.testing.assert_array_equal(relations.scored.probabilities, rows)


def test_labels_without_no_relation_keep_every_pair() -> None:
    """A checkpoint whose label set lacks no_relation says something of every pair."""
    rows = np.array([[0.6, 0.4]], np.float32)
    one = np.zeros(1, np.int64)
    relations = decode_relations(rows, one, one, one + 1, ("a", "b"))
    assert relations.to_arrow([""], np.array([False])).to_pylist()[0][0]["label"] == "a"
    assert relations.to_arrow([""], np.array([True])).to_pylist() == [None]
