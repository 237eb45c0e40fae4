"""Beam's own DaskRunner on a cluster of two processes, one of which is killed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from distributed import LocalCluster

from klue_beam.schemas.shard import RECEIPTS_DIR
from tests.engines.corpus import ENVIRONMENT, TIME_LIMIT_SECONDS, Corpus, check_same, hash_files

pytestmark = pytest.mark.slow


def count_receipts(dataset: Path) -> int:
    return len(list((dataset / RECEIPTS_DIR).glob("*.json")))


def kill_a_busy_worker(cluster: LocalCluster) -> None:
    """Kill -9 the process of a worker that has a task in hand."""
    busy = [state.address for state in cluster.scheduler.workers.values() if state.processing]
    pid_of = {nanny.worker_address: nanny.pid for nanny in cluster.workers.values()}
    os.kill(pid_of[busy[0]], signal.SIGKILL)


def test_a_killed_dask_worker_costs_no_row(corpus: Corpus, tmp_path: Path) -> None:
    """A worker killed in the middle is replaced, its shards run again, and the rows are those of the local run."""
    output = tmp_path / "annotated"
    segments = count_receipts(corpus.local)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        command = corpus.command(
            output,
            "--runner=apache_beam.runners.dask.dask_runner.DaskRunner",
            f"--dask_client_address={cluster.scheduler_address}",
            "--dask_npartitions=1000",
        )
        with (tmp_path / "log").open("wb") as log:
            client = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + TIME_LIMIT_SECONDS
            while count_receipts(output) < 1 and client.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert client.poll() is None, (tmp_path / "log").read_text()
            kill_a_busy_worker(cluster)
            written = count_receipts(output)
            assert client.wait(timeout=TIME_LIMIT_SECONDS) == 0, (tmp_path / "log").read_text()
        finally:
            client.kill()
    assert 1 <= written < segments
    check_same(output, corpus.local)
    assert len(hash_files(output)) > segments
