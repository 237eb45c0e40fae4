"""Documents in Parquet files, read by row groups, column by column."""

import base64
import contextlib
import datetime
import decimal
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.reject import MAX_RAW_BYTES
from klue_beam.schemas.shard import Source, SourceRange
from klue_beam.transforms.base.stores.opening import locate
from klue_beam.transforms.formats.base import Cut, Format, RangeReader, ScanProgress
from klue_beam.transforms.formats.bytes import BLOCK_BYTES, read_blocks
from klue_beam.transforms.formats.columns import Columns, Fault, Rows

MAX_BATCH_ROWS: Final = 1024
SAMPLE_ROWS: Final = 10

Bools = npt.NDArray[np.bool_]


class ParquetFormat(Format):
    """Parquet: cut between row groups, counted by rows. Its pages are compressed inside, so the file itself is not."""

    suffixes = (".parquet", ".pq")
    unit = "rows"
    unpacks = False

    def cut(self, source: Source, config: ReadConfig, progress: ScanProgress) -> Sequence[Cut]:  # noqa: ARG002  another format needs it
        """Cut into runs of row groups of about `shard_bytes` uncompressed; a file without any is one run."""
        with _open(source.address) as file:
            groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
            sizes = [(group.num_rows, group.total_byte_size) for group in groups]
        cuts, begin, first_record, rows, size_bytes = [], 0, 0, 0, 0
        for group, (n_rows, n_bytes) in enumerate(sizes):
            rows, size_bytes = rows + n_rows, size_bytes + n_bytes
            if size_bytes >= config.shard_bytes or group == len(sizes) - 1:
                cuts.append(Cut(begin, group + 1, first_record))
                begin, first_record, rows, size_bytes = group + 1, first_record + rows, 0, 0
        return cuts or [Cut(0, 0, 0)]

    def open(self, part: SourceRange, config: ReadConfig) -> "RowReader":
        """Begin to read row groups."""
        return RowReader(part, config)

    def sample_fields(self, part: SourceRange, rejected: Sequence[bytes]) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002  another format needs it
        """Give some rows of the range as far as they can be read, else the columns without values."""
        with _open(part.address) as file:
            names = file.schema_arrow.names
            try:
                batch = next(file.iter_batches(SAMPLE_ROWS, row_groups=[part.begin]))
                rows: list[Mapping[str, Any]] = batch.to_pylist()
            except (StopIteration, pa.ArrowException, OSError, ValueError):
                return [dict.fromkeys(names)]
        return rows

    def amount(self, part: SourceRange) -> int:
        """Tell how many rows the footer counts."""
        with _open(part.address) as file:
            return sum(file.metadata.row_group(group).num_rows for group in range(part.begin, part.end))


FORMAT: Final = ParquetFormat()


class RowReader(RangeReader):
    """Reads row groups, some hundred rows at a time. They are committed together, so their hash is of all of them.

    Every row that the footer counts is given: the rows behind a broken page are rejects, each of them.
    """

    def __init__(self, part: SourceRange, config: ReadConfig) -> None:
        self.record_index = part.first_record
        self._part, self._config = part, config
        self._end = part.first_record + FORMAT.amount(part)
        self._pieces = self._read_pieces()
        self._rest: Rows | None = None

    @property
    def position(self) -> int:
        """The next row's number."""
        return self.record_index

    def read(self, columns: Columns, most_bytes: int | None) -> None:  # noqa: ARG002  another format needs it
        """Add rows up to the one that fills the columns."""
        while not self.is_at_end():
            rows = self._rest if self._rest is not None else next(self._pieces)
            taken = columns.add_rows(self.record_index, rows)
            self.record_index += taken
            self._rest = _behind(rows, taken) if taken < len(rows.texts) else None
            if columns.is_full:
                break

    def count(self, most_bytes: int | None) -> None:  # noqa: ARG002  another format needs it
        """Pass all rows that the footer counts."""
        self.record_index = self._end

    def skip(self, end_record: int, end: int) -> None:  # noqa: ARG002  another format needs it
        """Pass the rows before a number."""
        self.record_index = min(end_record, self._end)

    def is_at_end(self) -> bool:
        """Tell whether all rows were given."""
        return self.record_index >= self._end

    def take_sha256(self) -> str:
        """Hash the bytes of the row groups as they lie in the file.

        The stored bytes, not the values: so the hash does not depend on how a library decodes them.
        """
        path, sha256 = self._part.address, hashlib.sha256()
        with _open(path) as file:
            groups = [file.metadata.row_group(group) for group in range(self._part.begin, self._part.end)]
            columns = [group.column(index) for group in groups for index in range(group.num_columns)]
            chunks = [(c.dictionary_page_offset or c.data_page_offset, c.total_compressed_size) for c in columns]
        for begin, n_bytes in chunks:
            for block in read_blocks(path, begin, begin + n_bytes):
                sha256.update(block)
        return sha256.hexdigest()

    def _read_pieces(self) -> Iterator[Rows]:
        with _open(self._part.address) as file:
            for group in range(self._part.begin, self._part.end):
                given, reason = 0, "broken Parquet page: fewer rows than its footer counts"
                try:
                    for rows in _read_row_group(file, group, self._config):
                        given += len(rows.texts)
                        yield rows
                except (pa.ArrowException, OSError) as error:
                    if isinstance(error, OSError) and error.errno is not None:  # the disk, not the decoder
                        raise
                    reason = f"broken Parquet page: {error}"
                yield from _refused(file.metadata.row_group(group).num_rows - given, reason)


