"""Prove that each input record is in a dataset exactly once, or name the part that is not as it was written."""

import json
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from klue_beam.schemas.config import AnnotateConfig, hash_config
from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import (
    ATTEMPTS_DIR,
    DATA_DIR,
    DROPPED_DIR,
    PLAN_FILE,
    RECEIPTS_DIR,
    REJECTS_DIR,
    SUCCESS_FILE,
    Plan,
    SourceRange,
    segment_name,
)
from klue_beam.transforms.base.stores.base import DatasetInUseError, Store
from klue_beam.transforms.base.stores.finding import stat_source
from klue_beam.transforms.base.stores.opening import open_store
from klue_beam.transforms.plan.plan import load_plan
from klue_beam.transforms.tasks.output import annotated_schema
from klue_beam.transforms.verify.shard import RESUME, ShardVerifier

VerifyProgress = Callable[[int, int], None]
"""Hears how many shards are verified, of how many."""

_RECEIPT_NAME: Final = re.compile(r"part-(\d{6,})-(\d{6,})\.json")


@dataclass
class VerifyReport:
    """What was found in a dataset.

    Attributes:
      faults: what is wrong, as sentences that begin with the name of a file or source.
      not_recounted: sources whose records could not be counted again since they are gone or cannot be read, each with
        the reason. No fault: a dataset may outlive its sources; but then not all is proved.
      is_at_work: whether a run is at work in the dataset, so that nothing could be told.
      counts: the counts of all receipts, added up, and `shards`, `segments`, `files` and `recounted_records`.
    """

    faults: list[str] = field(default_factory=list)
    not_recounted: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    is_at_work: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong, as far as can be told."""
        return not self.faults and not self.is_at_work

    @property
    def is_proved(self) -> bool:
        """Whether nothing is wrong and every source was counted again."""
        return self.is_whole and not self.not_recounted


def verify(dataset: str | Path, progress: VerifyProgress | None = None) -> VerifyReport:
    """Verify a dataset against its plan and its sources.

    The records of each source are counted again as far as it can still be read, and compared with the receipts; the
    receipts with the files, byte for byte; and each record must be in the data, in the rejects or dropped exactly
    once, or be blank in the source. A source that is another than the planned one is a fault, and so is a file that no
    receipt names. While a run is at work in the dataset nothing is checked. Memory stays flat.

    Args:
      dataset: its address.
      progress: told after each shard.

    Raises:
      ValueError: if there is no such folder, or the address cannot be opened.
    """
    store = open_store(dataset)
    if not store.is_there():
        raise ValueError(f"`dataset` must be the folder of a dataset, got {str(dataset)!r}. Name one that is there.")
    report = VerifyReport()
    try:
        with store.lock():
            pass
    except DatasetInUseError:
        report.is_at_work = True
        return report
    try:
        plan = load_plan(str(dataset))
        config = AnnotateConfig.from_dict(plan.config)
    except (OSError, ValueError, TypeError, KeyError) as error:
        report.faults.append(f"{PLAN_FILE}: {error}")
        return report
    report.faults += _plan_faults(plan, config)
    changed = _find_changed(plan)
    report.faults += changed.values()
    segments, strays = _list_receipts(store)
    claimed = _verify_shards(store, plan, config, segments, changed, report=report, progress=progress)
    strays += _stray_receipts(plan, segments)
    strays += [
        name
        for part in (DATA_DIR, REJECTS_DIR, DROPPED_DIR)
        for name in _list_folder(store, part)
        if name not in claimed
    ]
    report.faults += [f"{name}: it is foreign: no plan or receipt names it. Take it away." for name in strays]
    report.faults += _ending_faults(store, plan, report.counts["segments"])
    return report


def _plan_faults(plan: Plan, config: AnnotateConfig) -> Iterator[str]:
    """Check the plan itself: its configuration's hash, and that the shards of each source partition it."""
    remedy = "Restore the plan; without it the dataset can only be made anew in another folder."
    if (found := hash_config(plan.config)) != plan.config_hash:
        yield f"{PLAN_FILE}: its configuration must hash to {plan.config_hash}, got {found}. {remedy}"
    if [shard.shard_id for shard in plan.shards] != list(range(len(plan.shards))):
        yield f"{PLAN_FILE}: its shards must be numbered from 0 without a gap. {remedy}"
    parts: dict[str, list[SourceRange]] = {}
    for shard in plan.shards:
        for part in shard.ranges:
            parts.setdefault(part.source, []).append(part)
    for source, ranges in parts.items():
        ends_known = FORMATS[config.read.input_format].unit == "bytes" and not ranges[-1].is_stream
        is_whole = (
            (ranges[0].begin, ranges[0].first_record) == (0, 0)
            and all(part.end == after.begin for part, after in pairwise(ranges))
            and (ranges[-1].end == ranges[-1].size_bytes or not ends_known)
        )
        if not is_whole:
            yield f"{PLAN_FILE}: the shards of {source} must follow each other from its begin to its end. {remedy}"


