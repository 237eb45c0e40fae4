"""Every row that breaks the output contract is refused, by name."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klue_beam.transforms.tasks.output import annotated_schema
from klue_beam.transforms.write.contract import ContractError, check_rows, count_rows

TEXT = "김유진 기자는 서울에서 박하늘 씨를 만났다"

with_text = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \t\x1f\x85\u2028\u3000가각\u1100\u1161\u11a8🙂\0"),
    min_size=1,
    max_size=30,
).filter(lambda text: text.split())


def batch(annotated, *rows):
    return pa.RecordBatch.from_pylist(list(rows), schema=annotated.SCHEMA)


def check(annotated, *rows):
    check_rows(batch(annotated, *rows), annotated.SCHEMA, "Shard 3 (뉴스.txt), segment 0")


@settings(deadline=None)
@given(st.lists(with_text, max_size=6))
def test_rows_that_keep_the_contract_pass_whatever_their_text(annotated, texts):
    check(annotated, *(annotated.row(record, text) for record, text in enumerate(texts)))


@settings(deadline=None)
@given(st.lists(with_text, min_size=2, max_size=6), st.integers(0, 5), st.integers(1, 5))
def test_a_slice_is_checked_as_the_rows_that_it_shows(annotated, texts, offset, length):
    rows = batch(annotated, *(annotated.row(record, text) for record, text in enumerate(texts)))
    check_rows(rows.slice(offset, length), annotated.SCHEMA, "place")
    assert count_rows(rows.slice(offset, length))["sentences"] == len(texts[offset : offset + length])


def test_sentences_of_a_document_pass_in_order(annotated):
    check(
        annotated,
        annotated.row(0, "하나.", 0, 0),
        annotated.row(0, "둘.", 1, 4),
        annotated.row(7, "셋.", 0, 3),
    )


def test_null_columns_pass_where_a_flag_says_why(annotated):
    check(
        annotated,
        annotated.row(0, TEXT),
        annotated.row(1, TEXT, dependencies=None, flags=["dp_skipped_too_long"]),
        annotated.row(2, TEXT, entities=None, relations=None, topic=None, flags=["ner_failed", "tc_failed"]),
        annotated.row(3, TEXT),
    )


def arcs(annotated, **changes):
    """Change the second arc of the tree over TEXT."""
    tree = annotated.tree(TEXT)
    return {"dependencies": [tree[0], {**tree[1], **changes}, *tree[2:]]}


def heads(annotated, *numbers):
    tree = annotated.tree(TEXT)
    return {"dependencies": [{**arc, "head": head} for arc, head in zip(tree, numbers, strict=True)]}


def entities(*spans, label="PS", text=None):
    return {
        "entities": [
            {"label": label, "begin": b, "end": e, "text": TEXT[b:e] if text is None else text, "score": 0.5}
            for b, e in spans
        ],
        "relations": [],
    }


def relation(**changes):
    return {"relations": [{"label": "per:title", "subject": 0, "object": 1, "score": 0.5, **changes}]}


VIOLATIONS = {
    "end does not fit": (
        lambda a: {"end": len(TEXT) + 1},
        "`begin` 0 and `end` 24 do not fit a text of 23 code points",
    ),
    "begin is negative": (lambda a: {"begin": -1, "end": 22}, "`begin` -1 and `end` 22 do not fit"),
    "blank": (
        lambda a: {"text": " \u3000", "end": 2, "dependencies": [], "entities": [], "relations": []},
        "it holds nothing but white space",
    ),
    "sentence index": (lambda a: {"sentence_index": 1}, "`sentence_index` must be 0, got 1"),
    "unknown flag": (lambda a: {"flags": ["tired"]}, "`flags` holds 'tired', which is no flag"),
    "null flag": (lambda a: {"flags": [None]}, "`flags` holds None, which is no flag"),
    "unexplained null topic": (lambda a: {"topic": None}, "`topic` is null and no flag of tc says why"),
    "unexplained null tree": (lambda a: {"dependencies": None}, "`dependencies` is null and no flag of dp says why"),
    "topic without score": (lambda a: {"topic": {"label": "사회", "score": None}}, "`topic` holds a null `score`"),
    "null entity": (lambda a: {"entities": [None], "relations": []}, "`entities` holds a null"),
    "empty topic": (lambda a: {"topic": {"label": "", "score": 1.0}}, "`topic` holds '', which is no label"),
    "empty entity": (lambda a: entities((0, 3), label=""), "`entities` holds '', which is no label"),
    "no_relation": (lambda a: relation(label="no_relation"), "`relations` holds 'no_relation', which is no label"),
    "empty deprel": (lambda a: arcs(a, deprel=""), "`dependencies` holds '', which is no label"),
    "entity begins before the text": (
        lambda a: entities((-1, 2), text="김유"),
        "entity -1:2 does not lie in a text of 23",
    ),
    "entity is empty": (lambda a: entities((3, 3)), "entity 3:3 does not lie in a text of 23"),
    "entity ends after the text": (lambda a: entities((20, 24)), "entity 20:24 does not lie in a text of 23"),
    "entity text": (lambda a: entities((0, 3), text="김유신"), "entity 0:3 says '김유신', the text says '김유진'"),
    "entity text length": (lambda a: entities((0, 3), text="김"), "entity 0:3 says '김', the text says '김유진'"),
    "entity is blank": (lambda a: entities((3, 4)), "entity 3:4 is nothing but white space"),
    "entities overlap": (lambda a: entities((0, 3), (2, 6)), "entities must be sorted and disjoint, got 2:6 after 0:3"),
    "entities out of order": (
        lambda a: entities((4, 6), (0, 3)),
        "entities must be sorted and disjoint, got 0:3 after 4:6",
    ),
    "relation outside": (lambda a: relation(object=2), "a relation must join two of the 2 entities, got 0 and 2"),
    "relation below": (lambda a: relation(subject=-1), "a relation must join two of the 2 entities, got -1 and 1"),
    "relation to itself": (lambda a: relation(subject=1), "a relation must join two of the 2 entities, got 1 and 1"),
    "arc missing": (lambda a: {"dependencies": a.tree(TEXT)[:-1]}, "it has 6 eojeols but 5 arcs"),
    "arc span": (lambda a: arcs(a, end=8), "arc 4:8 must span the eojeol 4:7"),
    "arc form": (lambda a: arcs(a, form="기자가"), "arc 4:7 says '기자가', the text says '기자는'"),
    "arc index": (lambda a: arcs(a, index=1), "an arc's `index` must be 2, got 1"),
    "head outside": (lambda a: arcs(a, head=7), "a head must be 0 to 6, got 7"),
    "head below": (lambda a: arcs(a, head=-1), "a head must be 0 to 6, got -1"),
    "two roots": (lambda a: arcs(a, head=0), "a dependency tree must have one root, got 2"),
    "no root": (lambda a: heads(a, 2, 3, 4, 5, 6, 1), "a dependency tree must have one root, got 0"),
    "its own head": (lambda a: arcs(a, head=2), "the heads make a cycle above eojeol 1"),
    "cycle": (lambda a: heads(a, 6, 3, 4, 2, 6, 0), "the heads make a cycle above eojeol 2"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_row_that_breaks_the_contract_is_named_with_its_fault(annotated, name):
    changes, message = VIOLATIONS[name]
    good = [annotated.row(record, TEXT) for record in (10, 11)]
    bad = annotated.row(12, TEXT) | changes(annotated)
    place = "Shard 3 (뉴스.txt), segment 0, record 12, sentence "
    with pytest.raises(ContractError, match=f"^{re.escape(place)}[01]: {re.escape(message)}"):
        check(annotated, *good, bad, annotated.row(13, TEXT))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"sentence": 2, "begin": 10}, "record 5, sentence 2: `sentence_index` must be 1, got 2"),
        ({"sentence": 0, "begin": 10}, "record 5, sentence 0: `sentence_index` must be 1, got 0"),
        (
            {"sentence": 1, "begin": 2},
            "record 5, sentence 1: it begins at 2, inside the sentence before, which ends at 3",
        ),
        ({"record": 4}, "record 4, sentence 0: it comes after record 5; records must stay in order"),
    ],
)
def test_the_sentences_of_a_document_must_follow_each_other(annotated, second, message):
    with pytest.raises(ContractError, match=re.escape(message)):
        check(annotated, annotated.row(5, "하나."), annotated.row(**{"record": 5, "text": "둘.", **second}))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_a_tree_passes_just_when_walking_up_from_every_eojeol_ends_at_one_root(annotated, numbers):
    n = len(numbers)
    chosen = [number % (n + 1) for number in numbers]
    text = " ".join("가" * n)
    tree = [{**arc, "head": head} for arc, head in zip(annotated.tree(text), chosen, strict=True)]

    def reaches_root(node):
        for _ in range(n):
            node = chosen[node - 1]
            if node == 0:
                return True
        return False

    is_tree = chosen.count(0) == 1 and all(reaches_root(node) for node in range(1, n + 1))
    if is_tree:
        check(annotated, annotated.row(0, text, dependencies=tree))
    else:
        with pytest.raises(ContractError, match=r"one root|cycle"):
            check(annotated, annotated.row(0, text, dependencies=tree))


def test_the_columns_must_be_exactly_those_of_the_tasks(annotated):
    rows = batch(annotated, annotated.row(0, TEXT))
    with pytest.raises(ContractError, match="the rows must have the columns"):
        check_rows(rows, annotated_schema(["tc"]), "place")
    with pytest.raises(ContractError, match="the rows must have the columns"):
        check_rows(rows.drop_columns(["topic"]), annotated.SCHEMA, "place")


def test_a_null_in_a_column_of_every_row_is_refused(annotated):
    rows = batch(annotated, annotated.row(0, TEXT, doc_id=None))
    with pytest.raises(ContractError, match="`doc_id` must not be null, got a null"):
        check_rows(rows, annotated.SCHEMA, "place")


def test_text_that_is_no_utf8_is_refused(annotated):
    rows = batch(annotated, annotated.row(0, TEXT))
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff")]
    )
    columns = [
        broken if name == "text" else column for name, column in zip(rows.schema.names, rows.columns, strict=True)
    ]
    with pytest.raises(ContractError, match=r"place: the rows are no valid Arrow data: .*UTF8"):
        check_rows(pa.RecordBatch.from_arrays(columns, schema=annotated.SCHEMA), annotated.SCHEMA, "place")


def test_counts_are_of_what_the_rows_hold(annotated):
    rows = batch(
        annotated,
        annotated.row(0, TEXT, flags=["tc_windowed", "ner_windowed"]),
        annotated.row(1, "🙂 웃음", dependencies=None, flags=["dp_failed", "tc_windowed"]),
    )
    assert count_rows(rows) == {
        "sentences": 2,
        "characters": 27,
        "entities": 4,
        "relations": 2,
        "arcs": 6,
        "flag:tc_windowed": 2,
        "flag:ner_windowed": 1,
        "flag:dp_failed": 1,
    }
