"""A dataset's files as tables of DuckDB, with names that need no quotes."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from klue_beam.transforms.base.stores.opening import SCHEME_END


class Table(NamedTuple):
    """Files of one schema, which together are a table."""

    name: str
    schema: pa.Schema
    files: Sequence[str]


_SENTENCE = "source, record_index, doc_id, sentence_index"
_SPAN_NAMES = {"begin": "begin_char", "end": "end_char"}

_DETAILS = {
    "entities": (
        "entities",
        ("entities",),
        'n - 1 AS entity_index, item.label, item.text, item."begin" AS begin_char, item."end" AS end_char, item.score',
    ),
    "relations": (
        "relations",
        ("relations", "entities"),
        "item.label, entities[item.subject + 1].text AS subject, entities[item.subject + 1].label AS subject_label, "
        'entities[item."object" + 1].text AS object, entities[item."object" + 1].label AS object_label, item.score, '
        'item.subject AS subject_index, item."object" AS object_index',
    ),
    "arcs": (
        "dependencies",
        ("dependencies",),
        'item."index" AS word_index, item.form, item.head AS head_index, item.deprel, item."begin" AS begin_char, '
        'item."end" AS end_char, item.score',
    ),
}
"""Views of one row an item of a list: the list's column, the columns needed, and what is selected of an item. A list of
another package's task has a view of its column's name, with the fields of an item."""


def connect(tables: Sequence[Table]) -> Any:
    """Open a DuckDB connection in memory with a view of each table, and views of what is nested in `sentences`.

    Raises:
      ImportError: if duckdb is not installed.
      ValueError: if files lie where DuckDB cannot read them, are gone, or are broken.
    """
    try:
        import duckdb  # noqa: PLC0415  it need not be installed
    except ImportError as error:
        raise ImportError("Queries need duckdb, which is not installed. Install it: pip install duckdb") from error
    # It reads this machine's files alone, and what does not fit into memory goes where temporary files go.
    spill = os.path.join(tempfile.gettempdir(), f"klue-beam-duckdb-{os.getpid()}")
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "temp_directory": spill})
    try:
        _create_views(connection, tables)
    except duckdb.Error as error:
        connection.close()
        raise ValueError(
            f"The files of a dataset must be as they were written, got: {' '.join(str(error).splitlines()[:1])}. "
            "`klue-beam verify` says what is wrong with them."
        ) from error
    return connection


def _create_views(connection: Any, tables: Sequence[Table]) -> None:
    for table in tables:
        columns = _renamed(table.schema)
        if table.files:
            files = ", ".join(_quote(file) for file in table.files)
            connection.execute(_view(table.name, columns, f"read_parquet([{files}])"))
        else:
            connection.from_arrow(table.schema.empty_table()).project(columns).create(table.name)
        if table.name == "sentences":
            for statement in _nested_views(table.schema):
                connection.execute(statement)


def _view(name: str, columns: str, origin: str) -> str:
    return " ".join(("CREATE VIEW", name, "AS SELECT", columns, "FROM", origin))


def _quote(text: str) -> str:
    if SCHEME_END in text:
        raise ValueError(f"DuckDB reads files of this machine, got {text!r}. Copy the dataset, and query the copy.")
    return "'" + text.replace("'", "''") + "'"


def _renamed(schema: pa.Schema) -> str:
    return ", ".join(
        f'"{name}" AS {_SPAN_NAMES[name]}' if name in _SPAN_NAMES else f'"{name}"' for name in schema.names
    )


def _nested_views(schema: pa.Schema) -> Iterator[str]:
    kept = ", any_value(metadata) AS metadata" if "metadata" in schema.names else ""
    documents = (
        "source, record_index, any_value(doc_id) AS doc_id, count(*) AS sentences, sum(length(text)) AS characters"
    )
    yield _view("documents", documents + kept, "sentences GROUP BY source, record_index")
    for name, (column, needed, items) in {**_DETAILS, **_further_details(schema)}.items():
        if set(needed) <= set(schema.names):
            unnested = f"unnest({column}) AS item, generate_subscripts({column}, 1) AS n"
            selected = ", ".join((_SENTENCE, *(f'"{one}"' for one in needed), unnested))
            inner = f"(SELECT {selected} FROM sentences)"  # noqa: S608  names of columns
            yield _view(name, f"{_SENTENCE}, {items}", inner)


def _further_details(schema: pa.Schema) -> Mapping[str, tuple[str, Sequence[str], str]]:
    known = {column for column, _, _ in _DETAILS.values()}
    return {
        field.name: (f'"{field.name}"', (field.name,), _select_items(field.type.value_type))
        for field in schema
        if field.name not in known and pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type)
    }


def _select_items(item: pa.StructType) -> str:
    return ", ".join(f'item."{field.name}" AS "{_SPAN_NAMES.get(field.name, field.name)}"' for field in item)
