"""The plan: sources, their shards and the configuration, written before anything is read."""

import dataclasses
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from klue_beam.schemas.config import AUTO_PRECISION, AnnotateConfig, ReadConfig
from klue_beam.schemas.shard import ATTEMPTS_DIR, PLAN_FILE, Plan, Shard, Source
from klue_beam.transforms.formats.bytes import ByteWindow, check_unchanged, is_compressed, read_blocks
from klue_beam.transforms.formats.parquet import cut_row_groups
from klue_beam.transforms.formats.text import block_records
from klue_beam.transforms.plan.sources import find_sources

PlanProgress = Callable[[int, int], None]
"""Hears how many bytes have been looked through for record ends, of how many."""

PLAN_SCHEMA: Final = pa.schema(
    [
        pa.field("shard_id", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("begin", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("first_record", pa.int64(), nullable=False),
    ]
)
"""One row a shard, with its source as planned; the configuration and its hash stand in the schema's metadata."""

CONFIG_KEY: Final = b"klue_beam.config"
CONFIG_HASH_KEY: Final = b"klue_beam.config_hash"


class Cut(NamedTuple):
    """A shard's range in its source, and the number of the first record in it."""

    begin: int
    end: int
    first_record: int


def make_plan(inputs: Sequence[str], config: AnnotateConfig, progress: PlanProgress | None = None) -> Plan:
    """Plan a dataset: find the sources and cut them into shards.

    A plain file is cut about every `shard_bytes`, each cut moved to the next record's begin, so a shard within one
    long record is empty; only a file larger than one shard is looked through. A Parquet file is cut between row
    groups. A compressed file and a file that is one document are one shard.

    Args:
      inputs: paths, globs and folders, see `find_sources`.
      config: what the dataset's rows will say, its precision settled.
      progress: told while large files are looked through.

    Raises:
      ValueError: if an input matches nothing or is not of the format, or the precision is not settled.
      SourceChangedError: if a source changed meanwhile.
      OSError: if a source cannot be read.
    """
    config.model.require_settled()
    sources = find_sources(inputs, config.read.input_format)
    shards = _cut_sources(sources, config.read, 0, progress)
    return Plan(tuple(sources), tuple(shards), config.to_dict(), config.sha256())


def extend_plan(
    plan: Plan, inputs: Sequence[str], config: AnnotateConfig, progress: PlanProgress | None = None
) -> Plan:
    """Add to a plan the inputs that it does not know; what it has keeps its place and its shard ids.

    A planned source that `inputs` leaves out stays.

    Args:
      plan: as stored with the dataset.
      inputs: as for `make_plan`; known ones may be among them.
      config: must be the plan's; the precision `auto` is whatever the plan has.
      progress: told while large new files are looked through.

    Raises:
      ValueError: if the configuration is another, or a planned source changed; both are named. Else as `make_plan`.
    """
    if config.model.precision == AUTO_PRECISION:
        settled = AnnotateConfig.from_dict(plan.config).model.precision
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, precision=settled))
    _require_same_config(plan.config, config.to_dict())
    known = {os.path.abspath(source.path): source for source in plan.sources}
    found = find_sources(inputs, config.read.input_format)
    _require_unchanged(found, known)
    added = [source for source in found if os.path.abspath(source.path) not in known]
    shards = _cut_sources(added, config.read, len(plan.shards), progress)
    return Plan((*plan.sources, *added), (*plan.shards, *shards), plan.config, plan.config_hash)


