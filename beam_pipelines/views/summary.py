"""What a dataset holds, summed up from its receipts and rejects, and drawn at the end of a job."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.shard import DATA_DIR, REJECTS_DIR
from klue_beam.transforms.plan.dataset import Dataset

FLAG_PREFIX: Final = "flag:"
DROPPED_PREFIX: Final = "dropped:"


@dataclass
class Summary:
    """Totals of a dataset.

    Attributes:
      counts: the counts of all receipts, added up.
      reasons: rejected records by what was wrong with them, in the words before the first colon.
      breaks: sources that could be read only up to a break, each with what the break was.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    breaks: list[tuple[str, str]] = field(default_factory=list)

    @property
    def dropped(self) -> Mapping[str, int]:
        """What cleaning left out, by step and reason."""
        prefix = DROPPED_PREFIX
        return {name.removeprefix(prefix): n for name, n in self.counts.items() if name.startswith(prefix)}

    @property
    def flags(self) -> Mapping[str, int]:
        """Rows by flag."""
        return {name.removeprefix(FLAG_PREFIX): n for name, n in self.counts.items() if name.startswith(FLAG_PREFIX)}


def summarize(dataset: Dataset) -> Summary:
    """Sum up a dataset from its receipts and rejects.

    Raises:
      ValueError: if a receipt or a file of rejects is broken.
      OSError: if one cannot be read.
    """
    summary = Summary()
    for receipt in dataset.receipts():
        summary.counts.update(receipt.counts)
    for batch in dataset.rejects(columns=["source", "record_index", "stage", "reason"]):
        broken = batch.column("record_index").is_null()
        told = batch.filter(broken).to_pydict()
        summary.breaks += zip(told["source"], told["reason"], strict=True)
        records = batch.filter(pc.invert(broken))
        for kind in pc.value_counts(_reason_kinds(records)).to_pylist():
            summary.reasons[kind["values"]] += kind["counts"]
    return summary


def _reason_kinds(rejects: pa.RecordBatch) -> pa.StringArray:
    """Give stage and the words before the first colon, as in `read: malformed JSON`."""
    words = pc.list_element(pc.split_pattern(rejects.column("reason"), ":", max_splits=1), 0)
    return pc.binary_join_element_wise(rejects.column("stage"), words, ": ")


def _rows(summary: Summary, tasks: Sequence[str]) -> Iterable[tuple[str, str]]:
    counts = summary.counts
    yield "documents", f"{counts['documents']:,}"
    if counts["blanks"]:
        yield "blank documents", f"{counts['blanks']:,}"
    if counts["dropped"]:
        yield "dropped by cleaning", f"{counts['dropped']:,}"
        for reason, rows in sorted(summary.dropped.items()):
            yield f"  {reason}", f"{rows:,}"
        yield "documents without a sentence left", f"{counts['dropped_documents']:,}"
    yield "sentences", f"{counts['sentences']:,}"
    yield "characters", f"{counts['characters']:,}"
    for task in (TASKS[name] for name in tasks):
        if task.counts:
            yield task.counted_as or task.counts, f"{counts[task.counts]:,}"
    for flag, rows in sorted(summary.flags.items()):
        yield f"flagged {flag}", f"{rows:,}"
    yield "rejects", f"{counts['rejects']:,}"
    for reason, records in summary.reasons.most_common():
        yield f"  {reason}", f"{records:,}"
    for source, reason in summary.breaks:
        yield f"  source broke off: {source}", reason


def duckdb_query(dataset: Dataset) -> str:
    """Write a query that shows what a dataset is good for."""
    files = f"'{dataset.store.address(DATA_DIR)}/*.parquet'"
    members = [TASKS[name] for name in dataset.config.model.tasks]
    values = [task.query_value for task in members if task.query_value]
    listed = next((task for task in members if task.query_item), None)
    if listed is None:
        shown = ", ".join(values or [task.field.name for task in members])
        return f"SELECT doc_id, text, {shown} FROM {files} LIMIT 10"  # noqa: S608  shown to the user, not run
    item = listed.query_item
    counted = ", ".join([*values, f"{item}.{listed.label_field} AS {item}", "count(*) AS n"])
    return (
        f"SELECT {counted} FROM (SELECT *, unnest({listed.field.name}) AS {item} FROM {files}) "  # noqa: S608  the same
        "GROUP BY ALL ORDER BY n DESC"
    )


def draw_summary(
    console: Console, dataset: Dataset, summary: Summary, *, sentences_per_second: float | None = None
) -> None:
    """Draw the totals, where the data is and what can be done with it.

    Args:
      console: where to.
      dataset: what was summed up.
      summary: what is drawn.
      sentences_per_second: of the run that has just ended, None if it annotated nothing.
    """
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in _rows(summary, dataset.config.model.tasks):
        table.add_row(Text(name), Text(value))
    if sentences_per_second is not None:
        table.add_row("sentences a second", f"{sentences_per_second:,.0f}")
    console.print(table)
    lines = [f"Data:    {dataset.store.address(DATA_DIR)}/*.parquet"]
    if summary.counts["rejects"]:
        lines.append(f"Rejects: {dataset.store.address(REJECTS_DIR)}/*.parquet")
    check = shlex.join(["klue-beam", "verify", dataset.store.url])
    lines += [f'Query:   duckdb -c "{duckdb_query(dataset)}"', f"Check:   {check}"]
    for line in lines:
        console.print(Text(line), soft_wrap=True)
