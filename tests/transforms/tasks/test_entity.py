"""Entities from tags: spans, merging, overlaps."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from klue_beam.transforms.base.codepoints import to_code_points
from klue_beam.transforms.tasks.entity.spans import (
    Entities,
    decode_entities,
    drop_overlaps,
    drop_unsure,
    merge_entities,
    no_entities,
)
from klue_beam.transforms.tasks.entity.tagging import bio_tags

TYPES = ("PS", "LC", "OG")
TAGS = bio_tags(TYPES)


def make_entities(spans: list[tuple[int, int, int]], labels: tuple[str, ...] = TYPES) -> Entities:
    """Make entities of the first label from (text, begin, end)."""
    text, begin, end = np.array(spans, dtype=np.int64).reshape(-1, 3).T
    return Entities(labels, text, begin, end, np.zeros(len(spans), np.int64), np.ones(len(spans), np.float32))


def spans_of(entities: Entities) -> list[tuple[int, int, int]]:
    return list(zip(entities.text.tolist(), entities.begin.tolist(), entities.end.tolist(), strict=True))


@st.composite
def tagged(draw: st.DrawFn) -> tuple[list[list[int]], np.ndarray]:
    """Sequences of tag numbers, and probabilities whose highest are those tags."""
    groups = draw(st.lists(st.lists(st.integers(0, len(TAGS) - 1), max_size=12), min_size=1, max_size=4))
    flat = [tag for group in groups for tag in group]
    seed = draw(st.integers(0, 2**32 - 1))
    rows = np.random.default_rng(seed).uniform(0, 1, (len(flat), len(TAGS))).astype(np.float32)
    rows[np.arange(len(flat)), flat] = 1.5
    return groups, rows / rows.sum(1, keepdims=True) if flat else rows


def decode_slowly(groups: list[list[int]], rows: np.ndarray) -> list[tuple[int, int, int, str, float]]:
    """What decode_entities documents, character by character."""
    found = []
    row = 0
    for number, group in enumerate(groups):
        first = None
        for place in range(len(group) + 1):
            tag = TAGS[group[place]] if place < len(group) else "O"
            before = TAGS[group[place - 1]] if place else "O"
            goes_on = tag[0] == "I" and before != "O" and before[2:] == tag[2:]
            if first is not None and not goes_on:
                by_type = rows[row + first : row + place, 1:].reshape(-1, len(TYPES), 2).sum(2).mean(0)
                found.append((number, first, place, TYPES[int(by_type.argmax())], float(by_type.max())))
                first = None
            if tag != "O" and not goes_on:
                first = place
        row += len(group)
    return found


@given(tagged())
def test_decoding_agrees_with_a_slow_reference(case: tuple[list[list[int]], np.ndarray]) -> None:
    """Spans, labels and scores are those of a loop over characters."""
    groups, rows = case
    group = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    char = np.array([i for g in groups for i in range(len(g))], dtype=np.int64)
    entities = decode_entities(rows, group, char, TYPES)
    expected = decode_slowly(groups, rows)
    assert spans_of(entities) == [case[:3] for case in expected]
    assert [TYPES[label] for label in entities.label] == [case[3] for case in expected]
    np.testing.assert_allclose(entities.score, [case[4] for case in expected], rtol=1e-5)


@given(tagged())
def test_spans_are_those_of_seqeval(case: tuple[list[list[int]], np.ndarray]) -> None:
    """seqeval's get_entities, which reads a stray I as a beginning too, finds the same spans."""
    groups, rows = case
    group = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    char = np.array([i for g in groups for i in range(len(g))], dtype=np.int64)
    entities = decode_entities(rows, group, char, TYPES)
    expected = [
        (number, begin, end + 1)
        for number, tags in enumerate(groups)
        for _, begin, end in get_entities([TAGS[tag] for tag in tags])
    ]
    assert spans_of(entities) == expected


def test_a_span_reaches_over_white_space() -> None:
    """Characters are numbered with the white space that has no tag; a span goes on over it."""
    rows = np.eye(len(TAGS), dtype=np.float32)[[1, 2, 2, 0]]
    entities = decode_entities(rows, np.zeros(4, np.int64), np.array([0, 1, 3, 4]), TYPES)
    assert spans_of(entities) == [(0, 0, 4)]


def disjoint_spans() -> st.SearchStrategy[list[tuple[int, int, int]]]:
    """Spans of up to three texts, sorted and disjoint."""

    def lay_out(steps: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        text = place = 0
        spans = []
        for next_text, gap, length in steps:
            text, place = (text + 1, 0) if next_text == 0 else (text, place)
            spans.append((text, place + gap, place + gap + length))
            place += gap + length
        return spans

    step = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 4))
    return st.lists(step, max_size=8).map(lay_out)


@given(disjoint_spans(), disjoint_spans())
def test_merging_keeps_the_first_and_what_it_leaves_free(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]
) -> None:
    """Of two that share a character the first stays; the result is sorted and labelled by the joint set."""
    merged = merge_entities(make_entities(first, ("PS",)), make_entities(second, ("POH",)), ("PS", "POH"))
    free = [s for s in second if not any(s[0] == f[0] and s[1] < f[2] and f[1] < s[2] for f in first)]
    expected = sorted([(*s, "PS") for s in first] + [(*s, "POH") for s in free])
    got = [(*span, merged.labels[label]) for span, label in zip(spans_of(merged), merged.label, strict=True)]
    assert got == expected


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(1, 6)), max_size=10))
def test_dropping_overlaps_keeps_each_that_begins_after_those_kept(spans: list[tuple[int, int, int]]) -> None:
    """Greedy by begin: one is kept if it begins at or after the end of the last kept one of its text."""
    spans = sorted((text, begin, begin + length) for text, begin, length in spans)
    keep = drop_overlaps(make_entities(spans))
    reached: dict[int, int] = {}
    for (text, begin, end), kept in zip(spans, keep.tolist(), strict=True):
        assert kept == (begin >= reached.get(text, 0))
        reached[text] = end if kept else reached.get(text, 0)


def test_a_text_that_failed_is_null() -> None:
    """In the column a failed text has null, one without entities an empty list."""
    texts = ["김하늘", "없다", "고장"]
    column = make_entities([(0, 0, 3)]).to_arrow(texts, np.array([False, False, True]))
    assert column.to_pylist() == [[{"label": "PS", "begin": 0, "end": 3, "text": "김하늘", "score": 1.0}], [], None]
    assert no_entities(TYPES).to_arrow([], np.zeros(0, bool)).to_pylist() == []


def test_an_entity_that_begins_inside_a_word_must_be_surer() -> None:
    """Behind a letter of no entity it needs the higher score; behind a space, a mark or an entity the lower one."""
    texts = ["연구원님이 왔다", "가나", "(나)다"]
    chars = to_code_points(texts)
    spans = [(0, 1, 3), (0, 6, 8), (1, 8, 9), (1, 9, 10), (2, 11, 12)]
    entities = dataclasses.replace(make_entities(spans), score=np.full(5, 0.7, np.float32))
    assert spans_of(drop_unsure(entities, chars, 0.5, 0.9)) == spans[1:]
    assert spans_of(drop_unsure(entities, chars, 0.5, 0.6)) == spans
    assert spans_of(drop_unsure(entities, chars, 0.75, 0.0)) == []