@contextlib.contextmanager
def _open(path: str) -> Iterator[pq.ParquetFile]:
    store, key = locate(path)
    with store.open_arrow(key) as opened:
        try:
            # Without the two settings a whole column of a row group is held in memory.
            file = pq.ParquetFile(opened, pre_buffer=False, buffer_size=BLOCK_BYTES)
        except pa.ArrowInvalid as error:
            raise ValueError(
                f"An input of format parquet must be a Parquet file, got {path!r} ({error}). Take it out of the "
                "inputs, or write it anew."
            ) from error
        yield file


def _read_row_group(file: pq.ParquetFile, group: int, config: ReadConfig) -> Iterator[Rows]:
    schema, metadata = file.schema_arrow, file.metadata.row_group(group)
    if fault := _schema_fault(schema, config):
        yield from _refused(metadata.num_rows, fault)
        return
    asked = (config.text_field, config.id_field)
    columns = [name for name in schema.names if config.keep_metadata or name in asked]
    row_bytes = max(1, metadata.total_byte_size // max(1, metadata.num_rows))
    batch_rows = max(1, min(MAX_BATCH_ROWS, config.batch_bytes // row_bytes))
    for batch in file.iter_batches(batch_rows, row_groups=[group], columns=columns, use_threads=False):
        yield _to_rows(batch, config)


def _refused(n_rows: int, reason: str) -> Iterator[Rows]:
    """Give rows none of which can be read."""
    for begin in range(0, n_rows, MAX_BATCH_ROWS):
        n_here = min(MAX_BATCH_ROWS, n_rows - begin)
        faults = [Fault(row, reason, None, None) for row in range(n_here)]
        yield Rows(pa.nulls(n_here, pa.string()), None, None, faults)


def _behind(rows: Rows, taken: int) -> Rows:
    doc_ids, metadata = (column and column.slice(taken) for column in (rows.doc_ids, rows.metadata))
    faults = [fault._replace(row=fault.row - taken) for fault in rows.faults if fault.row >= taken]
    return Rows(rows.texts.slice(taken), doc_ids, metadata, faults)


def _schema_fault(schema: pa.Schema, config: ReadConfig) -> str:
    if config.text_field not in schema.names:
        return f"missing field: `{config.text_field}`"
    text_type = schema.field(config.text_field).type
    if not _is_text(text_type):
        return f"wrong type: `{config.text_field}` must be a string, got {text_type}"
    if config.id_field in schema.names:
        id_type = schema.field(config.id_field).type
        if not (_is_text(id_type) or _is_number(id_type)):
            return f"wrong type: `{config.id_field}` must be a string or a number, got {id_type}"
    return ""


def _is_text(column_type: pa.DataType) -> bool:
    if pa.types.is_dictionary(column_type):
        return _is_text(column_type.value_type)
    types = pa.types
    return bool(types.is_string(column_type) or types.is_large_string(column_type) or types.is_string_view(column_type))


def _is_number(column_type: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(column_type) or types.is_floating(column_type) or types.is_decimal(column_type))


def _to_rows(batch: pa.RecordBatch, config: ReadConfig) -> Rows:
    """Take the columns of a batch as they are, but for the rows that give no document."""
    raws = _as_bytes(batch.column(config.text_field))
    reasons: dict[int, str] = {}
    _refuse(reasons, raws.is_null(), f"wrong type: `{config.text_field}` must be a string, got null")
    lengths = pc.binary_length(raws)
    for row in _true(pc.greater(lengths, config.max_record_bytes)):
        reasons[row] = f"record too long: {lengths[row]} bytes, `max_record_bytes` is {config.max_record_bytes}"
    texts = _decode(raws, config.text_field, reasons)
    doc_ids = None
    if config.id_field in batch.schema.names:
        doc_ids = _read_ids(batch.column(config.id_field), config.id_field, reasons)
    metadata = _read_metadata(batch, config, reasons) if config.keep_metadata else None
    faults = [_make_fault(row, reasons[row], raws[row].as_py()) for row in sorted(reasons)]
    return Rows(_without(texts, reasons), doc_ids, metadata, faults)


def _as_bytes(column: pa.Array) -> pa.Array:
    """Give strings as their bytes, since Parquet does not promise that they are UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return pc.cast(column, pa.large_binary())


def _refuse(reasons: dict[int, str], where: pa.BooleanArray, reason: str) -> None:
    for row in _true(where):
        reasons.setdefault(row, reason)


def _true(where: pa.BooleanArray) -> list[int]:
    rows: list[int] = np.flatnonzero(where.fill_null(False).to_numpy(zero_copy_only=False)).tolist()
    return rows


def _without(column: pa.Array, reasons: dict[int, str]) -> pa.Array:
    """Put null where a row is refused."""
    if not reasons:
        return column
    keep: Bools = np.ones(len(column), bool)
    keep[list(reasons)] = False
    return pc.if_else(pa.array(keep), column, pa.scalar(None, column.type))


def _decode(raws: pa.Array, name: str, reasons: dict[int, str]) -> pa.Array:
    """Take bytes as strings; refuse the rows whose bytes are no UTF-8."""
    raws = _without(raws, reasons)
    try:
        return pc.cast(raws, pa.string())
    except pa.ArrowInvalid:
        for row, raw in enumerate(raws.to_pylist()):
            try:
                (raw or b"").decode()
            except UnicodeDecodeError as error:
                reasons[row] = f"broken UTF-8: {error.reason} at byte {error.start} of `{name}`"
        return pc.cast(_without(raws, reasons), pa.string())


def _read_ids(column: pa.Array, name: str, reasons: dict[int, str]) -> pa.Array:
    """Give ids as strings; numbers are written as Python writes them."""
    _refuse(reasons, column.is_null(), f"wrong type: `{name}` must be a string or a number, got null")
    if _is_text(column.type):
        return _decode(_as_bytes(column), name, reasons)
    if pa.types.is_integer(column.type):
        return pc.cast(column, pa.string())
    values = column.to_pylist()
    for row, value in enumerate(values):
        if isinstance(value, float) and not math.isfinite(value):
            reasons.setdefault(row, f"wrong type: `{name}` is a number out of range")
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _read_metadata(batch: pa.RecordBatch, config: ReadConfig, reasons: dict[int, str]) -> pa.Array:
    """Give the other columns of each row as JSON."""
    others = batch.select([name for name in batch.schema.names if name not in (config.text_field, config.id_field)])
    metadata: list[str | None] = []
    for row in range(batch.num_rows):
        try:
            fields = {name: others.column(name)[row].as_py() for name in others.schema.names}
            metadata.append(json.dumps(_to_json(fields), ensure_ascii=False, allow_nan=False))
        except UnicodeDecodeError as error:
            reasons.setdefault(row, f"broken UTF-8: {error.reason} in the metadata")
            metadata.append(None)
    return pa.array(metadata, pa.string())


def _make_fault(row: int, reason: str, raw: bytes | None) -> Fault:
    return Fault(row, reason, None if raw is None else raw[:MAX_RAW_BYTES], None if raw is None else len(raw))


def _to_json(value: Any) -> Any:
    """Turn what Parquet has and JSON lacks into JSON: NaN is null, bytes are base64, times are ISO 8601."""
    if isinstance(value, dict):
        return {str(name): _to_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, decimal.Decimal | datetime.timedelta) else value
