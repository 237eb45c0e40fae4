"""Receipts of a dataset: proof of what is committed."""

from collections.abc import Iterator
from pathlib import Path

from klue_beam.schemas.shard import RECEIPTS_DIR, Receipt, segment_name
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
