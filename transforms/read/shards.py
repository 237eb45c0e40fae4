"""Read shards: from a range of a source to chunks of documents and rejects, segment by segment."""

import json
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple, cast

import apache_beam as beam

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.shard import Chunk, Receipt, Shard, Source
from klue_beam.transforms.base import coder as _chunk_coder  # noqa: F401  # registers the coder of Chunk
from klue_beam.transforms.formats import parquet
from klue_beam.transforms.formats.bytes import ByteWindow, SourceChangedError, check_unchanged, read_blocks
from klue_beam.transforms.formats.jsonl import parse_json
from klue_beam.transforms.formats.text import RECORD_READERS, Document, Record, RecordError, decode_record
from klue_beam.transforms.plan.plan import load_sources
from klue_beam.transforms.plan.receipts import load_receipts
from klue_beam.transforms.read.chunks import ChunkBuilder


class ShardReadError(RuntimeError):
    """A shard could not be read, for a reason that lies outside its records."""


class SegmentCount(NamedTuple):
    """What a segment covers, as its receipt must have it, counted without parsing its records.

    `stream_break` says where and why a compressed source ended too early, else None.
    """

    segment: int
    last_of_shard: bool
    first_record: int
    end_record: int
    begin_byte: int
    end_byte: int
    input_sha256: str
    stream_break: str | None


def read_shard(
    shard: Shard, config: ReadConfig, receipts: Sequence[Receipt] = (), source: Source | None = None
) -> Iterator[Chunk]:
    """Read the segments of a shard that are not committed yet, in order, each as one or more chunks.

    A plain shard is one segment. A stream's segment ends with the first record at whose end it covers `shard_bytes`.
    Each segment gives at least one chunk, an empty shard too. Memory stays flat.

    Args:
      shard: what to read.
      config: the format and its bounds; the same at every call for one dataset, since segments follow from it.
      receipts: of the shard's committed segments; what they cover is passed, and checked by its hash.
      source: the source as planned. If given, it must still be so, before and after.

    Returns:
      Chunks with DOCUMENT rows. Each record is a document, a blank or a reject. A broken compressed stream gives its
      whole records and then one reject without `record_index`, which begins with the first byte not kept.

    Raises:
      ShardReadError: if the source is gone, changed or cannot be read, or if receipts are not this shard's.
    """
    committed = {receipt.segment: receipt for receipt in receipts}
    if _is_finished(committed):
        return
    try:
        if source is not None:
            check_unchanged(source)
        parquet_input = config.input_format == "parquet"
        chunks = _read_rows(shard, config) if parquet_input else _read_records(shard, config, committed)
        for chunk in chunks:
            if source is not None and chunk.key.last_of_segment:
                check_unchanged(source)
            yield chunk
    except (OSError, ValueError, SourceChangedError) as error:
        raise ShardReadError(_name_shard(shard, error)) from error


def count_records(shard: Shard, config: ReadConfig) -> Iterator[SegmentCount]:
    """Count a shard's records again, by their ends alone: no JSON is parsed and no text decoded.

    Raises:
      ShardReadError: if the source is gone or cannot be read.
    """
    try:
        if config.input_format == "parquet":
            yield _count_rows(shard)
        else:
            yield from _count_stream(shard, config)
    except (OSError, ValueError, SourceChangedError) as error:
        raise ShardReadError(_name_shard(shard, error)) from error


def _name_shard(shard: Shard, error: Exception) -> str:
    return f"Shard {shard.shard_id} ({shard.source!r}, {shard.begin} to {shard.end}) cannot be read: {error}"


def _is_finished(committed: dict[int, Receipt]) -> bool:
    last = [segment for segment, receipt in committed.items() if receipt.last_of_shard]
    return bool(last) and all(segment in committed for segment in range(max(last)))


def _open_window(shard: Shard) -> ByteWindow:
    return ByteWindow(read_blocks(shard.source, shard.begin, shard.end), shard.begin)


