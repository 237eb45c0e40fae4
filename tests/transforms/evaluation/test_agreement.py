"""Two annotations of the same sentences, compared label by label."""

import dataclasses

import pyarrow as pa
import pytest

from klue_beam.schemas.config import ModelConfig
from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.annotate.sentences import annotate
from klue_beam.transforms.evaluation.agreement import Agreement, compare_labels
from klue_beam.transforms.models.engine.loading import load_engines
from klue_beam.transforms.models.engine.resolving import resolve_models
from tests.tiny_models import SENTENCES, tiny_checkpoint
from tests.transforms.annotate.test_sentences import make_rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pa.RecordBatch:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "model")
    config = resolve_models(ModelConfig(models=dict.fromkeys(TASKS, str(folder))))
    return annotate(make_rows(SENTENCES), load_engines(config))[0]


def change(rows: pa.RecordBatch, number: int, **columns: object) -> pa.RecordBatch:
    changed = rows.to_pylist()
    changed[number] |= columns
    return pa.RecordBatch.from_pylist(changed, schema=rows.schema)


def test_an_annotation_agrees_with_itself(rows: pa.RecordBatch) -> None:
    agreements = compare_labels(rows, rows)
    assert tuple(agreements) == ("topic", "entities", "relations", "heads", "deprels")
    assert all(found.share == 1 and found.different == 0 and found.expected for found in agreements.values())
    assert agreements["topic"].expected == len(SENTENCES)
    assert agreements["heads"].expected == sum(len(text.split()) for text in SENTENCES)


def test_each_kind_of_label_counts_for_itself(rows: pa.RecordBatch) -> None:
    """One head, one entity more to the left and one topic: the other kinds agree as before."""
    row = rows.to_pylist()[0]
    arcs = [dict(arc) for arc in row["dependencies"]]
    arcs[1]["head"] += 1
    same = compare_labels(change(rows, 0, dependencies=arcs), rows)
    whole = compare_labels(rows, rows)
    n = whole["heads"].expected
    assert same == {**whole, "heads": Agreement(n - 1, n, n)}
    topic = {"label": "another", "score": 1.0}
    assert compare_labels(change(rows, 2, topic=topic), rows) == {**whole, "topic": Agreement(5, 6, 6)}
    assert compare_labels(change(rows, 2, topic=None), rows) == {**whole, "topic": Agreement(5, 5, 6)}


def test_a_relation_is_known_by_its_entities(rows: pa.RecordBatch) -> None:
    """An entity that one alone has, in front of the others, shifts their numbers and no relation."""
    number, row = next((n, row) for n, row in enumerate(rows.to_pylist()) if row["relations"])
    entities = [{**row["entities"][0], "label": "new", "begin": 0, "end": 0}, *row["entities"]]
    relations = [{**one, "subject": one["subject"] + 1, "object": one["object"] + 1} for one in row["relations"]]
    agreements = compare_labels(change(rows, number, entities=entities, relations=relations), rows)
    assert agreements["relations"].share == 1
    assert agreements["entities"] == dataclasses.replace(
        agreements["entities"], same=agreements["entities"].expected, found=agreements["entities"].expected + 1
    )


def test_a_missing_entity_counts_once(rows: pa.RecordBatch) -> None:
    """Its relations go with it; those between the others are still compared."""
    number, row, gone = next(
        (number, row, gone)
        for number, row in enumerate(rows.to_pylist())
        for gone in range(len(row["entities"]))
        if 0 < sum(gone in (one["subject"], one["object"]) for one in row["relations"]) < len(row["relations"])
    )
    entities = [one for place, one in enumerate(row["entities"]) if place != gone]
    kept = [
        {**one, "subject": one["subject"] - (one["subject"] > gone), "object": one["object"] - (one["object"] > gone)}
        for one in row["relations"]
        if gone not in (one["subject"], one["object"])
    ]
    whole = compare_labels(rows, rows)
    n, n_entities = whole["relations"].expected - len(row["relations"]) + len(kept), whole["entities"].expected
    expected = {**whole, "entities": Agreement(n_entities - 1, n_entities - 1, n_entities)}
    less = change(rows, number, entities=entities, relations=kept)
    assert compare_labels(less, rows) == {**expected, "relations": Agreement(n, n, n)}
    other = change(rows, number, entities=entities, relations=[{**kept[0], "label": "another"}, *kept[1:]])
    assert compare_labels(other, rows) == {**expected, "relations": Agreement(n - 1, n, n)}


def test_kinds_whose_columns_are_absent_are_left_out(rows: pa.RecordBatch) -> None:
    assert tuple(compare_labels(rows.drop_columns(["dependencies", "topic"]), rows)) == ("entities", "relations")


def test_other_sentences_are_refused(rows: pa.RecordBatch) -> None:
    with pytest.raises(ValueError, match="must be of the same sentences in the same order"):
        compare_labels(rows.slice(1), rows)
