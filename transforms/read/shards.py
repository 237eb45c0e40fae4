"""Read shards: from ranges of sources to chunks of documents and rejects, segment by segment."""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple, cast

import apache_beam as beam

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.shard import Chunk, Coverage, Receipt, Shard, SourceRange
from klue_beam.transforms.base import coder as _coders  # noqa: F401  # registers the coders of Shard and Chunk
from klue_beam.transforms.formats import parquet
from klue_beam.transforms.formats.bytes import ByteWindow, SourceChangedError, check_unchanged, read_blocks
from klue_beam.transforms.formats.jsonl import parse_json
from klue_beam.transforms.formats.text import RECORD_READERS, Document, Record, RecordError, decode_record
from klue_beam.transforms.plan.receipts import is_complete, load_receipts
from klue_beam.transforms.read.chunks import ChunkBuilder


class ShardReadError(RuntimeError):
    """A shard could not be read, for a reason that lies outside its records.

    Attributes:
      source: the source at which it failed.
    """

    def __init__(self, shard: Shard, source: str, error: Exception) -> None:
        at = "" if len(shard.ranges) == 1 else f" at {source!r}"
        super().__init__(f"{shard.describe()} cannot be read{at}: {error}")
        self.source = source


class SegmentCount(NamedTuple):
    """What a segment covers, as its receipt must have it, counted without parsing its records.

    `breaks` says for each compressed source that ended too early where and why.
    """

    segment: int
    last_of_shard: bool
    covered: tuple[Coverage, ...]
    breaks: tuple[str, ...]


def read_shard(
    shard: Shard, config: ReadConfig, receipts: Sequence[Receipt] = (), *, as_planned: bool = True
) -> Iterator[Chunk]:
    """Read the segments of a shard that are not committed yet, in order, each as one or more chunks.

    A stream's segment ends with the first record at whose end it covers `shard_bytes`; every other shard is one
    segment. Each segment gives at least one chunk, an empty shard too. Memory stays flat.

    Args:
      shard: what to read.
      config: the format and its bounds; the same at every call for one dataset, since segments follow from it.
      receipts: of the shard's committed segments; what they cover is passed, and checked by its hash.
      as_planned: whether each source must be as it was planned, before and after it is read.

    Returns:
      Chunks with DOCUMENT rows. Each record is a document, a blank or a reject. A broken compressed stream gives its
      whole records and then one reject without `record_index`, which begins with the first byte not kept.

    Raises:
      ShardReadError: if a source is gone, changed or cannot be read, or if receipts are not this shard's.
    """
    committed = {receipt.segment: receipt for receipt in receipts}
    if is_complete(receipts):
        return
    if shard.is_stream:
        yield from _read_stream(shard, config, committed, as_planned)
        return
    builder = ChunkBuilder(shard, 0)
    for range_index, part in enumerate(shard.ranges):
        with _named(shard, part.source):
            if as_planned:
                check_unchanged(part)
            read = _read_rows if config.input_format == "parquet" else _read_records
            yield from read(part, range_index, builder, config)
            if as_planned:
                check_unchanged(part)
    yield builder.take_last(last_of_shard=True)


def count_records(shard: Shard, config: ReadConfig) -> Iterator[SegmentCount]:
    """Count a shard's records again, by their ends alone: no JSON is parsed and no text decoded.

    Raises:
      ShardReadError: if a source is gone or cannot be read.
    """
    if shard.is_stream:
        yield from _count_stream(shard, config)
        return
    covered, breaks = [], []
    for part in shard.ranges:
        with _named(shard, part.source):
            coverage, stream_break = _count_range(part, config)
        covered.append(coverage)
        breaks += [stream_break] if stream_break else []
    yield SegmentCount(0, True, tuple(covered), tuple(breaks))


@contextlib.contextmanager
def _named(shard: Shard, source: str) -> Iterator[None]:
    """Name shard and source in the errors of reading."""
    try:
        yield
    except (OSError, ValueError, SourceChangedError) as error:
        raise ShardReadError(shard, source, error) from error


