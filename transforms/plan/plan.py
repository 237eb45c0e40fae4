"""The plan: sources, their shards and the configuration, written before anything is read."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from klue_beam.schemas.config import AUTO_PRECISION, AnnotateConfig, hash_config, require_same_config
from klue_beam.schemas.shard import PLAN_FILE, Plan, Receipt, Shard, SourceRange
from klue_beam.transforms.base.stores.base import DatasetInUseError
from klue_beam.transforms.base.stores.finding import absolute_address, follow_dataset
from klue_beam.transforms.base.stores.opening import open_store
from klue_beam.transforms.plan.changes import renew_versions
from klue_beam.transforms.plan.cuts import PlanProgress, make_shards
from klue_beam.transforms.plan.sources import find_sources, new_sources

PLAN_SCHEMA: Final = pa.schema(
    [
        pa.field("shard_id", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("begin", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("first_record", pa.int64(), nullable=False),
        pa.field("location", pa.string()),
    ]
)
"""One row a range of a shard, with its source as planned, and where that lay. The configuration, its hash and where the
dataset lay are the schema's metadata."""

CONFIG_KEY: Final = b"klue_beam.config"
CONFIG_HASH_KEY: Final = b"klue_beam.config_hash"
ADDRESS_KEY: Final = b"klue_beam.address"


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
    shards = make_shards(find_sources(inputs, config.read.input_format), config.read, 0, progress)
    stored = config.to_dict()
    return Plan(tuple(shards), stored, hash_config(stored))


def extend_plan(
    plan: Plan,
    inputs: Sequence[str],
    config: AnnotateConfig,
    receipts: Iterable[Receipt] = (),
    progress: PlanProgress | None = None,
) -> Plan:
    """Add to a plan the inputs that it does not know; what it has keeps its place and its shard ids.

    A source is known by the file that it is, wherever the command is called and by whatever name. A planned source that
    `inputs` leaves out stays. One that has another modification time, but is cut as before and
    whose committed parts hash as before, takes its new version.

    Args:
      plan: as stored with the dataset.
      inputs: as for `make_plan`; known ones may be among them.
      config: must be the plan's; the precision `auto` is whatever the plan has.
      receipts: of what is committed.
      progress: told while large new files are looked through.

    Raises:
      ValueError: if the configuration is another, or a planned source changed; both are named. Else as `make_plan`.
    """
    if config.model.precision == AUTO_PRECISION:
        settled = AnnotateConfig.from_dict(plan.config).model.precision
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, precision=settled))
    require_same_config(plan.config, config)
    found = find_sources(inputs, config.read.input_format)
    plan = renew_versions(plan, found, config.read, receipts)
    shards = make_shards(new_sources(found, plan.sources), config.read, len(plan.shards), progress)
    return Plan((*plan.shards, *shards), plan.config, plan.config_hash)


def save_plan(dataset: str, plan: Plan, version: str | None = None) -> str:
    """Store the plan of a dataset, whole or not at all, the same bytes for the same plan.

    Args:
      dataset: the dataset's address.
      plan: what is stored.
      version: of the stored plan that it takes the place of, as `plan_version` gave it before that was loaded; None
        for a dataset without a plan.

    Returns:
      The version that is stored now.

    Raises:
      DatasetInUseError: if another plan is there by now.
      OSError: if it cannot be written.
    """
    store = open_store(dataset)
    content = _to_bytes(plan, absolute_address(dataset))
    is_put = store.put_if_absent(PLAN_FILE, content) if version is None else store.replace(PLAN_FILE, content, version)
    stored = store.stat(PLAN_FILE)
    if stored is None or not (is_put or store.read(PLAN_FILE) == content):
        raise DatasetInUseError(
            f"One process at a time may change a plan, got {store.address(PLAN_FILE)!r}, which another one wrote since "
            "it was read. Run the command again."
        )
    return stored.version


def plan_version(dataset: str) -> str | None:
    """Give the version of the plan that is stored with a dataset, None if there is none."""
    stored = open_store(dataset).stat(PLAN_FILE)
    return None if stored is None else stored.version


def _to_bytes(plan: Plan, address: str) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(_to_table(plan, address), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _to_table(plan: Plan, address: str) -> pa.Table:
    rows = [(shard.shard_id, *dataclasses.astuple(part)) for shard in plan.shards for part in shard.ranges]
    columns = zip(*rows, strict=True) if rows else [()] * len(PLAN_SCHEMA)
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, PLAN_SCHEMA, strict=True)]
    config = json.dumps(plan.config, ensure_ascii=False, sort_keys=True).encode()
    metadata = {CONFIG_KEY: config, CONFIG_HASH_KEY: plan.config_hash, ADDRESS_KEY: address}
    return pa.table(arrays, schema=PLAN_SCHEMA.with_metadata(metadata))


def load_plan(dataset: str) -> Plan:
    """Load a dataset's plan.

    Where the dataset was moved, its sources are looked for where they stand to it as they did, then where they were. A
    plan of 0.1.0 does not say where they were: there a relative path is of the working directory.

    Raises:
      FileNotFoundError: if the folder has none.
      ValueError: if it is broken or by another program.
    """
    store = open_store(dataset)
    path = store.address(PLAN_FILE)
    try:
        content = store.read(PLAN_FILE)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"A dataset must hold a plan, got no {path!r}. Make it with `annotate` or `save_plan`."
        ) from error
    try:
        table = pq.read_table(pa.BufferReader(content))
        if "location" not in table.column_names:  # of 0.1.0
            table = table.append_column(PLAN_SCHEMA.field("location"), pa.nulls(table.num_rows, pa.string()))
        table = table.select(PLAN_SCHEMA.names)
        planned_at = table.schema.metadata.get(ADDRESS_KEY, b"").decode()
        config = json.loads(table.schema.metadata[CONFIG_KEY])
        config_hash = table.schema.metadata[CONFIG_HASH_KEY].decode()
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"A plan must be as `save_plan` wrote it, got {path!r} ({error}). Restore it; without it the dataset can "
            "only be made anew in another folder."
        ) from error
    columns = (table.column(name).to_pylist() for name in PLAN_SCHEMA.names)
    places: dict[str, str] = {}  # asked for once a source
    shards: dict[int, list[SourceRange]] = {}
    for shard_id, source, size_bytes, version, begin, end, first_record, location in zip(*columns, strict=True):
        if source not in places:
            where = location or absolute_address(source)
            places[source] = follow_dataset(where, planned_at, absolute_address(dataset)) if location else where
        part = SourceRange(source, size_bytes, version, begin, end, first_record, places[source])
        shards.setdefault(shard_id, []).append(part)
    return Plan(tuple(Shard(shard_id, tuple(ranges)) for shard_id, ranges in shards.items()), config, config_hash)
