"""The amount of work is known in the unit in which progress is told, whatever is done already."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from klue_beam.beam_pipelines.local.amount import AmountMeter
from klue_beam.schemas.config import AnnotateConfig, ReadConfig
from klue_beam.schemas.shard import Coverage, Plan, Receipt
from klue_beam.transforms.plan.plan import make_plan


def total_of(plan: Plan, receipts: list[Receipt], *events: dict[str, float]) -> int | None:
    """The amount once the meter has looked at all shards and heard of some chunks."""
    with AmountMeter(plan, receipts) as meter:
        pass
    for event in events:
        meter.hear(event)
    return meter.total()


def receipt(source: str, end: int, config_hash: str) -> Receipt:
    return Receipt(0, 0, True, config_hash, (Coverage(source, 0, 1, 0, end, ""),), {}, None, None, None)


@pytest.fixture
def config() -> AnnotateConfig:
    return AnnotateConfig(read=ReadConfig(input_format="text", shard_bytes=100))


def test_plain_files_count_their_bytes_and_compressed_ones_what_their_chunks_tell(
    tmp_path: Path, config: AnnotateConfig
) -> None:
    """A compressed file of which nothing has come yet counts as the mean of those of which something has."""
    (tmp_path / "a.txt").write_bytes(b"line\n" * 100)
    packed = gzip.compress(b"line\n" * 1000)
    for name in ("b", "c", "d"):
        (tmp_path / f"{name}.txt.gz").write_bytes(packed)
    plan = make_plan([str(tmp_path)], config)
    streams = [shard.shard_id for shard in plan.shards if shard.is_stream]
    assert len(streams) == 3
    assert total_of(plan, []) is None
    exact = {"shard_id": streams[0], "expansion": 5000 / len(packed)}
    assert total_of(plan, [], exact) == 500 + 3 * 5000
    assert total_of(plan, [], exact, {**exact, "shard_id": streams[1], "expansion": 0.0}) == 500 + 3 * 5000
    half = {"shard_id": streams[1], "expansion": 2500 / len(packed)}
    assert total_of(plan, [], exact, half) == 500 + 5000 + 2500 + 3750


def test_what_is_done_counts_as_its_receipts_say(tmp_path: Path, config: AnnotateConfig) -> None:
    source = tmp_path / "b.txt.gz"
    source.write_bytes(gzip.compress(b"line\n" * 1000))
    plan = make_plan([str(source)], config)
    source.unlink()
    assert total_of(plan, [receipt(str(source), 5000, plan.config_hash)]) == 5000


def test_parquet_counts_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["글"] * 30}), tmp_path / "a.parquet", row_group_size=7)
    plan = make_plan([str(tmp_path)], AnnotateConfig(read=ReadConfig(input_format="parquet", shard_bytes=1)))
    assert len(plan.shards) > 1
    assert total_of(plan, []) == 30


def test_a_source_that_is_gone_leaves_the_amount_unknown(tmp_path: Path, config: AnnotateConfig) -> None:
    source = tmp_path / "b.txt.gz"
    source.write_bytes(gzip.compress(b"line\n"))
    plan = make_plan([str(source)], config)
    source.unlink()
    assert total_of(plan, []) is None
