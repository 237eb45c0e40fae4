"""The amount of work is known in the unit in which progress is told, whatever is done already."""

import gzip
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from klue_beam.beam_pipelines.local.amount import AmountMeter
from klue_beam.schemas.config import AnnotateConfig, ReadConfig
from klue_beam.schemas.shard import Coverage, Plan, Receipt
from klue_beam.transforms.plan.plan import make_plan


def wait_for_total(plan: Plan, receipts: list[Receipt]) -> int | None:
    with AmountMeter(plan, receipts) as meter:
        deadline = time.monotonic() + 10
        while meter.total() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return meter.total()


def receipt(source: str, end: int, config_hash: str) -> Receipt:
    return Receipt(0, 0, True, config_hash, (Coverage(source, 0, 1, 0, end, ""),), {}, None, None, None)


@pytest.fixture
def config() -> AnnotateConfig:
    return AnnotateConfig(read=ReadConfig(input_format="text", shard_bytes=100))


def test_plain_files_count_their_bytes_and_compressed_ones_what_they_hold(
    tmp_path: Path, config: AnnotateConfig
) -> None:
    (tmp_path / "a.txt").write_bytes(b"line\n" * 100)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"line\n" * 1000))
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"line\n" * 1000)[:-8])
    plan = make_plan([str(tmp_path)], config)
    assert wait_for_total(plan, []) == 500 + 5000 + 5000


def test_what_is_done_counts_as_its_receipts_say(tmp_path: Path, config: AnnotateConfig) -> None:
    source = tmp_path / "b.txt.gz"
    source.write_bytes(gzip.compress(b"line\n" * 1000))
    plan = make_plan([str(source)], config)
    source.unlink()
    assert wait_for_total(plan, [receipt(str(source), 5000, plan.config_hash)]) == 5000


def test_parquet_counts_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["글"] * 30}), tmp_path / "a.parquet", row_group_size=7)
    plan = make_plan([str(tmp_path)], AnnotateConfig(read=ReadConfig(input_format="parquet", shard_bytes=1)))
    assert len(plan.shards) > 1
    assert wait_for_total(plan, []) == 30


def test_a_source_that_is_gone_leaves_the_amount_unknown(tmp_path: Path, config: AnnotateConfig) -> None:
    source = tmp_path / "b.txt.gz"
    source.write_bytes(gzip.compress(b"line\n"))
    plan = make_plan([str(source)], config)
    source.unlink()
    with AmountMeter(plan, []) as meter:
        meter._thread.join(10)
        assert meter.total() is None
