"""Whatever is killed, and whenever: the same command again gives the rows of an undisturbed run, bit for bit."""

import time
from pathlib import Path

import psutil
import pytest

from klue_beam.schemas.shard import ATTEMPTS_DIR, SUCCESS_FILE
from tests.beam_pipelines.conftest import CRASHING, ENVIRONMENT, Corpus, run_command
from tests.engines.corpus import check_same, hash_files

pytestmark = pytest.mark.slow

MOMENTS = ("reading", "writing", "before-receipt", "before-rejects")
"""The last one strikes in the last shard: a worker may finish it before it sees the driver gone."""
WAIT_SECONDS = 300
DATASET_VARIABLE = "TEST_DATASET"


def processes_on(dataset: Path) -> list[psutil.Process]:
    """Every process that was started for a dataset: they inherit a variable of the environment."""
    found = []
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get(DATASET_VARIABLE) == str(dataset):
            found.append(process)
    return found


def nothing_is_left(dataset: Path) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while processes_on(dataset):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "out"
    monkeypatch.setitem(ENVIRONMENT, DATASET_VARIABLE, str(folder))
    return folder


@pytest.mark.parametrize("victim", ["driver", "all"])
def test_a_killed_driver_leaves_no_process_and_the_next_run_goes_on(
    victim: str, corpus: Corpus, undisturbed: Path, dataset: Path, tmp_path: Path
) -> None:
    arguments = corpus.arguments(dataset, "--workers", "1")
    for moment in MOMENTS:
        killed = run_command(arguments, str(CRASHING), victim, f"{moment}={tmp_path / moment}", "--", "annotate")
        assert killed.returncode == -9, f"{moment}: {killed.returncode} {killed.stdout}{killed.stderr}"
        assert nothing_is_left(dataset), f"{moment}: {processes_on(dataset)}"
        assert not (dataset / SUCCESS_FILE).exists()
    resumed = run_command(["annotate", *arguments])
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    check_same(dataset, undisturbed)


def test_a_killed_worker_is_replaced_and_the_run_goes_on(
    corpus: Corpus, undisturbed: Path, dataset: Path, tmp_path: Path
) -> None:
    moments = [f"{moment}={tmp_path / moment}" for moment in MOMENTS]
    arguments = corpus.arguments(dataset, "--workers", "2")
    done = run_command(arguments, str(CRASHING), "worker", *moments, "--", "annotate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("died; another one takes the shard") == len(MOMENTS)
    assert all((tmp_path / moment).exists() for moment in MOMENTS)
    assert nothing_is_left(dataset)
    check_same(dataset, undisturbed)


def test_a_shard_that_kills_its_process_each_time_is_set_aside_and_the_others_go_on(
    corpus: Corpus, undisturbed: Path, dataset: Path
) -> None:
    arguments = corpus.arguments(dataset, "--workers", "2")
    done = run_command(arguments, str(CRASHING), "worker", "writing-rejects=", "--", "annotate")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "its process died 3 times" in done.stdout
    assert f"{corpus.plain}" in done.stdout
    assert "1 shards are not done" in done.stdout
    assert not (dataset / SUCCESS_FILE).exists()
    whole = {path: digest for path, digest in hash_files(undisturbed).items() if path.startswith("_receipts")}
    there = {path: digest for path, digest in hash_files(dataset).items() if path.startswith("_receipts")}
    assert there.items() < whole.items()
    assert len(whole) - len(there) == 1
    assert run_command(["annotate", *arguments]).returncode == 0
    check_same(dataset, undisturbed)


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(
    corpus: Corpus, undisturbed: Path, dataset: Path, tmp_path: Path
) -> None:
    arguments = corpus.arguments(dataset, "--workers", "2")
    moment = f"before-receipt={tmp_path / 'struck'}"
    stopped = run_command(arguments, str(CRASHING), "ctrl-c", moment, "--", "annotate")
    assert stopped.returncode == 1, stopped.stdout + stopped.stderr
    assert "the same command goes on from there" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert nothing_is_left(dataset)
    assert not (dataset / ATTEMPTS_DIR).exists()
    assert not (dataset / SUCCESS_FILE).exists()
    assert run_command(["annotate", *arguments]).returncode == 0
    check_same(dataset, undisturbed)
