"""The sentences of a report's browser: a sample, and of each label some examples."""

import json
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from klue_beam.transforms.export.jsonl import shorten_floats
from klue_beam.transforms.report.columns import LabelColumn
from klue_beam.transforms.report.picking import KEY
from klue_beam.transforms.report.queries import to_plain

LONGEST_SENTENCE_CHARS: Final = 1000
"""Longer sentences are not sampled: they cannot be drawn."""

MOST_BYTES: Final = 3_000_000
"""So much room the sentences of a report have."""

EXAMPLES_A_LABEL: Final = 2
SCORE_DECIMALS: Final = 3

PLACE: Final = ("source", "record_index", "begin_char", "end_char")
"""What a sentence of two datasets is known by, in DuckDB's views."""


def sample_keys(connection: Any, columns: Sequence[LabelColumn], number: int, seed: int) -> pa.Table:
    """Choose sentences by a hash of their keys and the seed: `number` of all, and some of each label.

    Args:
      connection: of the dataset.
      columns: with labels.
      number: of sentences; none if 0.
      seed: another one gives other sentences.

    Returns:
      Their places, with `rank`: the order in which they are shown.
    """
    place = ", ".join(PLACE)
    key, short = f"hash({KEY}, {int(seed)})", f"length(text) <= {LONGEST_SENTENCE_CHARS}"
    chosen = [
        f"SELECT {place}, 0 AS part, {key} AS key FROM sentences WHERE {short} "
        f"ORDER BY key, {place} LIMIT {int(number)}"
    ]
    for column in columns if number else ():
        rows = column.items(f"struct_pack({place}) AS place", f"{key} AS key", "text")
        of_label = f"arg_min(place, key, {EXAMPLES_A_LABEL}) AS places, min(key, {EXAMPLES_A_LABEL}) AS keys"
        grouped = (
            f'SELECT {of_label} FROM (SELECT item."{column.label}" AS label, place, key '
            f"FROM {rows} WHERE {short}) GROUP BY label"
        )
        chosen.append(
            f"SELECT one.*, 1 AS part, key FROM (SELECT unnest(places) AS one, unnest(keys) AS key FROM ({grouped}))"
        )
    union = " UNION ALL ".join(f"({one})" for one in chosen)
    return connection.sql(
        f"SELECT {place}, row_number() OVER (ORDER BY min(part), min(key), {place}) AS rank FROM ({union}) "
        f"GROUP BY {place} ORDER BY rank"
    ).to_arrow_table()


def read_sentences(connection: Any, keys: pa.Table) -> list[dict[str, Any]]:
    """Read sentences by their places, in the order of their ranks, as far as they are there.

    Args:
      connection: of a dataset, of the one that the places are of or of another.
      keys: what `sample_keys` gave.

    Returns:
      Rows of the view `sentences` without `metadata`, with `rank`, of JSON types, scores with a few decimals.
    """
    connection.register("chosen", keys)
    table = connection.sql(
        f"SELECT * FROM sentences JOIN chosen USING ({', '.join(PLACE)}) ORDER BY rank"
    ).to_arrow_table()
    connection.unregister("chosen")
    kept = [name for name in table.column_names if name != "metadata"]
    columns = {name: shorten_floats(table.column(name).combine_chunks()) for name in kept}
    return [_shorten(to_plain(row)) for row in pa.table(columns).to_pylist()]


def _shorten(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shorten(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shorten(item) for item in value]
    return round(value, SCORE_DECIMALS) if isinstance(value, float) else value


def within_bytes(rows: Sequence[dict[str, Any]], most_bytes: int = MOST_BYTES) -> list[dict[str, Any]]:
    """Keep the first rows, as many as have room.

    Args:
      rows: in the order of their worth.
      most_bytes: of their JSON in UTF-8.
    """
    kept, used = [], 0
    for row in rows:
        used += len(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if used > most_bytes:
            break
        kept.append(row)
    return kept
