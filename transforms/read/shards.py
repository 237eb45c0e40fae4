"""Read shards: from ranges of sources to chunks of documents and rejects, segment by segment."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import apache_beam as beam

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import Chunk, Coverage, Receipt, Shard, SourceRange
from klue_beam.transforms.base import coder as _coders  # noqa: F401  # registers the coders of Shard and Chunk
from klue_beam.transforms.formats.base import RangeReader
from klue_beam.transforms.formats.bytes import SourceChangedError, check_unchanged
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
    builder = ChunkBuilder(shard, 0, config.batch_bytes)
    for range_index, part in enumerate(shard.ranges):
        with _named(shard, part, as_planned):
            reader = FORMATS[config.input_format].open(part, config)
            builder.begin_range(range_index, reader)
            yield from _read_on(reader, builder, None)
            builder.end_range(reader)
        if builder.columns.is_full and range_index < len(shard.ranges) - 1:
            yield builder.take()
    yield builder.take(last_of_segment=True, last_of_shard=True)


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
        with _named(shard, part):
            reader = FORMATS[config.input_format].open(part, config)
            covered.append(_count_on(reader, part, None))
            breaks += [reader.stream_break] if reader.stream_break is not None else []
    yield SegmentCount(0, True, tuple(covered), tuple(breaks))


@contextlib.contextmanager
def _named(shard: Shard, part: SourceRange, as_planned: bool = False) -> Iterator[None]:
    """Name shard and source in the errors of reading; look before and after whether the source is as it was planned."""
    try:
        if as_planned:
            check_unchanged(part)
        yield
        if as_planned:
            check_unchanged(part)
    except (OSError, ValueError, SourceChangedError) as error:
        raise ShardReadError(shard, part.source, error) from error


def _read_on(reader: RangeReader, builder: ChunkBuilder, most_bytes: int | None) -> Iterator[Chunk]:
    """Read to the end of a range, or to the record that reaches position `most_bytes`; the last chunk is not given."""
    while not reader.is_at_end():
        reader.read(builder.columns, most_bytes)
        if most_bytes is not None and reader.position >= most_bytes and not reader.is_at_end():
            return
        if builder.columns.is_full and not reader.is_at_end():
            yield builder.take_within(reader)
    reader.finish(builder.columns)


def _read_stream(shard: Shard, config: ReadConfig, committed: dict[int, Receipt], as_planned: bool) -> Iterator[Chunk]:
    (part,), segment = shard.ranges, 0
    with _named(shard, part, as_planned):
        reader, last = FORMATS[config.input_format].open(part, config), False
        while not last:
            if segment in committed:
                last = _skip_segment(reader, committed[segment], part)
            else:
                builder = ChunkBuilder(shard, segment, config.batch_bytes)
                builder.begin_range(0, reader)
                yield from _read_on(reader, builder, reader.position + config.shard_bytes)
                last = reader.is_at_end()
                builder.end_range(reader)
                if as_planned:
                    check_unchanged(part)
                yield builder.take(last_of_segment=True, last_of_shard=last)
            segment += 1


def _skip_segment(reader: RangeReader, receipt: Receipt, part: SourceRange) -> bool:
    """Pass what a receipt covers; tell whether the shard ends with it."""
    (covered,) = receipt.covered
    place = (part.source, reader.record_index, reader.position)
    told = (covered.source, covered.first_record, covered.begin)
    if place != told:
        raise ValueError(
            f"The receipt of segment {receipt.segment} must begin at {place}, got {told}. Run `klue-beam verify`."
        )
    reader.skip(covered.end_record, covered.end)
    if reader.position != covered.end or reader.take_sha256() != covered.input_sha256:
        raise SourceChangedError(
            f"The bytes of a committed segment must stay as they were, got others from {covered.begin} to "
            f"{covered.end} (segment {receipt.segment}). Restore the source, or choose another output folder."
        )
    return receipt.last_of_shard


def _count_stream(shard: Shard, config: ReadConfig) -> Iterator[SegmentCount]:
    (part,), segment, last = shard.ranges, 0, False
    with _named(shard, part):
        reader = FORMATS[config.input_format].open(part, config)
        while not last:
            coverage = _count_on(reader, part, reader.position + config.shard_bytes)
            last = reader.is_at_end()
            breaks = (reader.stream_break,) if last and reader.stream_break is not None else ()
            yield SegmentCount(segment, last, (coverage,), breaks)
            segment += 1


def _count_on(reader: RangeReader, part: SourceRange, most_bytes: int | None) -> Coverage:
    first_record, begin = reader.record_index, reader.position
    reader.count(most_bytes)
    reader.is_at_end()  # looks ahead, so that a break is known
    place = (first_record, reader.record_index, begin, reader.position)
    return Coverage(part.source, *place, reader.take_sha256())


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
