"""The speed of a run of `klue-beam annotate`, read from the times of its receipts: start-up cannot blur it."""

from pathlib import Path
from typing import NamedTuple

from klue_beam.schemas.shard import RECEIPTS_DIR, Receipt, segment_name
from klue_beam.transforms.plan.receipts import load_receipts


class Committed(NamedTuple):
    """What a run committed once it was in full swing.

    Attributes:
      began: seconds since the epoch, when the last of the first segments was committed.
      seconds: from then to the last commit.
      input_bytes, sentences: committed in these seconds; bytes decompressed.
    """

    began: float
    seconds: float
    input_bytes: int
    sentences: int


def measure_commits(dataset: Path, first: int) -> Committed:
    """Measure a finished dataset that was written in one run.

    Args:
      dataset: its folder.
      first: so many segments, one a worker, are left out: before them lie the start of the processes and the loading of
        the models, and each worker has its second shard in hand when they are committed.

    Raises:
      ValueError: if there are no more segments than that.
    """
    receipts = sorted(load_receipts(str(dataset)), key=lambda receipt: _committed_at(dataset, receipt))
    if len(receipts) <= first:
        raise ValueError(
            f"A dataset must have more than {first} segments to be measured, got {len(receipts)} in {dataset}. "
            "Give more text, or a smaller --shard_bytes."
        )
    began, ended = (_committed_at(dataset, receipts[i]) for i in (first - 1, -1))
    later = receipts[first:]
    return Committed(
        began=began,
        seconds=ended - began,
        input_bytes=sum(receipt.amount for receipt in later),
        sentences=sum(receipt.counts["sentences"] for receipt in later),
    )


def _committed_at(dataset: Path, receipt: Receipt) -> float:
    return (dataset / RECEIPTS_DIR / f"{segment_name(receipt.shard_id, receipt.segment)}.json").stat().st_mtime
