"""Receipts of a dataset: proof of what is committed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from klue_beam.schemas.shard import RECEIPTS_DIR, Plan, Receipt, Shard, segment_name
from klue_beam.transforms.base.stores.base import Store
from klue_beam.transforms.base.stores.opening import open_store


def receipt_key(shard_id: int, segment: int) -> str:
    """Name the receipt of a segment.

    >>> receipt_key(12, 0)
    '_receipts/part-000012-000000.json'
    """
    return f"{RECEIPTS_DIR}/{segment_name(shard_id, segment)}.json"


def load_receipts(dataset: str | Path, shard_id: int | None = None) -> list[Receipt]:
    """Load receipts, in the order of shards and segments.

    Args:
      dataset: the dataset's address; one without receipts gives none.
      shard_id: load this shard's only, from segment 0 up to the first that has none. That asks for them by name, so
        it costs the same in a dataset of a million shards.

    Raises:
      ValueError: if a receipt is broken or not the one that its name says.
      OSError: if one cannot be read.
    """
    store = open_store(dataset)
    if shard_id is None:
        return list(read_receipts(store))
    receipts: list[Receipt] = []
    while store.stat(key := receipt_key(shard_id, len(receipts))) is not None:
        receipts.append(_load_receipt(store, key))
    return receipts


def read_receipts(store: Store) -> Iterator[Receipt]:
    """Give all receipts one after another, in the order of shards and segments, without holding them.

    Raises:
      ValueError, OSError: as `load_receipts`.
    """
    keys = (entry.key for entry in store.list(f"{RECEIPTS_DIR}/") if entry.key.endswith(".json"))
    # From a million shards on their names have more digits, and longer names come later.
    for key in sorted(keys, key=lambda key: (len(key), key)):
        yield _load_receipt(store, key)


def _load_receipt(store: Store, key: str) -> Receipt:
    address = store.address(key)
    remedy = f"Delete {address!r} together with the segment's files in data and _rejects, and run again."
    try:
        receipt = Receipt.from_json(store.read(key))
    except ValueError as error:
        raise ValueError(f"{error} {remedy}") from error
    named, found = key.removeprefix(f"{RECEIPTS_DIR}/"), f"{segment_name(receipt.shard_id, receipt.segment)}.json"
    if found != named:
        raise ValueError(
            f"A receipt must be of the segment that its name says, {named.removesuffix('.json')}, got "
            f"{found.removesuffix('.json')}. {remedy}"
        )
    return receipt


def is_complete(receipts: Iterable[Receipt]) -> bool:
    """Tell whether receipts of one shard are all that it has: the last segment and every one before it."""
    segments = {receipt.segment: receipt.last_of_shard for receipt in receipts}
    return any(is_last and segment + 1 == len(segments) for segment, is_last in segments.items())


def complete_shards(plan: Plan, receipts: Iterable[Receipt]) -> set[int]:
    """Give the numbers of the shards of a plan that are annotated.

    A receipt counts by what it tells of, not by its number alone: it must have the plan's configuration, and cover
    the sources of its shard.
    """
    shards = {shard.shard_id: shard for shard in plan.shards}
    found: dict[int, list[Receipt]] = {}
    for receipt in receipts:
        shard = shards.get(receipt.shard_id)
        if shard is not None and receipt.config_hash == plan.config_hash and _is_of(receipt, shard):
            found.setdefault(receipt.shard_id, []).append(receipt)
    return {shard_id for shard_id, of_shard in found.items() if is_complete(of_shard)}


def _is_of(receipt: Receipt, shard: Shard) -> bool:
    return [part.source for part in receipt.covered] == [part.source for part in shard.ranges]
