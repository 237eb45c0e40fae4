"""Sources that look other than planned: only their content tells whether they changed."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from klue_beam.schemas.config import ReadConfig
from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import Coverage, Plan, Receipt, Source, SourceRange
from klue_beam.transforms.base.stores.finding import same_file_key
from klue_beam.transforms.plan.cuts import cut_source


def renew_versions(plan: Plan, found: Sequence[Source], config: ReadConfig, receipts: Iterable[Receipt]) -> Plan:
    """Compare sources with how they were planned; a source whose modification time alone is another is read again.

    Args:
      plan: as stored.
      found: sources as they stand now; those that are not planned are passed over.
      config: how they are read.
      receipts: of what is committed.

    Returns:
      The plan, with the new version of each source that is cut as before and whose committed parts hash as before.

    Raises:
      ValueError: naming every source that changed.
      OSError: if a source cannot be read.
    """
    known = {same_file_key(source.address): source for source in plan.sources}
    keys = [(same_file_key(source.address), source) for source in found]
    pairs = [(known[key], source) for key, source in keys if key in known]
    changed = [
        f"{now.path!r} (was {planned.size_bytes} bytes, is {now.size_bytes})"
        for planned, now in pairs
        if planned.size_bytes != now.size_bytes
    ]
    touched = {
        planned.path: dataclasses.replace(planned, version=now.version)
        for planned, now in pairs
        if planned.size_bytes == now.size_bytes and planned.version != now.version
    }
    changed += [f"{path!r} (its content)" for path in _changed_content(plan, touched, config, receipts)]
    if changed:
        raise ValueError(
            f"A planned source must stay as it was, got changed: {', '.join(changed)}. Restore it, or choose another "
            "output folder."
        )
    return _with_versions(plan, touched) if touched else plan


def _changed_content(
    plan: Plan, touched: Mapping[str, Source], config: ReadConfig, receipts: Iterable[Receipt]
) -> list[str]:
    """Give those of the touched sources that are cut in another way, or of which a committed part hashes otherwise."""
    planned: dict[str, list[SourceRange]] = {path: [] for path in touched}
    covered: dict[tuple[str, int], list[Coverage]] = {}
    for shard in plan.shards:
        for part in shard.ranges:
            if part.source in touched:
                planned[part.source].append(part)
    shards = {shard.shard_id: shard for shard in plan.shards}
    for receipt in receipts:
        if receipt.shard_id in shards:
            for part, coverage in zip(shards[receipt.shard_id].ranges, receipt.covered, strict=False):
                covered.setdefault((part.source, part.begin), []).append(coverage)
    return [
        path
        for path, ranges in planned.items()
        if not _is_cut_alike(touched[path], ranges, config)
        or not all(_is_content_alike(part, covered.get((path, part.begin), []), config) for part in ranges)
    ]


def _is_cut_alike(source: Source, planned: Sequence[SourceRange], config: ReadConfig) -> bool:
    try:
        found = cut_source(source, config)
    except ValueError:  # no file of the format any more
        return False
    return [(part.begin, part.end, part.first_record) for part in found] == [
        (part.begin, part.end, part.first_record) for part in planned
    ]


def _is_content_alike(part: SourceRange, covered: Sequence[Coverage], config: ReadConfig) -> bool:
    """Hash what is committed of a range again."""
    if not covered:
        return True
    reader = FORMATS[config.input_format].open(part, config)
    for coverage in sorted(covered, key=lambda coverage: coverage.begin):
        if reader.position != coverage.begin:
            reader.skip(coverage.first_record, coverage.begin)
            reader.take_sha256()
        reader.skip(coverage.end_record, coverage.end)
        if reader.position != coverage.end or reader.take_sha256() != coverage.input_sha256:
            return False
    return True


def _with_versions(plan: Plan, renewed: Mapping[str, Source]) -> Plan:
    def renew(part: SourceRange) -> SourceRange:
        source = renewed.get(part.source)
        return part if source is None else dataclasses.replace(part, version=source.version)

    shards = tuple(dataclasses.replace(shard, ranges=tuple(map(renew, shard.ranges))) for shard in plan.shards)
    return dataclasses.replace(plan, shards=shards)
