"""How much there is to do, for the time left: known for plain files, and of compressed ones learnt as they are read."""

import threading
from collections.abc import Mapping, Sequence

from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import Plan, Receipt
from klue_beam.transforms.formats.base import Format
from klue_beam.transforms.plan.receipts import complete_shards


class AmountMeter:
    """Adds up, beside the job, the bytes or rows of all shards of a plan; as a context, it stops at the end.

    What a compressed file holds is not known before it is read. The chunks that come of one tell how many bytes a
    byte of the file has become so far; files of which none has come yet count as the mean of the others.

    Args:
      plan: whose shards are counted.
      receipts: what is done is taken from them.
    """

    def __init__(self, plan: Plan, receipts: Sequence[Receipt]) -> None:
        self._plan = plan
        self._format: Format = FORMATS[plan.config["read"]["input_format"]]
        self._receipts = receipts
        self._known: int | None = None
        self._packed_bytes: dict[int, int] = {}
        self._expansion: dict[int, float] = {}
        self._thread = threading.Thread(target=self._count, name="amount-meter", daemon=True)

    @property
    def unit(self) -> str:
        """What is counted."""
        return "rows" if self._format.unit == "rows" else "MB"

    def hear(self, event: Mapping[str, float]) -> None:
        """Take in a chunk that a worker reports: the fields of ChunkProgress."""
        if event["expansion"]:
            self._expansion[int(event["shard_id"])] = event["expansion"]

    def total(self) -> int | None:
        """Give the amount as far as it is known now, None while nothing is known of it."""
        if self._known is None or not self._packed_bytes:
            return self._known
        expansions = dict(self._expansion)
        if not expansions:
            return None
        mean = sum(expansions.values()) / len(expansions)
        packed = self._packed_bytes.items()
        return self._known + round(sum(n_bytes * expansions.get(shard_id, mean) for shard_id, n_bytes in packed))

    def __enter__(self) -> "AmountMeter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _count(self) -> None:
        done = complete_shards(self._plan, self._receipts)
        total = sum(receipt.amount for receipt in self._receipts if receipt.shard_id in done)
        try:
            for shard in self._plan.shards:
                for part in shard.ranges if shard.shard_id not in done else ():
                    known = self._format.amount(part)
                    if known is None:
                        self._packed_bytes[shard.shard_id] = self._packed_bytes.get(shard.shard_id, 0) + part.size_bytes
                    else:
                        total += known
        except (OSError, ValueError):
            return  # the time left stays unknown; the job itself meets and reports what is wrong with the source
        self._known = total
