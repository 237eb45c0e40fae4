"""How far two annotations of the same sentences say the same, task by task."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from klue_beam.schemas.registry import TASKS
from klue_beam.transforms.tasks.base import Task
from klue_beam.transforms.tasks.output import order_by_needs, tasks_of


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

    A label that rests on others (a relation on its entities) is compared where both annotations have those: one that is
    missing counts once, and not again with each label that rests on it.

    Args:
      found: annotated rows.
      expected: the same sentences in the same order, as the reference annotates them.

    Returns:
      By kind of label, for the kinds of the tasks whose columns are in both.

    Raises:
      ValueError: if the sentences are not the same.
    """
    if not found.column("text").equals(expected.column("text")):
        raise ValueError("Both annotations must be of the same sentences in the same order. Annotate the same batch.")
    agreements: dict[str, Agreement] = {}
    shared: dict[str, set[tuple[Any, ...]]] = {}
    for name in order_by_needs(task.name for task in tasks_of(found.schema) if task in tasks_of(expected.schema)):
        task: Task = TASKS[name]
        ours, theirs = (_collect(task, rows, shared) for rows in (found, expected))
        for kind in task.kinds:
            shared[kind] = ours[kind] & theirs[kind]
            agreements[kind] = Agreement(len(shared[kind]), len(ours[kind]), len(theirs[kind]))
    return {kind: agreements[kind] for kind in list_kinds() if kind in agreements}


def list_kinds() -> tuple[str, ...]:
    """Give the kinds of labels that are compared, in the order of the tasks.

    >>> list_kinds()[:5]
    ('topic', 'entities', 'relations', 'heads', 'deprels')
    """
    return tuple(kind for task in TASKS.values() for kind in task.kinds)


def _collect(
    task: Task, rows: pa.RecordBatch, shared: Mapping[str, set[tuple[Any, ...]]]
) -> dict[str, set[tuple[Any, ...]]]:
    """Collect what a task's labels say, by kind, without those that rest on what is not shared."""
    said: dict[str, set[tuple[Any, ...]]] = {kind: set() for kind in task.kinds}
    for label in task.list_labels(rows):
        if all(other in shared[kind] for kind, other in label.rests_on):
            said[label.kind].add(label.said)
    return said
