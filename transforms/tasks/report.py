"""What a task's scorer reports: metrics, a table by label, confusions, the surest mistakes."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from klue_beam.transforms.base.codepoints import Bools
from klue_beam.transforms.tasks.metrics import Doubles, LabelCounts, expected_calibration_error

NOTHING: Final = "–"
"""Stands for no label in a confusion: what was missed, or found where nothing is."""

MISTAKES_SHOWN: Final = 10

CALIBRATION_ERROR: Final = "expected_calibration_error"

Rows = Sequence[Sequence[Mapping[str, Any]]]
"""The annotated rows of each example, its task's column among their fields; a text of white space has none."""


class LabelScore(NamedTuple):
    """How well one label is found, in percent, and how many gold ones there are."""

    label: str
    precision: float
    recall: float
    f1: float
    gold: int


class Confusion(NamedTuple):
    """How often a gold label was taken for another one; NOTHING stands for none."""

    gold: str
    predicted: str
    times: int


class Mistake(NamedTuple):
    """A wrong decision, and how sure the model was of it, from 0 to 1."""

    text: str
    gold: str
    predicted: str
    score: float


@dataclasses.dataclass(frozen=True, slots=True)
class FurtherTable:
    """A table that one task's report has beside those of all.

    Attributes:
      name: what the JSON calls it.
      heading: what stands over it.
      columns: the heading of each of a row's fields that is drawn, by the field's name, in the order drawn. The first
        one is text, the others are counts, or percents where they are floats.
      rows: named tuples.
    """

    name: str
    heading: str
    columns: Mapping[str, str]
    rows: Sequence[Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """How well a model does on a task.

    Attributes:
      rows: examples scored.
      metrics: the task's official metrics, in percent.
      details: further measures, in percent.
      labels: by label.
      confusions: most frequent first.
      mistakes: surest first.
      further: tables that other tasks do not have.
    """

    rows: int
    metrics: Mapping[str, float]
    details: Mapping[str, float]
    labels: Sequence[LabelScore]
    confusions: Sequence[Confusion]
    mistakes: Sequence[Mistake]
    further: Sequence[FurtherTable] = ()


def measure_calibration(scores: Doubles, right: Bools) -> dict[str, float]:
    """Give the expected calibration error as one of a report's details."""
    return {CALIBRATION_ERROR: expected_calibration_error(scores, right)}


def score_labels(labels: Sequence[str], counts: LabelCounts) -> list[LabelScore]:
    """Lay counts out by label, those that occur, the most frequent first."""
    columns = (counts.precision(), counts.recall(), counts.f1(), counts.gold)
    rows = [LabelScore(label, *(column[i].item() for column in columns)) for i, label in enumerate(labels)]
    occurring = [row for row in rows if not np.isnan(row.f1)]
    return sorted(occurring, key=lambda row: -row.gold)


def count_confusions(pairs: Iterable[tuple[str, str]]) -> list[Confusion]:
    """Count pairs of a gold label and what it was taken for, the most frequent first."""
    return [Confusion(*pair, count) for pair, count in collections.Counter(pairs).most_common()]


def find_surest(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Give the MISTAKES_SHOWN mistakes that the model was surest of."""
    return sorted(mistakes, key=lambda mistake: -mistake.score)[:MISTAKES_SHOWN]
