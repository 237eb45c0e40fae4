"""The Parquet files of a dataset: what stands in their footers, and their rows."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from klue_beam.schemas.shard import Coverage, PublishedFile
from klue_beam.transforms.base.stores.base import Store

BATCH_ROWS: Final = 64 * 1024
"""At most so many rows are in a batch; a row group of a dataset has no more."""

READ_BYTES: Final = 1024 * 1024

FOOTER_PREFIX: Final = "klue_beam."
"""Every key of ours begins so."""

VERSION_KEY: Final = f"{FOOTER_PREFIX}version"

COVERED_NAME: Final = "covered_sha256"
"""In the footer of a file: the hash of what its segment covers, as `hash_coverage` gives it."""

_PLACE_V0_1_0: Final = ("source", "input_sha256", "first_record", "end_record", "begin_byte", "end_byte")

PROVENANCE: Final = (
    "schema_version",
    "version",
    "clean",
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
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk or the network, not the decoder
            raise
        raise ValueError(
            f"A file of a dataset must be as it was written, got {store.address(key)} ({error}). `klue-beam verify` "
            "says what is wrong with it."
        ) from error


def read_rows(store: Store, key: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Read columns of a file, in the order given, or all, some thousand rows at a time.

    Raises:
      FileNotFoundError, ValueError: as `open_parquet`.
    """
    with open_parquet(store, key) as file:
        wanted = file.schema_arrow.names if columns is None else list(columns)
        for batch in file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False):
            yield batch.select(wanted).replace_schema_metadata(None)


def read_schema(store: Store, key: str) -> pa.Schema:
    """Give the columns of a file.

    Raises:
      FileNotFoundError, ValueError: as `open_parquet`.
    """
    with open_parquet(store, key) as file:
        return file.schema_arrow.remove_metadata()


def read_footer(store: Store, key: str) -> dict[str, str]:
    """Give what is ours in a file's footer, with its prefix.

    A file of version 0.1.0, which named the one range that it covered, gives its hash as a file of today does.

    Raises:
      FileNotFoundError, ValueError: as `open_parquet`.
    """
    prefix = FOOTER_PREFIX.encode()
    with open_parquet(store, key) as file:
        metadata = file.metadata.metadata or {}
        footer = {name.decode(): value.decode() for name, value in metadata.items() if name.startswith(prefix)}
        return _from_v0_1_0(footer) if f"{FOOTER_PREFIX}begin_byte" in footer else footer


def _from_v0_1_0(footer: dict[str, str]) -> dict[str, str]:
    place = {name: footer.pop(f"{FOOTER_PREFIX}{name}", "") for name in _PLACE_V0_1_0}
    first, end, begin, end_byte = (int(place[name]) for name in _PLACE_V0_1_0[2:])
    covered = [Coverage(place["source"], first, end, begin, end_byte, place["input_sha256"])]
    return {**footer, f"{FOOTER_PREFIX}records": str(end - first), FOOTER_PREFIX + COVERED_NAME: hash_coverage(covered)}


def hash_coverage(covered: Sequence[Coverage]) -> str:
    """Hash what a segment covers: of which sources which records, where, and what lies there (hex digest)."""
    return hashlib.sha256(json.dumps([dataclasses.astuple(part) for part in covered]).encode()).hexdigest()


def describe_file(store: Store, key: str) -> PublishedFile:
    """Measure and hash a Parquet file of a dataset.

    Raises:
      FileNotFoundError, ValueError: as `open_parquet`.
    """
    size_bytes, sha256 = fingerprint_file(store, key)
    with open_parquet(store, key) as file:
        return PublishedFile(key, file.metadata.num_rows, size_bytes, sha256)


def fingerprint_file(store: Store, key: str) -> tuple[int, str]:
    """Give a file's size in bytes and the SHA-256 of its content as a hex digest.

    Raises:
      OSError: if it cannot be read.
    """
    sha256, size_bytes = hashlib.sha256(), 0
    with store.open(key) as file:
        while block := file.read(READ_BYTES):
            sha256.update(block)
            size_bytes += len(block)
    return size_bytes, sha256.hexdigest()


def read_provenance(store: Store, key: str) -> Mapping[str, Any]:
    """Give what a file says of how its rows were made; `models` by task.

    Raises:
      FileNotFoundError, ValueError: as `open_parquet`.
    """
    footer = read_footer(store, key)
    found = {name: footer[f"{FOOTER_PREFIX}{name}"] for name in PROVENANCE if f"{FOOTER_PREFIX}{name}" in footer}
    return {name: json.loads(text) if name == "models" else text for name, text in found.items()}