def _records(window: ByteWindow, config: ReadConfig) -> Iterator[Record]:
    unit = config.text_unit if config.input_format == "text" else "line"
    return RECORD_READERS[unit](window, config.max_record_bytes)


def _read_records(shard: Shard, config: ReadConfig, committed: dict[int, Receipt]) -> Iterator[Chunk]:
    window = _open_window(shard)
    segment, record_index, last = 0, shard.first_record, False
    while not last:
        if segment in committed:
            record_index, last = _pass_segment(window, record_index, committed[segment], shard)
        else:
            record_index, last = yield from _read_segment(window, record_index, segment, shard, config)
        segment += 1


def _pass_segment(window: ByteWindow, record_index: int, receipt: Receipt, shard: Shard) -> tuple[int, bool]:
    """Pass what a receipt covers."""
    place, covered = (
        (shard.source, record_index, window.position),
        (receipt.source, receipt.first_record, receipt.begin_byte),
    )
    if place != covered:
        raise ValueError(
            f"The receipt of segment {receipt.segment} must begin at {place}, got {covered}. Run `klue-beam verify`."
        )
    window.advance_to(receipt.end_byte)
    if window.position != receipt.end_byte or window.take_sha256() != receipt.input_sha256:
        raise SourceChangedError(
            f"The bytes of a committed segment must stay as they were, got others from {receipt.begin_byte} to "
            f"{receipt.end_byte} (segment {receipt.segment}). Restore the source, or choose another output folder."
        )
    return receipt.end_record, receipt.last_of_shard


def _read_segment(
    window: ByteWindow, record_index: int, segment: int, shard: Shard, config: ReadConfig
) -> Generator[Chunk, None, tuple[int, bool]]:
    builder = ChunkBuilder(shard, segment, record_index, window.position)
    begin_byte, tail = window.position, None
    for record in _records(window, config):
        if record.complete:
            _add_record(builder, record, record_index, shard, config)
            record_index += 1
        else:
            tail = record
        if window.at_end() or _is_full(shard, window.position - begin_byte, config):
            break
        if builder.weight_bytes >= config.batch_bytes:
            yield builder.take(record_index, window.position)
    last = window.at_end()
    if last and window.stream_break is not None:
        lost = tail or Record(window.position, window.position, b"", 0, False)
        builder.add_reject(None, lost.begin, _break_reason(window), lost.content, lost.content_bytes)
    yield builder.take(record_index, window.position, last_of_shard=last, input_sha256=window.take_sha256())
    return record_index, last


def _is_full(shard: Shard, segment_bytes: int, config: ReadConfig) -> bool:
    return shard.is_stream and segment_bytes >= config.shard_bytes


def _break_reason(window: ByteWindow) -> str:
    return f"broken stream: {window.stream_break} (at byte {window.position} of what it decompresses to)"


def _add_record(builder: ChunkBuilder, record: Record, record_index: int, shard: Shard, config: ReadConfig) -> None:
    try:
        document = _parse_record(record, config)
    except RecordError as error:
        builder.add_reject(record_index, record.begin, str(error), record.content, record.content_bytes)
        return
    whole_file = config.input_format == "text" and config.text_unit == "file"
    builder.add_document(record_index, document, shard.source if whole_file else f"{shard.source}#{record_index}")


def _parse_record(record: Record, config: ReadConfig) -> Document:
    text = decode_record(record, config.max_record_bytes)
    if config.input_format == "jsonl" and text and not text.isspace():
        return parse_json(text, config)
    return Document(None, text, None)


def _read_rows(shard: Shard, config: ReadConfig) -> Iterator[Chunk]:
    record_index = shard.first_record
    builder = ChunkBuilder(shard, 0, record_index, record_index)
    for row in parquet.read_rows(shard.source, shard.begin, shard.end, config):
        if builder.weight_bytes >= config.batch_bytes:
            yield builder.take(record_index, record_index)
        if row.document is None:
            builder.add_reject(record_index, None, row.reason, row.raw, row.raw_bytes)
        else:
            builder.add_document(record_index, row.document, f"{shard.source}#{record_index}")
        record_index += 1
    digest = parquet.hash_row_groups(shard.source, shard.begin, shard.end)
    yield builder.take(record_index, record_index, last_of_shard=True, input_sha256=digest)