def _open_window(part: SourceRange) -> ByteWindow:
    return ByteWindow(read_blocks(part.source, part.begin, part.end), part.begin)


def _records(window: ByteWindow, config: ReadConfig) -> Iterator[Record]:
    unit = config.text_unit if config.input_format == "text" else "line"
    return RECORD_READERS[unit](window, config.max_record_bytes)


def _read_stream(shard: Shard, config: ReadConfig, committed: dict[int, Receipt], as_planned: bool) -> Iterator[Chunk]:
    (part,) = shard.ranges
    with _named(shard, part.source):
        if as_planned:
            check_unchanged(part)
        window = _open_window(part)
        segment, record_index, last = 0, part.first_record, False
        while not last:
            if segment in committed:
                record_index, last = _pass_segment(window, record_index, committed[segment], part)
            else:
                builder = ChunkBuilder(shard, segment)
                builder.begin_range(0, record_index, window.position)
                record_index = yield from _read_segment(window, record_index, builder, config, config.shard_bytes)
                last = window.at_end()
                if as_planned:
                    check_unchanged(part)
                yield builder.take_last(last_of_shard=last)
            segment += 1


def _pass_segment(window: ByteWindow, record_index: int, receipt: Receipt, part: SourceRange) -> tuple[int, bool]:
    """Pass what a receipt covers."""
    (covered,) = receipt.covered
    place = (part.source, record_index, window.position)
    told = (covered.source, covered.first_record, covered.begin)
    if place != told:
        raise ValueError(
            f"The receipt of segment {receipt.segment} must begin at {place}, got {told}. Run `klue-beam verify`."
        )
    window.advance_to(covered.end)
    if window.position != covered.end or window.take_sha256() != covered.input_sha256:
        raise SourceChangedError(
            f"The bytes of a committed segment must stay as they were, got others from {covered.begin} to "
            f"{covered.end} (segment {receipt.segment}). Restore the source, or choose another output folder."
        )
    return covered.end_record, receipt.last_of_shard


def _read_segment(
    window: ByteWindow, record_index: int, builder: ChunkBuilder, config: ReadConfig, most_bytes: int | None = None
) -> Generator[Chunk, None, int]:
    """Read on to the end, or until `most_bytes` are covered, without the last chunk; give the next record's number."""
    begin, tail = window.position, None
    for record in _records(window, config):
        if record.complete:
            _add_record(builder, record, record_index, config)
            record_index += 1
        else:
            tail = record
        if window.at_end() or _is_full(window.position - begin, most_bytes):
            break
        if builder.weight_bytes >= config.batch_bytes:
            yield builder.take(record_index, window.position)
    if window.at_end() and window.stream_break is not None:
        lost = tail or Record(window.position, window.position, b"", 0, False)
        builder.add_reject(None, lost.begin, _break_reason(window), lost.content, lost.content_bytes)
    builder.end_range(record_index, window.position, window.take_sha256())
    return record_index


def _read_records(part: SourceRange, range_index: int, builder: ChunkBuilder, config: ReadConfig) -> Iterator[Chunk]:
    window = _open_window(part)
    builder.begin_range(range_index, part.first_record, window.position)
    yield from _read_segment(window, part.first_record, builder, config)


def _is_full(segment_bytes: int, most_bytes: int | None) -> bool:
    return most_bytes is not None and segment_bytes >= most_bytes


def _break_reason(window: ByteWindow) -> str:
    return f"broken stream: {window.stream_break} (at byte {window.position} of what it decompresses to)"


def _add_record(builder: ChunkBuilder, record: Record, record_index: int, config: ReadConfig) -> None:
    try:
        document = _parse_record(record, config)
    except RecordError as error:
        builder.add_reject(record_index, record.begin, str(error), record.content, record.content_bytes)
        return
    whole_file = config.input_format == "text" and config.text_unit == "file"
    builder.add_document(record_index, document, is_whole_source=whole_file)


