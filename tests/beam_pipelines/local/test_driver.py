"""The local driver: a finished dataset, the same bits however many workers, and what it refuses."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from distributed import LocalCluster

from klue_beam.beam_pipelines.commands import annotate as annotate_command
from klue_beam.beam_pipelines.local.cluster import ClusterConfig
from klue_beam.schemas.config import PRECISIONS, AnnotateConfig
from klue_beam.schemas.shard import ATTEMPTS_DIR, SUCCESS_FILE
from klue_beam.transforms.base.stores.opening import locate
from klue_beam.transforms.plan.files import read_footer
from klue_beam.transforms.plan.plan import load_plan
from klue_beam.transforms.verify.dataset import verify
from tests.beam_pipelines.conftest import Corpus
from tests.engines.corpus import check_same, hash_files, read_rows


def test_two_workers_give_the_bits_of_one_and_a_dataset_that_verifies(
    corpus: Corpus, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "out"
    assert annotate_command.main(corpus.arguments(dataset, "--workers", "2", "--preview", "2")) == 0
    check_same(dataset, undisturbed)
    assert verify(dataset).faults == []
    said = capsys.readouterr().out
    assert "documents" in said
    assert "blank documents" in said
    assert "read: malformed JSON" in said
    assert f"klue-beam verify {dataset}" in said
    assert "일했다." in said or "말했다." in said, "which sentence is drawn is the model's to say"


def test_a_cluster_that_is_already_there_gives_the_same_bits(corpus: Corpus, undisturbed: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "out"
    options = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=True, scheduler_kwargs=options) as cluster:
        assert annotate_command.main(corpus.arguments(dataset, "--scheduler", cluster.scheduler_address)) == 0
        assert len(cluster.scheduler.workers) == 1, "a cluster of others is left as it was"
    check_same(dataset, undisturbed)


def test_a_scheduler_that_does_not_answer_is_named(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = corpus.arguments(tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    assert annotate_command.main(arguments) == 1
    assert "must be the address of a Dask scheduler that answers" in " ".join(capsys.readouterr().err.split())


def test_a_rerun_of_a_finished_job_does_nothing_and_says_so(
    corpus: Corpus, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    assert annotate_command.main(corpus.arguments(undisturbed)) == 0
    assert "Nothing to do: every input is annotated already." in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before


def test_precision_and_device_may_be_left_to_the_dataset_and_the_machine(
    corpus: Corpus, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`auto` is what the plan says, and where it is computed is no part of the configuration."""
    before = hash_files(undisturbed)
    for options in (["--precision", "auto"], ["--device", "cpu"], ["--device", "auto", "--threads", "2"]):
        assert annotate_command.main(corpus.arguments(undisturbed, *options)) == 0
        assert "Nothing to do: every input is annotated already." in capsys.readouterr().out
    assert annotate_command.main(corpus.arguments(undisturbed, "--precision", "bf16")) == 2
    assert "model.precision was 'fp32', is 'bf16'" in capsys.readouterr().err
    assert hash_files(undisturbed) == before


def test_a_new_dataset_stores_what_auto_became(corpus: Corpus, tmp_path: Path) -> None:
    """All workers and a resumed run take the plan's precision, whatever they would choose."""
    dataset = tmp_path / "out"
    arguments = ["--input", str(corpus.stream), "--output", str(dataset), *corpus.options, "--workers", "1"]
    assert annotate_command.main([*arguments, "--precision", "auto", "--device", "cpu"]) == 0
    settled = AnnotateConfig.from_dict(load_plan(str(dataset)).config).model.precision
    assert settled in PRECISIONS
    (path, *_) = (dataset / "data").iterdir()
    assert read_footer(*locate(str(path)))["klue_beam.precision"] == settled
    assert verify(dataset).faults == []


