"""Which labels two datasets of the same sentences give differently."""

import os
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from klue_beam.transforms.report.columns import LabelColumn
from klue_beam.transforms.report.samples import PLACE

MOST_MOVES: Final = 30
MEMORY_LIMIT: Final = "1GB"

_SENTENCE_KEY: Final = f"hash({', '.join(PLACE)})"


def compare_labels(first: Any, second: Any, columns: Mapping[str, LabelColumn]) -> dict[str, Any]:
    """Compare the labels of the sentences that both datasets have, by their places in the sources.

    Labels are compared as columns of small numbers in a database of its own, in the folder for temporary files.

    Args:
      first, second: connections of the two datasets.
      columns: those that both have, by name.

    Returns:
      How many sentences each has and both have; and for each column how many labels are the same, and how many moved,
      from which label to which, None where one has no label at that place.
    """
    import duckdb  # noqa: PLC0415  without it there are no connections

    with tempfile.TemporaryDirectory(prefix="klue-beam-compare-") as folder:
        scratch = duckdb.connect(os.path.join(folder, "labels.duckdb"), config={"memory_limit": MEMORY_LIMIT})
        try:
            for name, connection in (("a", first), ("b", second)):
                _copy(scratch, f"{name}_sentences", connection, f"SELECT {_SENTENCE_KEY} AS sentence FROM sentences")
            scratch.execute(
                "CREATE TABLE common AS SELECT sentence FROM a_sentences SEMI JOIN b_sentences USING (sentence)"
            )
            numbers = [
                scratch.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
                for table in ("a_sentences", "b_sentences", "common")
            ]
            moved = [_compare(scratch, first, second, column) for column in columns.values() if _spot(column)]
        finally:
            scratch.close()
    return {"sentences": numbers, "labels": moved}


def _copy(scratch: Any, table: str, connection: Any, query: str) -> None:
    scratch.register("stream", connection.sql(query).to_arrow_reader(100_000))
    scratch.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM stream")
    scratch.unregister("stream")


def _spot(column: LabelColumn) -> str:
    """Give the expression of where in its sentence a label is; empty where that cannot be told."""
    if not column.is_list:
        return "0"
    if {"subject", "object"} <= set(column.fields):
        places = (f'entities[item."{side}" + 1]."{end}"' for side in ("subject", "object") for end in ("begin", "end"))
        return f"hash({', '.join(places)})"
    return 'hash(item."begin", item."end")' if {"begin", "end"} <= set(column.fields) else ""


def _compare(scratch: Any, first: Any, second: Any, column: LabelColumn) -> dict[str, Any]:
    further = [f"{_SENTENCE_KEY} AS sentence", *(["entities"] if {"subject", "object"} <= set(column.fields) else [])]
    query = f'SELECT sentence, {_spot(column)} AS spot, item."{column.label}" AS label FROM {column.items(*further)}'
    for name, connection in (("a", first), ("b", second)):
        _copy(scratch, f"{name}_all", connection, query)
        # Two labels at one place are told apart by their order.
        scratch.execute(
            f"CREATE OR REPLACE TABLE {name}_labels AS SELECT *, row_number() OVER (PARTITION BY sentence, spot "
            f"ORDER BY label) AS nth FROM {name}_all SEMI JOIN common USING (sentence)"
        )
    pairs = scratch.execute(
        "SELECT a_labels.label AS before, b_labels.label AS after, count(*) AS n FROM a_labels FULL JOIN b_labels "
        "USING (sentence, spot, nth) GROUP BY before, after ORDER BY n DESC, before, after"
    ).fetchall()
    moves = [[before, after, number] for before, after, number in pairs if before != after]
    return {
        "task": column.task,
        "title": column.title,
        "same": sum(number for before, after, number in pairs if before == after),
        "moved": sum(number for *_, number in moves),
        "moves": moves[:MOST_MOVES],
    }