def _require_same_config(planned: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    old, new = dict(_flatten(planned)), dict(_flatten(asked))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if names:
        differences = "; ".join(f"{name} was {old.get(name)!r}, is {new.get(name)!r}" for name in names)
        raise ValueError(
            f"A dataset must keep its configuration, got another: {differences}. Choose another output folder, or give "
            "the old options."
        )


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _require_unchanged(found: Sequence[Source], known: Mapping[str, Source]) -> None:
    changed = []
    for source in found:
        planned = known.get(os.path.abspath(source.path), source)
        if (planned.size_bytes, planned.version) != (source.size_bytes, source.version):
            changed.append(f"{source.path!r} (was {planned.size_bytes} bytes, is {source.size_bytes})")
    if changed:
        raise ValueError(
            f"A planned source must stay as it was, got changed: {', '.join(changed)}. Restore it, or choose another "
            "output folder."
        )


def _cut_sources(
    sources: Sequence[Source], config: ReadConfig, first_shard: int, progress: PlanProgress | None
) -> list[Shard]:
    scan = _Scan(sum(source.size_bytes for source in sources if _is_scanned(source, config)), progress)
    shards: list[Shard] = []
    for source in sources:
        cuts = _cut_source(source, config, scan)
        shards += [Shard(first_shard + len(shards) + index, source.path, *cut) for index, cut in enumerate(cuts)]
    return shards


def _is_scanned(source: Source, config: ReadConfig) -> bool:
    """Whether a file must be looked through for record ends."""
    whole = config.input_format == "parquet" or (config.input_format == "text" and config.text_unit == "file")
    return not whole and not is_compressed(source.path) and source.size_bytes > config.shard_bytes


def _cut_source(source: Source, config: ReadConfig, scan: "_Scan") -> Sequence[tuple[int, int, int]]:
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
    check_unchanged(source)
    return cuts


class _Scan:
    """How far the looking through of large files has come."""

    def __init__(self, total_bytes: int, progress: PlanProgress | None) -> None:
        self._total_bytes = total_bytes
        self._progress = progress
        self._scanned_bytes = 0

    def watch(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            yield block
            self._scanned_bytes += len(block)
            if self._progress is not None:
                self._progress(self._scanned_bytes, self._total_bytes)


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


def save_plan(dataset: str, plan: Plan) -> None:
    """Write the plan into the dataset's folder, atomically, the same bytes for the same plan.

    Raises:
      OSError: if the folder cannot be written.
    """
    attempts = os.path.join(dataset, ATTEMPTS_DIR)
    os.makedirs(attempts, exist_ok=True)
    attempt = os.path.join(attempts, f"{PLAN_FILE}-{uuid.uuid4().hex}")
    try:
        with open(attempt, "wb") as file:
            pq.write_table(_to_table(plan), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(attempt, os.path.join(dataset, PLAN_FILE))
    except BaseException:
        if os.path.exists(attempt):
            os.remove(attempt)
        raise


def _to_table(plan: Plan) -> pa.Table:
    sources = {source.path: source for source in plan.sources}
    rows = [
        (s.shard_id, s.source, sources[s.source].size_bytes, sources[s.source].version, s.begin, s.end, s.first_record)
        for s in plan.shards
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(PLAN_SCHEMA)
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, PLAN_SCHEMA, strict=True)]
    config = json.dumps(plan.config, ensure_ascii=False, sort_keys=True).encode()
    return pa.table(arrays, schema=PLAN_SCHEMA.with_metadata({CONFIG_KEY: config, CONFIG_HASH_KEY: plan.config_hash}))


def load_plan(dataset: str) -> Plan:
    """Load a dataset's plan.

    Raises:
      FileNotFoundError: if the folder has none.
      ValueError: if it is broken or by another program.
    """
    path = os.path.join(dataset, PLAN_FILE)
    if not os.path.exists(path):
        raise FileNotFoundError(f"A dataset must hold a plan, got no {path!r}. Make it with `annotate` or `save_plan`.")
    try:
        table = pq.read_table(path, partitioning=None)
        table = table.select(PLAN_SCHEMA.names)
        config = json.loads(table.schema.metadata[CONFIG_KEY])
        config_hash = table.schema.metadata[CONFIG_HASH_KEY].decode()
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"A plan must be as `save_plan` wrote it, got {path!r} ({error}). Restore it; without it the dataset can "
            "only be made anew in another folder."
        ) from error
    columns = table.to_pydict()
    versions = zip(columns["source"], columns["size_bytes"], columns["version"], strict=True)
    sources = {path: Source(path, size_bytes, version) for path, size_bytes, version in versions}
    parts = zip(*(columns[name] for name in ("shard_id", "source", "begin", "end", "first_record")), strict=True)
    return Plan(tuple(sources.values()), tuple(Shard(*part) for part in parts), config, config_hash)


def load_sources(dataset: str) -> tuple[Source, ...]:
    """Load the sources of a dataset's plan, as they stood when it was made.

    Raises:
      FileNotFoundError, ValueError: as `load_plan`.
    """
    return load_plan(dataset).sources
