"""A dataset read back: its plan, its receipts, and the rows that they name, one batch after another."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from klue_beam.schemas.config import AnnotateConfig
from klue_beam.schemas.dropped import DROPPED
from klue_beam.schemas.registry import TASKS
from klue_beam.schemas.reject import REJECT
from klue_beam.schemas.sentence import SENTENCE
from klue_beam.schemas.shard import Plan, PublishedFile, Receipt
from klue_beam.transforms.base.stores.base import Store
from klue_beam.transforms.base.stores.opening import open_store
from klue_beam.transforms.plan import tables
from klue_beam.transforms.plan.files import read_provenance, read_rows, read_schema
from klue_beam.transforms.plan.plan import load_plan
from klue_beam.transforms.plan.receipts import read_receipts

RowProgress = Callable[[int], object]
"""Hears how many rows were read since it was called before."""


@dataclass(frozen=True)
class Dataset:
    """A dataset as its receipts name it: files that no receipt names are not seen.

    Rows come in the order of shards and segments, as Arrow batches that are read when they are asked for, so that
    memory stays flat however large the dataset is.

    Attributes:
      store: where it lies.
      plan: its sources, their shards and the configuration.
      known_receipts: its receipts where they are loaded already, else None.
      progress: told how many rows each batch of `rows` has, when it is read.
    """

    store: Store
    plan: Plan
    known_receipts: Sequence[Receipt] | None = None
    progress: RowProgress | None = None

    @functools.cached_property
    def config(self) -> AnnotateConfig:
        """The configuration that all rows share."""
        return AnnotateConfig.from_dict(self.plan.config)

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """The columns of the rows, as the first file has them, so that the packages of their tasks need not be here."""
        if (first := self._first_file) is not None:
            return read_schema(self.store, first.path)
        tasks = [TASKS[task].field for task in self.config.model.tasks if task in TASKS]
        names = ["metadata", "flags"] if self.config.read.keep_metadata else ["flags"]
        sentence = [field for field in SENTENCE if field.name not in ("metadata", "flags")]
        return pa.schema([*sentence, *tasks, *(SENTENCE.field(name) for name in names)])

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What made the rows: splitter, models with their hashes by task, precision, versions; none without rows."""
        return {} if self._first_file is None else read_provenance(self.store, self._first_file.path)

    @functools.cached_property
    def _first_file(self) -> PublishedFile | None:
        return next((receipt.data for receipt in self.receipts() if receipt.data is not None), None)

    def receipts(self) -> Iterator[Receipt]:
        """Give the receipts, in the order of shards and segments.

        Raises:
          ValueError: if one is broken.
          OSError: if one cannot be read.
        """
        yield from read_receipts(self.store) if self.known_receipts is None else self.known_receipts

    def rows(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Read the annotated sentences.

        Args:
          columns: the names of those wanted, in this order; all of `schema` if None.

        Raises:
          ValueError: if there is no such column. While the batches are read: if a file or receipt is broken.
          FileNotFoundError: while they are read, if a file that a receipt names is gone.
        """
        return self._read("data", self.schema, columns)

    def segment_rows(self, receipt: Receipt) -> Iterator[pa.RecordBatch]:
        """Read the annotated sentences of one segment.

        Raises:
          ValueError, FileNotFoundError: as `rows`.
        """
        if receipt.data is not None:
            yield from read_rows(self.store, receipt.data.path, self.schema.names)

    def dropped(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Read what cleaning left out, with the columns of DROPPED.

        Raises:
          ValueError, FileNotFoundError: as `rows`.
        """
        return self._read("dropped", DROPPED, columns)

    def rejects(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Read the records that could not be annotated, with the columns of REJECT.

        Raises:
          ValueError, FileNotFoundError: as `rows`.
        """
        return self._read("rejects", REJECT, columns)

    def duckdb(self) -> Any:
        """Open a DuckDB connection with the views sentences, documents, entities, relations, arcs, rejects and dropped.

        A view is there if the dataset has its columns. Spans are called `begin_char` and `end_char` in all of them,
        since `end` would have to stand in quotes.

        Returns:
          A `duckdb.DuckDBPyConnection` in memory.

        Raises:
          ImportError: if duckdb is not installed.
          ValueError: if a receipt is broken, or the files are where DuckDB cannot read them.
        """
        files: dict[str, list[str]] = {"data": [], "rejects": [], "dropped": []}
        for receipt in self.receipts():
            for part, found in files.items():
                file: PublishedFile | None = getattr(receipt, part)
                if file is not None:
                    found.append(self.store.address(file.path))
        return tables.connect(
            [
                tables.Table("sentences", self.schema, files["data"]),
                tables.Table("rejects", REJECT, files["rejects"]),
                tables.Table("dropped", DROPPED, files["dropped"]),
            ]
        )

    def _read(self, part: str, schema: pa.Schema, columns: Sequence[str] | None) -> pa.RecordBatchReader:
        wanted = schema.names if columns is None else list(columns)
        if missing := [name for name in wanted if name not in schema.names]:
            raise ValueError(
                f"`columns` must be out of {', '.join(schema.names)}, got {', '.join(missing)}. Leave out what the "
                "dataset does not have."
            )
        chosen = pa.schema([schema.field(name) for name in wanted])
        return pa.RecordBatchReader.from_batches(chosen, self._read_batches(part, wanted))

    def _read_batches(self, part: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for receipt in self.receipts():
            file: PublishedFile | None = getattr(receipt, part)
            if file is None:
                continue
            for batch in read_rows(self.store, file.path, columns):
                yield batch
                if part == "data" and self.progress is not None:
                    self.progress(batch.num_rows)


def open_dataset(path: str | Path, progress: RowProgress | None = None) -> Dataset:
    """Open a dataset to read it back; one that is still being made too, as far as it is committed.

    Args:
      path: what was the --output of `klue-beam annotate`.
      progress: told how many rows each batch of its `rows` has, when it is read.

    Raises:
      FileNotFoundError: if there is no dataset.
      ValueError: if its plan is broken, or `path` is an address that cannot be opened.
    """
    return Dataset(open_store(path), load_plan(str(path)), progress=progress)
