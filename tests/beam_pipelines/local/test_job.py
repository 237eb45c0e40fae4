"""A job works on the plan that it has read; of two that plan at once one is stored; receipts must be its own."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from klue_beam.beam_pipelines.local.job import close_job, open_job, plan_job
from klue_beam.schemas.config import AnnotateConfig, ModelConfig, ReadConfig
from klue_beam.schemas.shard import SUCCESS_FILE
from klue_beam.transforms.base.stores.base import DatasetInUseError
from klue_beam.transforms.plan.plan import load_plan, plan_version, save_plan
from klue_beam.transforms.plan.receipts import is_complete, load_receipts, receipt_key

CONFIG = AnnotateConfig(read=ReadConfig(shard_bytes=100), model=ModelConfig(tasks=("tc",)))


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{name}.txt" for name in "abc"]
    for path in paths:
        path.write_text(f"글 {path.stem}.\n" * 30, encoding="utf-8")
    return [str(path) for path in paths]


def test_of_two_who_plan_an_empty_dataset_one_stores_the_plan(tmp_path: Path, sources: list[str]) -> None:
    dataset = str(tmp_path / "out")
    first, second = (plan_job(dataset, [source], CONFIG) for source in sources[:2])
    stored = open_job(first)
    assert (stored.is_stored, stored.plan_version) == (True, plan_version(dataset))
    message = rf"One process at a time may change a plan, got '{dataset}/_plan\.parquet', which another one wrote since"
    with pytest.raises(DatasetInUseError, match=message):
        open_job(second)
    assert load_plan(dataset) == first.plan


def test_two_who_plan_the_same_agree(tmp_path: Path, sources: list[str]) -> None:
    jobs = [plan_job(str(tmp_path / "out"), sources, CONFIG) for _ in range(2)]
    assert open_job(jobs[0]) == open_job(jobs[1])


def test_of_two_who_extend_a_plan_one_does(tmp_path: Path, sources: list[str]) -> None:
    dataset = str(tmp_path / "out")
    open_job(plan_job(dataset, sources[:1], CONFIG))
    first, second = (plan_job(dataset, [source], CONFIG) for source in sources[1:])
    open_job(first)
    with pytest.raises(DatasetInUseError, match="which another one wrote since it was read"):
        open_job(second)
    assert [source.path for source in load_plan(dataset).sources] == sources[:2]
    assert [source.path for source in open_job(plan_job(dataset, sources[2:], CONFIG)).plan.sources] == sources


def test_a_dataset_whose_plan_was_changed_meanwhile_is_not_called_complete(
    undisturbed: Path, tmp_path: Path, sources: list[str]
) -> None:
    dataset = shutil.copytree(undisturbed, tmp_path / "copy")
    plan = load_plan(str(dataset))
    config = AnnotateConfig.from_dict(plan.config)
    job = open_job(plan_job(str(dataset), [source.path for source in plan.sources], config))
    (dataset / SUCCESS_FILE).unlink()
    save_plan(str(dataset), dataclasses.replace(plan, shards=plan.shards[:-1]), job.plan_version)
    message = rf"One process at a time may change a dataset, got '{dataset}', whose plan another one wrote meanwhile"
    with pytest.raises(DatasetInUseError, match=message):
        close_job(job)
    assert not (dataset / SUCCESS_FILE).exists()


@pytest.mark.parametrize("change", [{"config_hash": "other"}, {"covered": ()}])
def test_a_receipt_that_is_not_of_the_plan_leaves_its_shard_to_do(
    undisturbed: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    dataset = shutil.copytree(undisturbed, tmp_path / "copy")
    plan = load_plan(str(dataset))
    inputs, config = [source.path for source in plan.sources], AnnotateConfig.from_dict(plan.config)
    assert plan_job(str(dataset), inputs, config).pending == []
    first, *_ = load_receipts(str(dataset))
    path = dataset / receipt_key(first.shard_id, first.segment)
    path.write_text(dataclasses.replace(first, **change).to_json(), encoding="utf-8")
    assert [shard.shard_id for shard in plan_job(str(dataset), inputs, config).pending] == [first.shard_id]


def test_receipts_are_complete_with_the_last_segment_and_all_before_it(undisturbed: Path) -> None:
    stream = max(load_receipts(str(undisturbed)), key=lambda receipt: receipt.segment).shard_id
    receipts = load_receipts(str(undisturbed), stream)
    assert len(receipts) > 1
    assert is_complete(receipts)
    for missing in range(len(receipts)):
        assert not is_complete(receipts[:missing] + receipts[missing + 1 :])
    assert not is_complete([])


def test_a_broken_receipt_is_named_with_the_remedy(undisturbed: Path, tmp_path: Path) -> None:
    dataset = shutil.copytree(undisturbed, tmp_path / "copy")
    first, second, *_ = sorted((dataset / "_receipts").iterdir())
    shutil.copy(first, second)
    message = (
        rf"A receipt must be of the segment that its name says, {second.stem}, got {first.stem}\. Delete '{second}'"
    )
    with pytest.raises(ValueError, match=message):
        load_receipts(str(dataset))
    second.write_text("{")
    with pytest.raises(ValueError, match=rf"A receipt must hold .* Delete '{re.escape(str(second))}' together with"):
        load_receipts(str(dataset))
