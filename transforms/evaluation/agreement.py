"""How far two annotations of the same sentences say the same, task by task."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

LABEL_KINDS: Final = ("topic", "entities", "relations", "heads", "deprels")
"""What is compared. An entity is its span and label; a relation its two entities and its label; a head and a dependency
label are an eojeol's. Relations are compared among the entities that both annotations have: one that is missing counts
once, as an entity, and not again with each of its relations."""

_COLUMNS: Final = {"topic": "topic", "entities": "entities", "relations": "relations"} | dict.fromkeys(
    ("heads", "deprels"), "dependencies"
)

_Label = tuple[Any, ...]
"""One label of a row: what it speaks of, and its name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """The labels of one kind that two annotations have.

    Attributes:
      same: that both have.
      found: of the one.
      expected: of the other, the reference.

    >>> Agreement(same=98, found=99, expected=101).share, Agreement(same=98, found=99, expected=101).different
    (0.98, 3)
    """

    same: int
    found: int
    expected: int

    @property
    def share(self) -> float:
        """The F1 of one against the other, where each eojeol or sentence has one label its accuracy; 1 without any."""
        return 2 * self.same / (self.found + self.expected) if self.found + self.expected else 1.0

    @property
    def different(self) -> int:
        """Labels that one has and the other has not, a label that is another counted once."""
        return max(self.found, self.expected) - self.same

    def __add__(self, other: "Agreement") -> "Agreement":
        return Agreement(self.same + other.same, self.found + other.found, self.expected + other.expected)


def compare_labels(found: pa.RecordBatch, expected: pa.RecordBatch) -> dict[str, Agreement]:
    """Compare two annotations of the same sentences.

    Args:
      found: annotated rows.
      expected: the same sentences in the same order, as the reference annotates them.

    Returns:
      By kind of label, for the kinds of LABEL_KINDS whose columns are there.

    Raises:
      ValueError: if the sentences are not the same.
    """
    if not found.column("text").equals(expected.column("text")):
        raise ValueError("Both annotations must be of the same sentences in the same order. Annotate the same batch.")
    agreements = {}
    for kind in LABEL_KINDS:
        column = _COLUMNS[kind]
        if column in found.schema.names and column in expected.schema.names:
            ours, theirs = set(_list_labels(found, kind)), set(_list_labels(expected, kind))
            if kind == "relations":
                shared = set(_list_labels(found, "entities")) & set(_list_labels(expected, "entities"))
                ours, theirs = (_keep_between(relations, shared) for relations in (ours, theirs))
            agreements[kind] = Agreement(len(ours & theirs), len(ours), len(theirs))
    return agreements


def _keep_between(relations: set[_Label], entities: set[_Label]) -> set[_Label]:
    """Keep the relations both of whose entities are among some, all as `_list_labels` gives them."""
    return {
        (number, subject, object_, label)
        for number, subject, object_, label in relations
        if {(number, *subject), (number, *object_)} <= entities
    }


def _list_labels(rows: pa.RecordBatch, kind: str) -> Iterator[_Label]:
    """Give the labels of all rows, each with its row's number in front."""
    names = ["entities", "relations"] if kind == "relations" else [_COLUMNS[kind]]
    for number, row in enumerate(rows.select(names).to_pylist()):
        for label in _labels_of(row, kind):
            yield number, *label


def _labels_of(row: dict[str, Any], kind: str) -> Iterator[_Label]:
    """Give the labels of one row; a column that a model left null has none."""
    if kind == "topic":
        if row["topic"] is not None:
            yield (row["topic"]["label"],)
    elif kind == "entities":
        yield from _entities_of(row)
    elif kind == "relations":
        entities = list(_entities_of(row))
        yield from ((entities[one["subject"]], entities[one["object"]], one["label"]) for one in row["relations"] or ())
    else:
        field = {"heads": "head", "deprels": "deprel"}[kind]
        yield from ((one["index"], one[field]) for one in row["dependencies"] or ())


def _entities_of(row: dict[str, Any]) -> Iterator[_Label]:
    yield from ((one["begin"], one["end"], one["label"]) for one in row["entities"] or ())
