"""The Parquet files of a dataset: what stands in their footers, and their rows."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from klue_beam.transforms.base.stores.base import Store

BATCH_ROWS: Final = 64 * 1024
"""At most so many rows are in a batch; a row group of a dataset has no more."""

FOOTER_PREFIX: Final = "klue_beam."
"""Every key of ours begins so."""

VERSION_KEY: Final = f"{FOOTER_PREFIX}version"

PROVENANCE: Final = (
    "schema_version",
    "version",
    "splitter",
    "splitter_version",
    "models",
    "precision",
    "label_sets_version",
    "config_hash",
)
"""The keys, without their prefix, of what made the rows; the others tell of one segment."""


@contextlib.contextmanager
def open_parquet(store: Store, key: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file of a dataset.

    Raises:
      FileNotFoundError: if it is gone.
      ValueError: if it is broken, also while the context lasts.
    """
    try:
        with store.open_arrow(key) as opened, pq.ParquetFile(opened, pre_buffer=False) as file:
            yield file
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        raise ValueError(
            f"A file of a dataset must be as it was written, got {store.address(key)} ({error}). `klue-beam verify` "
            "says what is wrong with it."
        ) from error


def read_rows(store: Store, key: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Read columns of a file, in the order given, some thousand rows at a time.

    Raises:
      FileNotFoundError, ValueError: as `open_parquet`.
    """
    with open_parquet(store, key) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False):
            yield batch.select(list(columns)).replace_schema_metadata(None)


def read_schema(store: Store, key: str) -> pa.Schema:
    """Give the columns of a file.

    Raises:
      FileNotFoundError, ValueError: as `open_parquet`.
    """
    with open_parquet(store, key) as file:
        return file.schema_arrow.remove_metadata()


def read_footer(store: Store, key: str) -> dict[str, str]:
    """Give what is ours in a file's footer, with its prefix.

    Raises:
      FileNotFoundError, ValueError: as `open_parquet`.
    """
    with open_parquet(store, key) as file:
        metadata = file.metadata.metadata or {}
        return {
            key.decode(): value.decode() for key, value in metadata.items() if key.startswith(FOOTER_PREFIX.encode())
        }


def read_provenance(store: Store, key: str) -> Mapping[str, Any]:
    """Give what a file says of how its rows were made; `models` by task.

    Raises:
      FileNotFoundError, ValueError: as `open_parquet`.
    """
    footer = read_footer(store, key)
    found = {name: footer[f"{FOOTER_PREFIX}{name}"] for name in PROVENANCE if f"{FOOTER_PREFIX}{name}" in footer}
    return {name: json.loads(text) if name == "models" else text for name, text in found.items()}
