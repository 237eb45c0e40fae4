"""Documents in Parquet files, read by row groups."""

import base64
import datetime
import decimal
import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.reject import MAX_RAW_BYTES
from klue_beam.transforms.formats.bytes import BLOCK_BYTES, read_blocks
from klue_beam.transforms.formats.text import Document, RecordError

MAX_BATCH_ROWS: Final = 1024


class Row(NamedTuple):
    """One row of a file: its document, or why there is none and the text's first bytes if it has any."""

    document: Document | None
    reason: str
    raw: bytes | None
    raw_bytes: int | None


class RowGroupRange(NamedTuple):
    """Row groups [begin, end) and the number of the first row in them."""

    begin: int
    end: int
    first_record: int


def cut_row_groups(path: str, shard_bytes: int) -> list[RowGroupRange]:
    """Partition a file's row groups into runs of about `shard_bytes` uncompressed; a file without any is one run.

    Raises:
      ValueError: if the file is no Parquet file.
      OSError: if it cannot be read.
    """
    with _open(path) as file:
        groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
        sizes = [(group.num_rows, group.total_byte_size) for group in groups]
    ranges, begin, first_record, rows, size_bytes = [], 0, 0, 0, 0
    for group, (n_rows, n_bytes) in enumerate(sizes):
        rows, size_bytes = rows + n_rows, size_bytes + n_bytes
        if size_bytes >= shard_bytes or group == len(sizes) - 1:
            ranges.append(RowGroupRange(begin, group + 1, first_record))
            begin, first_record, rows, size_bytes = group + 1, first_record + rows, 0, 0
    return ranges or [RowGroupRange(0, 0, 0)]


def count_rows(path: str, begin: int, end: int) -> int:
    """Count the rows of row groups [begin, end), from the file's footer."""
    with _open(path) as file:
        return sum(file.metadata.row_group(group).num_rows for group in range(begin, end))


def hash_row_groups(path: str, begin: int, end: int) -> str:
    """Hash the bytes of row groups [begin, end) as they lie in the file (hex digest).

    The stored bytes, not the values: so the hash does not depend on how a library decodes them.
    """
    sha256 = hashlib.sha256()
    with _open(path) as file:
        groups = [file.metadata.row_group(group) for group in range(begin, end)]
        columns = [group.column(index) for group in groups for index in range(group.num_columns)]
        chunks = [(c.dictionary_page_offset or c.data_page_offset, c.total_compressed_size) for c in columns]
    for chunk_begin, chunk_bytes in chunks:
        for block in read_blocks(path, chunk_begin, chunk_begin + chunk_bytes):
            sha256.update(block)
    return sha256.hexdigest()


def read_rows(path: str, begin: int, end: int, config: ReadConfig) -> Iterator[Row]:
    """Read row groups [begin, end), some hundred rows at a time.

    Gives one Row for each row that the footer counts: the rows behind a broken page are rejects, each of them.

    Raises:
      ValueError: if the file is no Parquet file.
      OSError: if it cannot be read.
    """
    with _open(path) as file:
        for group in range(begin, end):
            given, reason = 0, ""
            try:
                for row in _read_row_group(file, group, config):
                    given += 1
                    yield row
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:  # the disk, not the decoder
                    raise
                reason = f"broken Parquet page: {error}"
            for _ in range(given, file.metadata.row_group(group).num_rows):
                yield Row(None, reason or "broken Parquet page: fewer rows than its footer counts", None, None)


def _open(path: str) -> pq.ParquetFile:
    try:
        # Without the two settings a whole column of a row group is held in memory.
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=BLOCK_BYTES)
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"An input of format parquet must be a Parquet file, got {path!r} ({error}). Take it out of the inputs, or "
            "write it anew."
        ) from error


def _read_row_group(file: pq.ParquetFile, group: int, config: ReadConfig) -> Iterator[Row]:
    schema, metadata = file.schema_arrow, file.metadata.row_group(group)
    if fault := _schema_fault(schema, config):
        yield from (Row(None, fault, None, None) for _ in range(metadata.num_rows))
        return
    asked = (config.text_field, config.id_field)
    columns = [name for name in schema.names if config.keep_metadata or name in asked]
    row_bytes = max(1, metadata.total_byte_size // max(1, metadata.num_rows))
    batch_rows = max(1, min(MAX_BATCH_ROWS, config.batch_bytes // row_bytes))
    for batch in file.iter_batches(batch_rows, row_groups=[group], columns=columns, use_threads=False):
        yield from _batch_rows(batch, config)


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


def _batch_rows(batch: pa.RecordBatch, config: ReadConfig) -> Iterator[Row]:
    texts = _cells(batch.column(config.text_field))
    has_ids = config.id_field in batch.schema.names
    ids = _cells(batch.column(config.id_field)) if has_ids else [None] * batch.num_rows
    others = batch.drop_columns([config.text_field, *([config.id_field] if has_ids else [])])
    for index, (raw, raw_id) in enumerate(zip(texts, ids, strict=True)):
        try:
            text = _text(raw, config)
            doc_id = _doc_id(raw_id, config) if has_ids else None
            metadata = _row_metadata(others, index) if config.keep_metadata else None
        except RecordError as error:
            has_raw = isinstance(raw, bytes)
            yield Row(None, str(error), raw[:MAX_RAW_BYTES] if has_raw else None, len(raw) if has_raw else None)
        else:
            yield Row(Document(doc_id, text, metadata), "", None, None)


def _cells(column: pa.Array) -> list[Any]:
    """Give strings as their bytes, since Parquet does not promise that they are UTF-8, other values as they are."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type):
        column = pc.cast(column, pa.large_binary())
    cells: list[Any] = column.to_pylist()
    return cells


def _text(raw: bytes | None, config: ReadConfig) -> str:
    if raw is None:
        raise RecordError(f"wrong type: `{config.text_field}` must be a string, got null")
    if len(raw) > config.max_record_bytes:
        raise RecordError(f"record too long: {len(raw)} bytes, `max_record_bytes` is {config.max_record_bytes}")
    return _decode(raw, config.text_field)


def _decode(raw: bytes, name: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise RecordError(f"broken UTF-8: {error.reason} at byte {error.start} of `{name}`") from error


def _doc_id(raw: object, config: ReadConfig) -> str:
    if raw is None:
        raise RecordError(f"wrong type: `{config.id_field}` must be a string or a number, got null")
    if isinstance(raw, float) and not math.isfinite(raw):
        raise RecordError(f"wrong type: `{config.id_field}` is a number out of range")
    return _decode(raw, config.id_field) if isinstance(raw, bytes) else str(raw)


def _row_metadata(others: pa.RecordBatch, index: int) -> str:
    try:
        fields = {name: others.column(name)[index].as_py() for name in others.schema.names}
    except UnicodeDecodeError as error:
        raise RecordError(f"broken UTF-8: {error.reason} in the metadata") from error
    return json.dumps(_to_json(fields), ensure_ascii=False, allow_nan=False)


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