def _count_rows(shard: Shard) -> SegmentCount:
    end_record = shard.first_record + parquet.count_rows(shard.source, shard.begin, shard.end)
    digest = parquet.hash_row_groups(shard.source, shard.begin, shard.end)
    return SegmentCount(0, True, shard.first_record, end_record, shard.first_record, end_record, digest, None)


def _count_stream(shard: Shard, config: ReadConfig) -> Iterator[SegmentCount]:
    window = _open_window(shard)
    segment, record_index, last = 0, shard.first_record, False
    while not last:
        first_record, begin_byte = record_index, window.position
        record_index += _count_segment(window, shard, config)
        last = window.at_end()
        broken = _break_reason(window) if last and window.stream_break is not None else None
        place = (first_record, record_index, begin_byte, window.position)
        yield SegmentCount(segment, last, *place, window.take_sha256(), broken)
        segment += 1


def _count_segment(window: ByteWindow, shard: Shard, config: ReadConfig) -> int:
    """Pass a segment's records and count them."""
    if config.input_format == "jsonl" or config.text_unit == "line":
        return window.advance_lines(config.shard_bytes if shard.is_stream else -1)
    n_records, begin_byte = 0, window.position
    for record in _records(window, config):
        n_records += record.complete
        if _is_full(shard, window.position - begin_byte, config):
            break
    return n_records


class ShardCoder(beam.coders.Coder):
    """A shard as JSON: deterministic, since runners key and retry by it."""

    def encode(self, value: Shard) -> bytes:
        """Give the shard as bytes."""
        return json.dumps([value.shard_id, value.source, value.begin, value.end, value.first_record]).encode()

    def decode(self, encoded: bytes) -> Shard:
        """Read a shard back."""
        return Shard(*json.loads(encoded))

    def is_deterministic(self) -> bool:
        """Say that equal shards give equal bytes."""
        return True

    def to_type_hint(self) -> Any:
        """Name the type that this coder is for."""
        return Shard


beam.coders.registry.register_coder(Shard, ShardCoder)


@beam.typehints.with_input_types(Shard)
@beam.typehints.with_output_types(Chunk)
class _ReadShard(beam.DoFn):
    def __init__(self, dataset: str, config: ReadConfig) -> None:
        self._dataset = dataset
        self._config = config
        self._sources: dict[str, Source] = {}

    def process(self, shard: Shard) -> Iterator[Chunk]:
        if shard.source not in self._sources:
            self._sources = {source.path: source for source in load_sources(self._dataset)}
        if shard.source not in self._sources:
            raise ShardReadError(_name_shard(shard, ValueError("the dataset's plan does not know the source")))
        # Receipts first: a bundle can run again, here or elsewhere, after its segments were committed.
        receipts = load_receipts(self._dataset, shard.shard_id)
        yield from read_shard(shard, self._config, receipts, self._sources[shard.source])


class ReadShards(beam.PTransform):
    """Read `PCollection[Shard]` as `PCollection[Chunk]` with DOCUMENT rows: `read_shard`, past what is committed.

    Args:
      dataset: the dataset's folder; the plan in it says how each source must stand, the receipts what is done.
      config: how sources become documents.
    """

    def __init__(self, dataset: str, config: ReadConfig) -> None:
        super().__init__()
        self._dataset = dataset
        self._config = config

    def expand(self, shards: beam.PCollection[Shard]) -> beam.PCollection[Chunk]:
        """Apply the transform."""
        return cast("beam.PCollection[Chunk]", shards | beam.ParDo(_ReadShard(self._dataset, self._config)))