def test_a_dataset_that_only_lacks_its_success_file_gets_it(corpus: Corpus, undisturbed: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "out"
    shutil.copytree(undisturbed, dataset)
    (dataset / SUCCESS_FILE).unlink()
    (dataset / ATTEMPTS_DIR).mkdir()
    (dataset / ATTEMPTS_DIR / "part-000000-000000-killed.parquet").write_bytes(b"half")
    assert annotate_command.main(corpus.arguments(dataset)) == 0
    check_same(dataset, undisturbed)


def test_more_inputs_are_added_and_nothing_else_is_done_again(
    corpus: Corpus, undisturbed: Path, tmp_path: Path
) -> None:
    dataset = tmp_path / "out"
    shutil.copytree(undisturbed, dataset)
    before = hash_files(dataset)
    times = {path: (dataset / path).stat().st_mtime_ns for path in before}
    added = tmp_path / "added.jsonl"
    added.write_text('{"id": "new", "text": "새 글이다."}\n', encoding="utf-8")
    arguments = corpus.arguments(dataset, "--workers", "1")
    arguments.insert(1, str(added))
    assert annotate_command.main(arguments) == 0
    after = hash_files(dataset)
    assert before.items() < after.items()
    assert {path: (dataset / path).stat().st_mtime_ns for path in before} == times
    rows = read_rows(dataset)
    assert rows.num_rows == read_rows(undisturbed).num_rows + 1
    assert (dataset / SUCCESS_FILE).exists()
    assert verify(dataset).faults == []


@pytest.mark.parametrize("option", [["--shard_bytes", "2000"], ["--tasks", "tc"], ["--splitter", "none"]])
def test_another_configuration_is_refused(
    option: list[str], corpus: Corpus, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hash_files(undisturbed)
    assert annotate_command.main(corpus.arguments(undisturbed, *option)) == 2
    assert "A dataset must keep its configuration" in capsys.readouterr().err
    assert hash_files(undisturbed) == before


def test_more_rejects_than_allowed_are_a_failure(
    corpus: Corpus, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert annotate_command.main(corpus.arguments(undisturbed, "--max_rejects", "1")) == 0
    assert annotate_command.main(corpus.arguments(undisturbed, "--max_rejects", "0")) == 1
    assert "There must be at most 0 rejects (`--max_rejects`), got 1." in capsys.readouterr().out


def test_a_second_driver_is_kept_out(corpus: Corpus, undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = os.open(undisturbed, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        assert annotate_command.main(corpus.arguments(undisturbed)) == 2
    finally:
        os.close(folder)
    assert "One process at a time may annotate into a folder" in capsys.readouterr().err
    assert annotate_command.main(corpus.arguments(undisturbed)) == 0


def test_other_shard_and_batch_sizes_give_the_same_labels_and_nearly_the_same_scores(
    corpus: Corpus, undisturbed: Path, tmp_path: Path
) -> None:
    dataset = tmp_path / "out"
    arguments = corpus.arguments(dataset, "--workers", "1", "--shard_bytes", "4000", "--batch_bytes", "1500")
    assert annotate_command.main(arguments) == 0
    assert len(load_plan(str(dataset)).shards) < len(load_plan(str(undisturbed)).shards)
    ours, theirs = read_rows(dataset).to_pylist(), read_rows(undisturbed).to_pylist()
    assert without_scores(ours) == without_scores(theirs)
    assert list(scores(ours)) == pytest.approx(list(scores(theirs)), abs=1e-3)


def without_scores(value: object) -> object:
    """Rows without the scores anywhere in them."""
    if isinstance(value, dict):
        return {name: without_scores(part) for name, part in value.items() if name != "score"}
    return [without_scores(part) for part in value] if isinstance(value, list) else value


def scores(value: object) -> list[float]:
    """The scores anywhere in rows."""
    if isinstance(value, dict):
        own = [value["score"]] if "score" in value else []
        return own + [score for part in value.values() for score in scores(part)]
    return [score for part in value for score in scores(part)] if isinstance(value, list) else []


def test_processes_times_threads_fill_the_cores() -> None:
    assert ClusterConfig().count_workers(shards=100, cores=8) == 8
    assert ClusterConfig(threads=3).count_workers(shards=100, cores=8) == 2
    assert ClusterConfig(threads=16).count_workers(shards=100, cores=8) == 1
    assert ClusterConfig(workers=20).count_workers(shards=5, cores=8) == 5
