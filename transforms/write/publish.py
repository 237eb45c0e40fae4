"""Attempt files, and how one becomes the published file: put where absent, or adopted from an earlier attempt."""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from klue_beam.schemas.shard import PublishedFile
from klue_beam.transforms.base.stores.base import Store
from klue_beam.transforms.base.stores.opening import locate
from klue_beam.transforms.plan.files import VERSION_KEY, describe_file, read_footer, read_schema

MAX_GROUP_ROWS: Final = 64 * 1024
MAX_GROUP_BYTES: Final = 16 * 1024 * 1024
"""A row group is written as soon as it has so many rows, or so many bytes in Arrow's memory."""

DELETE: Final = "Delete that file and run the command again."


class PublishError(RuntimeError):
    """A file of a segment cannot be published, or stands there and is not this segment's."""


class AttemptFile:
    """A Parquet file of one attempt at one segment, which no reader of the dataset sees.

    Rows are held until they make a row group, so memory is bounded by that. The same batches give the same bytes.

    Args:
      store: where the dataset lies.
      name: how the file's name begins; a unique ending is added.
      schema: of the rows; its metadata go to the footer.
    """

    def __init__(self, store: Store, name: str, schema: pa.Schema) -> None:
        self.path = store.attempt_path(f"{name}.parquet")
        self._store = store
        self.rows = 0
        self._schema = schema
        self._writer = pq.ParquetWriter(self.path, schema, compression="zstd")
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows, in order."""
        self.rows += batch.num_rows
        batch_bytes = batch.nbytes
        fitting = batch.num_rows if batch_bytes <= MAX_GROUP_BYTES else batch.num_rows * MAX_GROUP_BYTES // batch_bytes
        step = max(1, min(fitting, MAX_GROUP_ROWS))
        for begin in range(0, batch.num_rows, step):
            part = batch.slice(begin, step)
            if self._held_rows + part.num_rows > MAX_GROUP_ROWS or self._held_bytes + part.nbytes > MAX_GROUP_BYTES:
                self._flush()
            self._held.append(part)
            self._held_rows += part.num_rows
            self._held_bytes += part.nbytes

    def close(self, footer: Mapping[str, str]) -> None:
        """Write what is held and the footer.

        Args:
          footer: facts that are known at the end only, as key-value metadata.
        """
        self._flush()
        self._writer.add_key_value_metadata(dict(footer))
        self._writer.close()

    def discard(self) -> None:
        """Throw the file away; does nothing where it is gone."""
        self._held.clear()
        with contextlib.suppress(Exception):  # a writer that failed half-way may not close; the file goes all the same
            self._writer.close()
        self._store.discard(self.path)

    def _flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._held).replace_schema_metadata(self._schema.metadata)
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._held.clear()
            self._held_rows = self._held_bytes = 0


def publish_file(store: Store, attempt: Path, key: str) -> tuple[PublishedFile, bool]:
    """Publish a closed attempt file, or adopt what an attempt that was cut short published before.

    Returns:
      What stands at `key` now, and whether it is this attempt's, byte for byte.

    Raises:
      PublishError: if a file stands there that this segment cannot have published.
      StoreError, OSError: if it cannot be put.
    """
    here, name = locate(str(attempt))
    own = dataclasses.replace(describe_file(here, name), path=key)
    if store.put_if_absent(key, attempt):
        return own, True
    try:
        there = describe_file(store, key)
    except (ValueError, OSError) as error:
        raise PublishError(
            f"{store.address(key)} is there without a receipt and cannot be read ({error.__cause__ or error}). {DELETE}"
        ) from error
    if there == own:
        return there, True
    if fault := _find_foreign(store, there, here, dataclasses.replace(own, path=name)):
        raise PublishError(
            f"{store.address(key)} is there without a receipt and is not this segment's: {fault}. {DELETE}"
        )
    return there, False


def _find_foreign(store: Store, there: PublishedFile, here: Store, own: PublishedFile) -> str:
    """Say in what a published file is not of this very segment: footer, but for the program's version, or rows."""
    footer, own_footer = read_footer(store, there.path), read_footer(here, own.path)
    footer[VERSION_KEY] = own_footer[VERSION_KEY]
    differing = sorted(name for name in own_footer.keys() | footer.keys() if own_footer.get(name) != footer.get(name))
    if differing:
        return f"its footer differs in {', '.join(differing)}"
    if there.rows != own.rows:
        return f"it has {there.rows} rows, not {own.rows}"
    return "" if read_schema(store, there.path).equals(read_schema(here, own.path)) else "it has other columns"
