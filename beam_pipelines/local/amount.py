"""How much there is to do, for the time left: known at once for plain files, counted ahead for compressed ones."""

import threading
from collections.abc import Sequence

from klue_beam.schemas.registry import FORMATS
from klue_beam.schemas.shard import Plan, Receipt, SourceRange
from klue_beam.transforms.formats.base import Format
from klue_beam.transforms.formats.bytes import read_blocks
from klue_beam.transforms.formats.unpacking import StreamBreakError
from klue_beam.transforms.plan.receipts import complete_shards


def _stream_bytes(path: str, stop: threading.Event) -> int:
    """Count what a compressed file holds, up to its end or a break."""
    n_bytes = 0
    try:
        for block in read_blocks(path):
            n_bytes += len(block)
            if stop.is_set():
                break
    except StreamBreakError:
        pass  # what is before the break is annotated, and the break itself reported, by the job
    return n_bytes


class AmountMeter:
    """Counts, beside the job, the bytes or rows of all shards of a plan; as a context, it stops at the end.

    A compressed file that is not done is read through once more for it, some hundred times faster than it is
    annotated.

    Args:
      plan: whose shards are counted.
      receipts: what is done is taken from them.
    """

    def __init__(self, plan: Plan, receipts: Sequence[Receipt]) -> None:
        self._plan = plan
        self._format: Format = FORMATS[plan.config["read"]["input_format"]]
        self._receipts = receipts
        self._total: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count, name="amount-meter", daemon=True)

    @property
    def unit(self) -> str:
        """What is counted."""
        return "rows" if self._format.unit == "rows" else "MB"

    def total(self) -> int | None:
        """Give the amount, None while it is not known yet."""
        return self._total

    def __enter__(self) -> "AmountMeter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _count(self) -> None:
        done = complete_shards(self._plan, self._receipts)
        try:
            pending = [shard for shard in self._plan.shards if shard.shard_id not in done]
            total = sum(self._amount(part) for shard in pending for part in shard.ranges)
        except (OSError, ValueError):
            return  # the time left stays unknown; the job itself meets and reports what is wrong with the source
        total += sum(receipt.amount for receipt in self._receipts if receipt.shard_id in done)
        if not self._stop.is_set():
            self._total = total

    def _amount(self, part: SourceRange) -> int:
        known = self._format.amount(part)
        return _stream_bytes(part.source, self._stop) if known is None else known
