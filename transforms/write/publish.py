"""Attempt files, and how one becomes the published file: put where absent, or adopted from an earlier attempt."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from klue_beam.schemas.shard import ATTEMPTS_DIR, Coverage, PublishedFile
from klue_beam.transforms.plan.files import FOOTER_PREFIX, VERSION_KEY

MAX_GROUP_ROWS: Final = 64 * 1024
MAX_GROUP_BYTES: Final = 16 * 1024 * 1024
"""A row group is written as soon as it has so many rows, or so many bytes in Arrow's memory."""

COVERED_NAME: Final = "covered_sha256"
"""In the footer of a file: the hash of what its segment covers, as `hash_coverage` gives it."""

DELETE: Final = "Delete that file and run the command again."


class PublishError(RuntimeError):
    """A file of a segment cannot be published, or stands there and is not this segment's."""


class AttemptFile:
    """A Parquet file of one attempt at one segment, which no reader of the dataset sees.

    Rows are held until they make a row group, so memory is bounded by that. The same batches give the same bytes.

    Args:
      dataset: the dataset's folder.
      name: how the file's name begins; a unique ending is added.
      schema: of the rows; its metadata go to the footer.
    """

    def __init__(self, dataset: Path, name: str, schema: pa.Schema) -> None:
        folder = dataset / ATTEMPTS_DIR
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}-{uuid.uuid4().hex}.parquet"
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
        """Write what is held and the footer, and bring the file to the disk.

        Args:
          footer: facts that are known at the end only, as key-value metadata.
        """
        self._flush()
        self._writer.add_key_value_metadata(dict(footer))
        self._writer.close()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())

    def discard(self) -> None:
        """Throw the file away; does nothing where it is gone."""
        self._held.clear()
        with contextlib.suppress(Exception):  # a writer that failed half-way may not close; the file goes all the same
            self._writer.close()
        self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._held).replace_schema_metadata(self._schema.metadata)
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._held.clear()
            self._held_rows = self._held_bytes = 0


def put_if_absent(attempt: Path, target: Path) -> bool:
    """Give a finished file its published name, unless that is taken; at no moment is a part of it seen there.

    Returns:
      Whether it was put; False where a file of that name is there already, which is left as it is.

    Raises:
      PublishError: where the file system cannot do it, or the attempt file is gone.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(attempt, target)
    except FileExistsError:
        return False
    except FileNotFoundError as error:
        raise PublishError(
            f"The attempt file {attempt} is gone: another run into the same folder cleared it. Let one run at a time "
            "write to a dataset, and run the command again."
        ) from error
    except OSError as error:
        raise PublishError(
            f"{target} cannot be published by a hard link ({error}). Choose a dataset folder on a file system that has "
            "hard links and room for the file."
        ) from error
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def publish_file(attempt: Path, dataset: Path, target: Path) -> tuple[PublishedFile, bool]:
    """Publish a closed attempt file, or adopt what an attempt that was cut short published before.

    Returns:
      What stands at `target` now, and whether it is this attempt's, byte for byte.

    Raises:
      PublishError: if a file stands there that this segment cannot have published.
    """
    own = dataclasses.replace(describe_file(dataset, attempt), path=target.relative_to(dataset).as_posix())
    if put_if_absent(attempt, target):
        return own, True
    try:
        there = describe_file(dataset, target)
    except (pa.ArrowException, OSError) as error:
        raise PublishError(f"{target} is there without a receipt and cannot be read ({error}). {DELETE}") from error
    if there != own:
        _check_adoptable(target, attempt)
    return there, there == own


def describe_file(dataset: Path, path: Path) -> PublishedFile:
    """Measure and hash a Parquet file of a dataset."""
    size_bytes, sha256 = fingerprint_file(path)
    return PublishedFile(path.relative_to(dataset).as_posix(), pq.read_metadata(path).num_rows, size_bytes, sha256)


def fingerprint_file(path: Path) -> tuple[int, str]:
    """Give a file's size in bytes and the SHA-256 of its content as a hex digest."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), sha256


def hash_coverage(covered: Sequence[Coverage]) -> str:
    """Hash what a segment covers: of which sources which records, where, and what lies there (hex digest)."""
    return hashlib.sha256(json.dumps([dataclasses.astuple(part) for part in covered]).encode()).hexdigest()


def read_footer(path: Path) -> dict[str, str]:
    """Give the provenance in a Parquet file's footer: every key that begins with FOOTER_PREFIX.

    A file of version 0.1.0, which named the one range that it covered, gives its hash as a file of today does.

    Raises:
      ValueError: if there is a key that no version wrote.
    """
    metadata = pq.read_metadata(path).metadata or {}
    prefix = FOOTER_PREFIX.encode()
    footer = {key.decode(): value.decode() for key, value in metadata.items() if key.startswith(prefix)}
    if f"{FOOTER_PREFIX}begin_byte" not in footer:
        return footer
    source, sha256 = (footer.pop(f"{FOOTER_PREFIX}{name}") for name in ("source", "input_sha256"))
    names = ("first_record", "end_record", "begin_byte", "end_byte")
    first, end, begin, end_byte = (int(footer.pop(f"{FOOTER_PREFIX}{name}")) for name in names)
    covered = [Coverage(source, first, end, begin, end_byte, sha256)]
    return {**footer, f"{FOOTER_PREFIX}records": str(end - first), FOOTER_PREFIX + COVERED_NAME: hash_coverage(covered)}


def clear_attempts(dataset: str | Path) -> int:
    """Remove what killed attempts left. Only for a driver that knows that nobody else writes to the dataset.

    Returns:
      How many files were removed.
    """
    folder = Path(dataset) / ATTEMPTS_DIR
    if not folder.is_dir():
        return 0
    left = sum(1 for _ in folder.iterdir())
    shutil.rmtree(folder)
    return left


def _check_adoptable(published: Path, attempt: Path) -> None:
    """Check that a published file is of this very segment: its footer, but for the program's version, and its rows."""
    there, own = read_footer(published), read_footer(attempt)
    there[VERSION_KEY] = own[VERSION_KEY]
    differing = sorted(key for key in own.keys() | there.keys() if own.get(key) != there.get(key))
    rows, own_rows = (pq.read_metadata(path).num_rows for path in (published, attempt))
    if differing:
        what = f"its footer differs in {', '.join(differing)}"
    elif rows != own_rows:
        what = f"it has {rows} rows, not {own_rows}"
    elif not pq.read_schema(published).equals(pq.read_schema(attempt)):
        what = "it has other columns"
    else:
        return
    raise PublishError(f"{published} is there without a receipt and is not this segment's: {what}. {DELETE}")
