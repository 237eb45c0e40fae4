"""A dataset asked by SQL: what is only read, what can be asked, and errors in one line."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from klue_beam.transforms.plan.dataset import Dataset

BATCH_ROWS: Final = 10_000
"""So many rows of a result are held at a time."""


class Query:
    """A query and its result, which is read while it is computed; a context that ends the query.

    Args:
      dataset: what is asked.
      sql: one statement that reads: SELECT, FROM, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN, in DuckDB's SQL.

    Raises:
      ImportError: if duckdb is not installed.
      ValueError: if the statement is none, writes, or cannot be understood; the message has the views and columns.
    """

    def __init__(self, dataset: Dataset, sql: str) -> None:
        self._connection = dataset.duckdb()
        try:
            with explained(self._connection):
                require_reading(self._connection, sql)
                relation = self._connection.sql(sql)
                if relation is None:
                    raise ValueError(_refuse("that gives rows", sql))
                self._reader: pa.RecordBatchReader = relation.to_arrow_reader(BATCH_ROWS)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> "Query":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def schema(self) -> pa.Schema:
        """The columns of the result."""
        return self._reader.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Compute the rows, some at a time; once.

        Raises:
          ValueError: if a row cannot be computed, or a file of the dataset cannot be read.
        """
        with explained(self._connection):
            yield from self._reader


def require_reading(connection: Any, sql: str) -> None:
    """Refuse what is more than one statement, or one that writes.

    Args:
      connection: what `Dataset.duckdb` gave.
      sql: what is asked.

    Raises:
      ValueError: if so.
      duckdb.Error: if it is no SQL.
    """
    import duckdb  # noqa: PLC0415  without it there is no connection

    statements = connection.extract_statements(sql)
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    if len(statements) != 1 or statements[0].type not in reading:
        raise ValueError(_refuse("that reads", sql))


@contextlib.contextmanager
def explained(connection: Any) -> Iterator[None]:
    """Tell an error of DuckDB's in one line, with what can be asked.

    Args:
      connection: what `Dataset.duckdb` gave.

    Raises:
      ValueError: for any error of DuckDB's.
    """
    import duckdb  # noqa: PLC0415  without it there is no connection

    try:
        yield
    except duckdb.Error as error:
        said, _, place = str(error).strip().partition("\n\nLINE ")
        near = f", near {_near(place)!r}" if place else ""
        said = " ".join(said.split()).removesuffix(".")
        raise ValueError(
            f"The query must be SQL that DuckDB can answer, got: {said}{near}. There are {_views(connection)}."
        ) from error


def _views(connection: Any) -> str:
    """Name all views with their columns."""
    rows = connection.execute(
        "SELECT table_name, string_agg(column_name, ', ' ORDER BY column_index) FROM duckdb_columns() "
        "WHERE NOT internal GROUP BY table_name ORDER BY table_name"
    ).fetchall()
    return "; ".join(f"{name} ({columns})" for name, columns in rows)


def _refuse(rule: str, sql: str) -> str:
    return (
        f"The query must be one statement {rule}, got {sql!r}. Begin it with SELECT, or ask for `SHOW TABLES` or "
        "`DESCRIBE sentences`."
    )


def _near(place: str) -> str:
    """Give the text at which DuckDB's caret points, as it stands below its line."""
    lines = place.splitlines()
    if len(lines) < 2 or "^" not in lines[1]:
        return place.strip()
    # DuckDB counts the head `LINE 1: `, of which the partition took `LINE `.
    begin = max(lines[1].index("^") - len("LINE "), 0)
    return lines[0][begin : begin + 40].strip()


def to_plain(value: Any) -> Any:
    """Give a value of a result as JSON has it: what JSON does not know as its text, bytes as text with escapes."""
    if isinstance(value, dict):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None  # NaN and the infinities are no JSON
    return str(value)
