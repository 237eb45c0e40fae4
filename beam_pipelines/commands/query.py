"""`klue-beam query DIR "SQL"`: ask a dataset by SQL."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from klue_beam.beam_pipelines.commands.base import OK, CommandParser, load, run_command
from klue_beam.beam_pipelines.commands.values import whole_number
from klue_beam.transforms.base.printable import show

if TYPE_CHECKING:
    from klue_beam.transforms.report.queries import Query

NAME: Final = "query"
FORMATS: Final = ("table", "csv", "json", "parquet")
DEFAULT_LIMIT: Final = 100


def make_parser() -> CommandParser:
    """Describe the command line."""
    parser = CommandParser(
        NAME,
        "Ask a dataset by SQL, in the dialect of DuckDB. It is only read.",
        [
            'klue-beam query annotated "SELECT label, count(*) AS n FROM entities GROUP BY label ORDER BY n DESC"',
            'klue-beam query annotated "SELECT subject, label, object FROM relations" --format csv --output r.csv',
            'klue-beam query annotated "DESCRIBE sentences"',
        ],
        notes="\n".join(
            [
                "The views: sentences, documents, entities, relations, arcs, rejects and dropped, as far as the",
                "dataset has their columns; a list that a task of another package found has a view of its column's",
                "name. Spans are begin_char and end_char in all views, half-open code points of the sentence, in",
                "sentences of the document: `end` is a word of SQL. Inside a list of sentences they keep their names:",
                'entities[1]."end".',
                "",
                "Exit codes: 0 if the answer is written, 2 for a wrong call or a wrong query.",
            ]
        ),
    )
    parser.add_argument("dataset", metavar="DIR", help="the folder that was the --output of `klue-beam annotate`")
    parser.add_argument("sql", metavar="SQL", help="one statement that reads: SELECT, WITH, DESCRIBE, EXPLAIN, …")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="a table to look at; CSV; json: an object a line; Parquet, which needs --output",
    )
    parser.add_argument("--output", metavar="FILE", help="what to write (default: the terminal)")
    parser.add_argument(
        "--limit", type=whole_number, default=DEFAULT_LIMIT, metavar="N", help="at most so many rows of a table"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Ask a dataset.

    Returns:
      0 if the answer is written, 2 for a wrong call or a wrong query.
    """
    return run_command(NAME, lambda: _query(arguments))


def _query(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(list(arguments))
    if options.format == "parquet" and options.output is None:
        raise ValueError("`--output` must be given for Parquet, got none. Name a file.")
    if options.format == "table" and options.output is not None:
        raise ValueError("`--format` must be csv, json or parquet for a file, got table. Name one of them.")
    if options.limit < 1:
        raise ValueError(f"`--limit` must be at least 1, got {options.limit}. Leave it out for {DEFAULT_LIMIT}.")
    reader = load(NAME, "klue_beam.transforms.plan.dataset")
    queries = load(NAME, "klue_beam.transforms.report.queries")
    with queries.Query(reader.open_dataset(options.dataset), options.sql) as query:
        if options.output is None:
            _write_terminal(query, options)
        else:
            _write_file(query, options)
    return OK


def _write_file(query: "Query", options: argparse.Namespace) -> None:
    """Write a file that is there whole, or not at all."""
    making = load(NAME, "klue_beam.transforms.base.stores.making")
    results = load(NAME, "klue_beam.transforms.report.results")
    with making.make_whole(Path(options.output), "output") as path:
        if options.format == "parquet":
            with path.open("wb") as binary:
                results.write_parquet(query, binary)
        else:
            with path.open("w", encoding="utf-8", newline="") as text:
                results.TEXT_WRITERS[options.format](query, text)


def _write_terminal(query: "Query", options: argparse.Namespace) -> None:
    results = load(NAME, "klue_beam.transforms.report.results")
    if options.format == "table":
        consoles = load(NAME, "klue_beam.beam_pipelines.views.consoles")
        table = load(NAME, "klue_beam.beam_pipelines.views.table")
        console = consoles.open_console(width_of_a_file=table.LONGEST_LINE)
        table.draw_rows(console, query.schema.names, results.read_plain_rows(query), options.limit)
    elif sys.stdout.isatty():
        results.TEXT_WRITERS[options.format](query, _SafeTerminal(sys.stdout))
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", newline="")  # data is UTF-8 in any locale
        results.TEXT_WRITERS[options.format](query, sys.stdout)


class _SafeTerminal:
    """A terminal that gets no control characters of the data."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write text, its control characters as escapes."""
        return self._file.write(show(text))