def _parse_record(record: Record, config: ReadConfig) -> Document:
    text = decode_record(record, config.max_record_bytes)
    if config.input_format == "jsonl" and text and not text.isspace():
        return parse_json(text, config)
    return Document(None, text, None)


def _read_rows(part: SourceRange, range_index: int, builder: ChunkBuilder, config: ReadConfig) -> Iterator[Chunk]:
    record_index = part.first_record
    builder.begin_range(range_index, record_index, record_index)
    for row in parquet.read_rows(part.source, part.begin, part.end, config):
        if builder.weight_bytes >= config.batch_bytes:
            yield builder.take(record_index, record_index)
        if row.document is None:
            builder.add_reject(record_index, None, row.reason, row.raw, row.raw_bytes)
        else:
            builder.add_document(record_index, row.document)
        record_index += 1
    builder.end_range(record_index, record_index, parquet.hash_row_groups(part.source, part.begin, part.end))


def _count_range(part: SourceRange, config: ReadConfig) -> tuple[Coverage, str | None]:
    """Count a range that is not cut into segments; give its break too, if there is one."""
    if config.input_format == "parquet":
        end = part.first_record + parquet.count_rows(part.source, part.begin, part.end)
        digest = parquet.hash_row_groups(part.source, part.begin, part.end)
        return Coverage(part.source, part.first_record, end, part.first_record, end, digest), None
    return _count_segment(_open_window(part), part, part.first_record, config)


def _count_stream(shard: Shard, config: ReadConfig) -> Iterator[SegmentCount]:
    (part,) = shard.ranges
    with _named(shard, part.source):
        window = _open_window(part)
        segment, record_index, last = 0, part.first_record, False
        while not last:
            coverage, stream_break = _count_segment(window, part, record_index, config, config.shard_bytes)
            last, record_index = window.at_end(), coverage.end_record
            yield SegmentCount(segment, last, (coverage,), (stream_break,) if stream_break else ())
            segment += 1


def _count_segment(
    window: ByteWindow, part: SourceRange, first_record: int, config: ReadConfig, most_bytes: int | None = None
) -> tuple[Coverage, str | None]:
    """Pass a segment's records and count them."""
    begin = window.position
    end_record = first_record + _pass_records(window, config, most_bytes)
    stream_break = _break_reason(window) if window.at_end() and window.stream_break is not None else None
    place = (first_record, end_record, begin, window.position)
    return Coverage(part.source, *place, window.take_sha256()), stream_break


def _pass_records(window: ByteWindow, config: ReadConfig, most_bytes: int | None) -> int:
    if config.input_format == "jsonl" or config.text_unit == "line":
        return window.advance_lines(-1 if most_bytes is None else most_bytes)
    n_records, begin = 0, window.position
    for record in _records(window, config):
        n_records += record.complete
        if _is_full(window.position - begin, most_bytes):
            break
    return n_records


@beam.typehints.with_input_types(Shard)
@beam.typehints.with_output_types(Chunk)
class _ReadShard(beam.DoFn):
    def __init__(self, dataset: str, config: ReadConfig) -> None:
        self._dataset = dataset
        self._config = config

    def process(self, shard: Shard) -> Iterator[Chunk]:
        # Receipts first: a bundle can run again, here or elsewhere, after its segments were committed.
        yield from read_shard(shard, self._config, load_receipts(self._dataset, shard.shard_id))


class ReadShards(beam.PTransform):
    """Read `PCollection[Shard]` as `PCollection[Chunk]` with DOCUMENT rows: `read_shard`, past what is committed.

    Args:
      dataset: the dataset's folder; the receipts in it say what is done.
      config: how sources become documents.
    """

    def __init__(self, dataset: str, config: ReadConfig) -> None:
        super().__init__()
        self._dataset = dataset
        self._config = config

    def expand(self, shards: beam.PCollection[Shard]) -> beam.PCollection[Chunk]:
        """Apply the transform."""
        return cast("beam.PCollection[Chunk]", shards | beam.ParDo(_ReadShard(self._dataset, self._config)))
