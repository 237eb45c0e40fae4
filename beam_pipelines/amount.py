"""How much there is to do, for the time left: known at once for plain files, counted ahead for compressed ones."""

import threading
from collections.abc import Iterable

import pyarrow.parquet as pq

from schemas.shard import Plan
from transforms.formats.bytes import StreamBreakError, read_blocks


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


def _parquet_rows(paths: Iterable[str]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in paths)


class AmountMeter:
    """Counts, beside the job, the bytes or rows of all of a plan's sources; as a context, it stops at the end.

    A compressed file is read through once more for it, some hundred times faster than it is annotated.

    Args:
      plan: whose sources are counted.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._total: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count, name="amount-meter", daemon=True)

    @property
    def unit(self) -> str:
        """What is counted."""
        return "rows" if self._plan.config["read"]["input_format"] == "parquet" else "MB"

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
        try:
            if self.unit == "rows":
                total = _parquet_rows(source.path for source in self._plan.sources)
            else:
                total = sum(shard.end - shard.begin for shard in self._plan.shards if not shard.is_stream)
                streams = [shard.source for shard in self._plan.shards if shard.is_stream]
                total += sum(_stream_bytes(path, self._stop) for path in streams)
        except (OSError, ValueError):
            return  # the time left stays unknown; the job itself meets and reports what is wrong with the source
        if not self._stop.is_set():
            self._total = total
