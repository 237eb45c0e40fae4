"""Whatever is killed, and whenever: the same command again gives the rows of an undisturbed run, bit for bit."""

import dataclasses
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from urllib.parse import urlencode

import psutil
import pytest

from klue_beam import open_dataset
from klue_beam.schemas.shard import ATTEMPTS_DIR, SUCCESS_FILE
from tests.beam_pipelines.conftest import Corpus, run_command
from tests.engines.corpus import check_same, hash_files
from tests.plugins import install_plugin, plugin_environment

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


class Striking:
    """Runs the command with a store that strikes, on a dataset of its own."""

    def __init__(self, dataset: Path, package: Path) -> None:
        self.dataset = dataset
        self._environment = {**plugin_environment(package), DATASET_VARIABLE: str(dataset)}

    def run(
        self, corpus: Corpus, action: str, moments: Mapping[str, Path | str], workers: int
    ) -> CompletedProcess[str]:
        """Run with what happens at some moments, each with its marker."""
        query = urlencode({"action": action, **moments})
        arguments = corpus.arguments(Path("striking"), "--workers", str(workers))
        arguments[arguments.index("striking")] = f"striking://{self.dataset}?{query}"
        return run_command(["annotate", *arguments], environment=self._environment)

    def resume(self, corpus: Corpus) -> CompletedProcess[str]:
        """Run undisturbed."""
        return run_command(["annotate", *corpus.arguments(self.dataset, "--workers", "1")])


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    code = Path(__file__).with_name("striking.py").read_text(encoding="utf-8")
    stores = {"klue_beam.stores": {"striking": "striking_store:StrikingStore"}}
    return install_plugin(tmp_path_factory.mktemp("packages"), "striking_store", code, stores)


@pytest.fixture
def striking(tmp_path: Path, package: Path) -> Striking:
    return Striking(tmp_path / "out", package)


@pytest.mark.parametrize("victim", ["driver", "all"])
def test_a_killed_driver_leaves_no_process_and_the_next_run_goes_on(
    victim: str, corpus: Corpus, undisturbed: Path, striking: Striking, tmp_path: Path
) -> None:
    for moment in MOMENTS:
        killed = striking.run(corpus, victim, {moment: tmp_path / moment}, workers=1)
        assert killed.returncode == -9, f"{moment}: {killed.returncode} {killed.stdout}{killed.stderr}"
        assert nothing_is_left(striking.dataset), f"{moment}: {processes_on(striking.dataset)}"
        assert not (striking.dataset / SUCCESS_FILE).exists()
    resumed = striking.resume(corpus)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    check_same(striking.dataset, undisturbed)


def test_a_killed_worker_is_replaced_and_the_run_goes_on(
    corpus: Corpus, undisturbed: Path, striking: Striking, tmp_path: Path
) -> None:
    done = striking.run(corpus, "worker", {moment: tmp_path / moment for moment in MOMENTS}, workers=2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("died; another one takes the shard") == len(MOMENTS)
    assert all((tmp_path / moment).exists() for moment in MOMENTS)
    assert nothing_is_left(striking.dataset)
    check_same(striking.dataset, undisturbed)


def test_a_shard_that_kills_its_process_each_time_is_set_aside_and_the_others_go_on(
    corpus: Corpus, undisturbed: Path, striking: Striking
) -> None:
    done = striking.run(corpus, "worker", {"writing-rejects": ""}, workers=2)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "its process died 3 times" in done.stdout
    assert f"{corpus.plain}" in done.stdout
    assert "1 shards are not done" in done.stdout
    assert not (striking.dataset / SUCCESS_FILE).exists()
    whole = {path: digest for path, digest in hash_files(undisturbed).items() if path.startswith("_receipts")}
    there = {path: digest for path, digest in hash_files(striking.dataset).items() if path.startswith("_receipts")}
    assert there.items() < whole.items()
    assert len(whole) - len(there) == 1
    assert striking.resume(corpus).returncode == 0
    check_same(striking.dataset, undisturbed)


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(
    corpus: Corpus, undisturbed: Path, striking: Striking, tmp_path: Path
) -> None:
    stopped = striking.run(corpus, "ctrl-c", {"before-receipt": tmp_path / "struck"}, workers=2)
    assert stopped.returncode == 1, stopped.stdout + stopped.stderr
    assert "the same command goes on from there" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert nothing_is_left(striking.dataset)
    assert not (striking.dataset / ATTEMPTS_DIR).exists()
    assert not (striking.dataset / SUCCESS_FILE).exists()
    assert striking.resume(corpus).returncode == 0
    check_same(striking.dataset, undisturbed)


def test_a_source_that_changes_while_it_is_annotated_sets_its_shards_aside(
    corpus: Corpus, striking: Striking, tmp_path: Path
) -> None:
    changing = tmp_path / "changing.jsonl"
    shutil.copy(corpus.plain, changing)
    grown = dataclasses.replace(corpus, stream=changing)
    done = striking.run(grown, str(changing), {"planned": ""}, workers=1)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed 2 times" in " ".join(done.stdout.split())
    assert str(changing) in "".join(done.stdout.split())
    assert not (striking.dataset / SUCCESS_FILE).exists()
    assert set(open_dataset(striking.dataset).rows(columns=["source"]).read_all()["source"].to_pylist()) == {
        str(corpus.plain)
    }