def _find_changed(plan: Plan) -> dict[str, str]:
    """Give the sources whose size is not the planned one, each with the fault; contents are compared by ranges."""
    changed = {}
    for source in plan.sources:
        try:
            found = stat_source(source.address)
        except OSError:
            continue  # what cannot be read is told with its records
        if found.size_bytes != source.size_bytes:
            changed[source.path] = (
                f"{source.path}: it has {found.size_bytes} bytes, planned were {source.size_bytes}: it changed since "
                "it was annotated. Restore it, or annotate it into another folder."
            )
    return changed


def _verify_shards(
    store: Store,
    plan: Plan,
    config: AnnotateConfig,
    segments: Mapping[int, Sequence[int]],
    changed: Container[str],
    *,
    report: VerifyReport,
    progress: VerifyProgress | None,
) -> set[str]:
    """Verify every shard of the plan; give the files that their receipts name."""
    schema = annotated_schema(config.model.tasks, metadata=config.read.keep_metadata)
    claimed: set[str] = set()
    for number, (shard, after) in enumerate(zip(plan.shards, [*plan.shards[1:], None], strict=True), 1):
        following = after.ranges[0] if after is not None else None
        goes_on = following is not None and following.source == shard.ranges[-1].source
        findings = ShardVerifier(
            store,
            shard,
            end_record=following.first_record if following is not None and goes_on else None,
            schema=schema,
            config=config.read,
            config_hash=plan.config_hash,
            is_recounted=not any(part.source in changed for part in shard.ranges),
        ).verify(segments.get(shard.shard_id, ()))
        report.faults += findings.faults
        report.counts.update({"shards": 1, **findings.counts})
        report.not_recounted = {**findings.not_recounted, **report.not_recounted}
        claimed |= findings.files
        if progress is not None:
            progress(number, len(plan.shards))
    return claimed


def _list_receipts(store: Store) -> tuple[dict[int, list[int]], list[str]]:
    """List the segments of each shard that have a receipt, and what else lies among the receipts."""
    segments: dict[int, list[int]] = {}
    strays = []
    for name in _list_folder(store, RECEIPTS_DIR):
        match = _RECEIPT_NAME.fullmatch(name.removeprefix(f"{RECEIPTS_DIR}/"))
        shard, segment = (int(number) for number in match.groups()) if match else (-1, -1)
        if match and name == f"{RECEIPTS_DIR}/{segment_name(shard, segment)}.json":
            segments.setdefault(shard, []).append(segment)
        else:
            strays.append(name)
    return {shard: sorted(found) for shard, found in segments.items()}, strays


def _list_folder(store: Store, name: str) -> list[str]:
    return [entry.key for entry in store.list(f"{name}/")]


def _stray_receipts(plan: Plan, segments: Mapping[int, Sequence[int]]) -> Iterator[str]:
    planned = {shard.shard_id for shard in plan.shards}
    for shard in sorted(segments.keys() - planned):
        for segment in segments[shard]:
            yield f"{RECEIPTS_DIR}/{segment_name(shard, segment)}.json"


def _ending_faults(store: Store, plan: Plan, segments: int) -> Iterator[str]:
    """Check what a run that ended well leaves: no attempts, and a mark that says what there is."""
    if attempts := _list_folder(store, ATTEMPTS_DIR):
        yield f"{attempts[0]}: {len(attempts)} files of attempts that were cut short are left. {RESUME}"
    try:
        mark = json.loads(store.read(SUCCESS_FILE))
        said = (mark["config_hash"], mark["sources"], mark["segments"])
    except FileNotFoundError:
        yield f"{SUCCESS_FILE}: it is missing, so the last run did not end well. {RESUME}"
        return
    except (ValueError, KeyError, TypeError) as error:
        yield f"{SUCCESS_FILE}: it cannot be read ({error}). Delete it. {RESUME}"
        return
    found = (plan.config_hash, len(plan.sources), segments)
    for what, value, expected in zip(("configuration", "sources", "segments"), said, found, strict=True):
        if value != expected:
            yield f"{SUCCESS_FILE}: it tells of {what} {value}, the dataset has {expected}. Restore what is missing."
