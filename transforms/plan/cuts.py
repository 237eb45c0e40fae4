"""Where sources are cut: every range begins with a record."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.shard import Source, SourceRange
from klue_beam.transforms.formats.bytes import ByteWindow, check_unchanged, is_compressed, read_blocks
from klue_beam.transforms.formats.parquet import cut_row_groups
from klue_beam.transforms.formats.text import block_records

PlanProgress = Callable[[int, int], None]
"""Hears how many bytes have been looked through for record ends, of how many."""


class Cut(NamedTuple):
    """Where a range of a source begins and ends, and the number of the first record in it."""

    begin: int
    end: int
    first_record: int


class Scan:
    """How far the looking through of large files has come."""

    def __init__(self, total_bytes: int, progress: PlanProgress | None) -> None:
        self._total_bytes = total_bytes
        self._progress = progress
        self._scanned_bytes = 0

    def watch(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Give the blocks, and tell of each."""
        for block in blocks:
            yield block
            self._scanned_bytes += len(block)
            if self._progress is not None:
                self._progress(self._scanned_bytes, self._total_bytes)


def scanned_bytes(sources: Sequence[Source], config: ReadConfig) -> int:
    """Tell how much must be looked through to cut these sources."""
    return sum(source.size_bytes for source in sources if _is_scanned(source, config))


def cut_source(source: Source, config: ReadConfig, scan: Scan | None = None) -> list[SourceRange]:
    """Cut a source into ranges of about `shard_bytes`.

    Args:
      source: as it stands.
      config: how it is read.
      scan: hears of what is looked through.

    Raises:
      ValueError: if it is not of the format.
      SourceChangedError: if it changed meanwhile.
      OSError: if it cannot be read.
    """
    cuts = _cut(source, config, scan or Scan(source.size_bytes, None))
    return [SourceRange(source.path, source.size_bytes, source.version, *cut) for cut in cuts]


def _is_scanned(source: Source, config: ReadConfig) -> bool:
    """Whether a file must be looked through for record ends."""
    whole = config.input_format == "parquet" or (config.input_format == "text" and config.text_unit == "file")
    return not whole and not is_compressed(source.path) and source.size_bytes > config.shard_bytes


def _cut(source: Source, config: ReadConfig, scan: Scan) -> Sequence[tuple[int, int, int]]:
    if config.input_format == "parquet":
        return cut_row_groups(source.path, config.shard_bytes)
    if is_compressed(source.path):
        return [Cut(0, -1, 0)]
    if not _is_scanned(source, config):
        return [Cut(0, source.size_bytes, 0)]
    blocks = scan.watch(read_blocks(source.path, 0, source.size_bytes))
    if config.input_format == "text" and config.text_unit == "block":
        window = ByteWindow(blocks)
        starts = ((record.begin, index) for index, record in enumerate(block_records(window, config.max_record_bytes)))
        cuts = _cut_at_records(starts, source.size_bytes, config.shard_bytes)
    else:
        cuts = _cut_at_lines(blocks, source.size_bytes, config.shard_bytes)
    check_unchanged(SourceRange(source.path, source.size_bytes, source.version, 0, 0, 0))
    return cuts


def _cut_at_lines(blocks: Iterable[bytes], size_bytes: int, shard_bytes: int) -> list[Cut]:
    """Cut at the first line begin at or after every multiple of `shard_bytes`; lines are counted, not looked at."""
    starts, nominal, block_begin, n_lines, last = [(0, 0)], shard_bytes, 0, 0, b"\n"
    for block in blocks:
        counted = 0
        while nominal < size_bytes and (found := block.find(b"\n", max(0, nominal - 1 - block_begin))) >= 0:
            n_lines += block.count(b"\n", counted, found + 1)
            counted = found + 1
            starts.append((block_begin + counted, n_lines))
            nominal += shard_bytes
        n_lines += block.count(b"\n", counted)
        block_begin += len(block)
        last = block[-1:]
    n_lines += last != b"\n"
    return _fill_cuts(starts, (size_bytes, n_lines), shard_bytes)


def _cut_at_records(records: Iterable[tuple[int, int]], size_bytes: int, shard_bytes: int) -> list[Cut]:
    """Cut at the first of `records` (begin, index) at or after every multiple of `shard_bytes`."""
    starts, nominal, index = [(0, 0)], shard_bytes, -1
    for begin, index in records:
        while nominal <= begin:
            starts.append((begin, index))
            nominal += shard_bytes
    return _fill_cuts(starts, (size_bytes, index + 1), shard_bytes)


def _fill_cuts(starts: list[tuple[int, int]], end: tuple[int, int], shard_bytes: int) -> list[Cut]:
    """Make ranges of where shards begin; cuts that found no record begin behind them fall on the end."""
    n_shards = -(-end[0] // shard_bytes)
    starts = starts + [end] * (n_shards - len(starts))
    return [Cut(begin, stop, first) for (begin, first), (stop, _) in zip(starts, [*starts[1:], end], strict=True)]
