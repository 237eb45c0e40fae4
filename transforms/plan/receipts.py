"""Receipts of a dataset: proof of what is committed."""

import os

from klue_beam.schemas.shard import RECEIPTS_DIR, Receipt, segment_name


def load_receipts(dataset: str, shard_id: int | None = None) -> list[Receipt]:
    """Load receipts, in the order of shards and segments.

    Args:
      dataset: the dataset's folder; one without receipts gives none.
      shard_id: load this shard's only, from segment 0 up to the first that has none. That asks for them by name, so
        it costs the same in a dataset of a million shards.

    Raises:
      ValueError: if a receipt is broken or not the one that its name says.
    """
    folder = os.path.join(dataset, RECEIPTS_DIR)
    if shard_id is None:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json")) if os.path.isdir(folder) else []
        receipts = [_load_receipt(os.path.join(folder, name)) for name in names]
        return sorted(receipts, key=lambda receipt: (receipt.shard_id, receipt.segment))
    receipts = []
    while os.path.exists(path := os.path.join(folder, f"{segment_name(shard_id, len(receipts))}.json")):
        receipts.append(_load_receipt(path))
    return receipts


def _load_receipt(path: str) -> Receipt:
    with open(path, "rb") as file:
        text = file.read()
    remedy = f"Delete {path!r} together with the segment's files in data and _rejects, and run again."
    try:
        receipt = Receipt.from_json(text)
    except ValueError as error:
        raise ValueError(f"{error} {remedy}") from error
    named = os.path.splitext(os.path.basename(path))[0]
    found = segment_name(receipt.shard_id, receipt.segment)
    if found != named:
        raise ValueError(f"A receipt must be of the segment that its name says, {named}, got {found}. {remedy}")
    return receipt
