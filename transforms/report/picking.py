"""Sentences picked from a dataset: of a document, with a label, the least sure ones, a sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from klue_beam.transforms.plan.dataset import Dataset
from klue_beam.transforms.report.columns import LabelColumn, list_label_columns
from klue_beam.transforms.report.queries import explained, require_reading

KEY = "source, record_index, sentence_index"
"""The columns that tell a sentence from all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which sentences are wanted; all conditions hold together.

    Attributes:
      doc: the id of their document; None for any.
      label: a label of any task that they must have; None for any.
      where: a condition on the view `sentences`, in SQL; None for any.
      lowest: the task whose least sure sentences come first; None for the order of the dataset.
      seed: what a sample is drawn by; None for no sample.
      limit: at most so many; None for all.
    """

    doc: str | None = None
    label: str | None = None
    where: str | None = None
    lowest: str | None = None
    seed: int | None = None
    limit: int | None = None


def sample_order(seed: int) -> str:
    """Give what rows are ordered by in a sample: it hangs on the sentence and the seed alone.

    It is a hash of DuckDB's, so that another version of DuckDB may draw other sentences.
    """
    return f"hash({KEY}, {int(seed)}), {KEY}"


def pick_sentences(dataset: Dataset, choice: Choice) -> list[dict[str, Any]]:
    """Pick sentences.

    Args:
      dataset: where from.
      choice: which ones.

    Returns:
      Rows of the dataset's schema, as `to_pylist` gives them.

    Raises:
      ValueError: if the task or the label is not there, or the condition is no SQL.
      ImportError: if duckdb is not installed.
    """
    columns = list_label_columns(dataset.schema)
    conditions, values = _conditions(columns, choice)
    order = _order(columns, choice)
    sql = "SELECT * FROM sentences"
    sql += f" WHERE {' AND '.join(conditions)}" if conditions else ""
    sql += f" ORDER BY {order}" if order else ""
    sql += f" LIMIT {int(choice.limit)}" if choice.limit is not None else ""
    connection = dataset.duckdb()
    with explained(connection):
        require_reading(connection, sql)
        relation = connection.sql(sql, params=values) if values else connection.sql(sql)
        table = relation.to_arrow_table()
    rows: list[dict[str, Any]] = table.rename_columns(dataset.schema.names).to_pylist()
    return rows


def _conditions(columns: Sequence[LabelColumn], choice: Choice) -> tuple[list[str], list[Any]]:
    conditions, values = [], []
    if choice.doc is not None:
        conditions.append("doc_id = ?")
        values.append(choice.doc)
    if choice.label is not None:
        if not columns:
            raise ValueError(f"`label` must be of a task, got {choice.label!r}: the dataset has no labels.")
        conditions.append(f"({' OR '.join(column.has_label() for column in columns)})")
        values += [choice.label] * len(columns)
    if choice.where is not None:
        conditions.append(f"({choice.where}\n)")
    if choice.lowest is not None:
        conditions.append(f"{_scored(columns, choice.lowest).lowest_score()} IS NOT NULL")
    return conditions, values


def _order(columns: Sequence[LabelColumn], choice: Choice) -> str:
    if choice.lowest is not None:
        return f"{_scored(columns, choice.lowest).lowest_score()}, {KEY}"
    return "" if choice.seed is None else sample_order(choice.seed)


def _scored(columns: Sequence[LabelColumn], task: str) -> LabelColumn:
    scored = {column.task: column for column in columns if column.has_score}
    if task not in scored:
        raise ValueError(
            f"`lowest` must be a task of the dataset that has scores, {', '.join(scored) or 'of which there is none'}, "
            f"got {task!r}. Choose one that is there."
        )
    return scored[task]
