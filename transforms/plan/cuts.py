"""Sources cut into ranges, and ranges gathered into shards."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import Shard, Source, SourceRange
from klue_beam.transforms.formats.bytes import is_compressed

PlanProgress = Callable[[int, int], object]
"""Hears how much of the sources' bytes was planned, of how many."""

SMALL_SHARE: Final = 16
"""A file of less than one so-manieth of `shard_bytes` shares a shard: a shard of its own would cost more than its
work, and leave a file of its own in the dataset."""

MOST_RANGES: Final = 2048
"""At most so many ranges make a shard, so that a shard and its receipt stay small."""

UNPACKED_RATIO: Final = 8
"""A file that is compressed, or may be so inside, is taken to hold so many times its size, to tell whether it is
small."""


def cut_source(
    source: Source, config: ReadConfig, progress: Callable[[int], object] = lambda _: None
) -> list[SourceRange]:
    """Cut a source into ranges of about `shard_bytes`.

    Args:
      source: as it stands.
      config: how it is read.
      progress: hears how many more bytes were looked through.

    Raises:
      ValueError: if it is not of the format.
      SourceChangedError: if it changed meanwhile.
      OSError: if it cannot be read.
    """
    cuts = FORMATS[config.input_format].cut(source, config, progress)
    return [
        SourceRange(
            source.path, source.size_bytes, source.version, cut.begin, cut.end, cut.first_record, source.location
        )
        for cut in cuts
    ]


def make_shards(
    sources: Sequence[Source], config: ReadConfig, first_shard: int, progress: PlanProgress | None
) -> Iterator[Shard]:
    """Cut sources and gather their ranges: small files that follow each other share a shard, any other range is one.

    Args:
      sources: in the order in which they are planned.
      config: how they are read.
      first_shard: the number of the first shard.
      progress: told of each source that is planned, and while large ones are looked through.

    Raises:
      ValueError, SourceChangedError, OSError: as `cut_source`.
    """
    scan = _Scan(sum(source.size_bytes for source in sources), progress)
    shard_id = first_shard
    for group in _group_small(sources, config):
        together: list[SourceRange] = []
        for source in group:
            ranges = cut_source(source, config, scan.add)
            if len(ranges) == 1:  # a small source too may be cut: what Parquet compresses inside is not seen before
                together += ranges
                continue
            for part in ranges:
                yield Shard(shard_id, (part,))
                shard_id += 1
        if together:
            yield Shard(shard_id, tuple(together))
            shard_id += 1
        scan.reach(group)


def _group_small(sources: Iterable[Source], config: ReadConfig) -> Iterator[list[Source]]:
    """Give groups of small sources that follow each other and fit into a shard together, and each other one alone."""
    group: list[Source] = []
    weight = 0
    for source in sources:
        is_packed = is_compressed(source.path) or not FORMATS[config.input_format].unpacks
        source_bytes = source.size_bytes * (UNPACKED_RATIO if is_packed else 1)
        is_small = source_bytes * SMALL_SHARE < config.shard_bytes
        if group and (not is_small or weight + source_bytes > config.shard_bytes or len(group) == MOST_RANGES):
            yield group
            group, weight = [], 0
        if is_small:
            group.append(source)
            weight += source_bytes
        else:
            yield [source]
    if group:
        yield group


class _Scan:
    """How far planning has come, in bytes of the sources."""

    def __init__(self, total_bytes: int, progress: PlanProgress | None) -> None:
        self._total_bytes, self._progress = total_bytes, progress
        self._planned_bytes = self._scanned_bytes = 0

    def add(self, n_bytes: int) -> None:
        """Hear that a source at hand was looked through further."""
        self._scanned_bytes += n_bytes
        self._tell(self._planned_bytes + self._scanned_bytes)

    def reach(self, group: Sequence[Source]) -> None:
        """Hear that sources are planned."""
        self._planned_bytes += sum(source.size_bytes for source in group)
        self._scanned_bytes = 0
        self._tell(self._planned_bytes)

    def _tell(self, done_bytes: int) -> None:
        if self._progress is not None:
            self._progress(done_bytes, self._total_bytes)
