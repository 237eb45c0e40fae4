"""Beam's portable path, with nothing but PyPI: a job service in a process of its own, workers here or elsewhere."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engines.corpus import ENVIRONMENT, Corpus, check_same

Servers = list["subprocess.Popen[bytes]"]


def start_server(processes: Servers, folder: Path, module: str, *arguments: str) -> None:
    with (folder / f"{module}.log").open("wb") as log:
        command = [sys.executable, "-m", module, *arguments]
        processes.append(
            subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True)
        )


@pytest.fixture
def job_endpoint(processes: Servers, tmp_path: Path) -> str:
    """Beam's own job service, which runs jobs on workers that it does not start in its own process."""
    port_file = tmp_path / "port"
    module = "apache_beam.runners.portability.local_job_service_main"
    start_server(processes, tmp_path, module, "--port_file", str(port_file), "--staging_dir", str(tmp_path / "staged"))
    deadline = time.monotonic() + 60
    while not port_file.exists():
        assert processes[-1].poll() is None, "the job service ended"
        assert time.monotonic() < deadline, "the job service did not start"
        time.sleep(0.05)
    return f"localhost:{port_file.read_text()}"


@pytest.fixture
def worker_endpoint(processes: Servers, tmp_path: Path) -> str:
    """Beam's worker pool, which starts each worker as a process."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    module = "apache_beam.runners.worker.worker_pool_main"
    start_server(processes, tmp_path, module, f"--service_port={port}")
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
        except OSError:
            assert processes[-1].poll() is None, "the worker pool ended"
            assert time.monotonic() < deadline, "the worker pool did not start"
            time.sleep(0.05)
        else:
            return f"localhost:{port}"


def test_loopback_gives_the_local_rows(corpus: Corpus, job_endpoint: str, tmp_path: Path) -> None:
    """A job service calls the submitting process back as its worker."""
    output = tmp_path / "annotated"
    corpus.annotate(output, "--runner=PortableRunner", f"--job_endpoint={job_endpoint}", "--environment_type=LOOPBACK")
    check_same(output, corpus.local)


def test_external_workers_give_the_local_rows(
    corpus: Corpus, job_endpoint: str, worker_endpoint: str, tmp_path: Path
) -> None:
    """The worker is another process than the job service and the client; all that it knows came by the wire."""
    output = tmp_path / "annotated"
    corpus.annotate(
        output,
        "--runner=PortableRunner",
        f"--job_endpoint={job_endpoint}",
        "--environment_type=EXTERNAL",
        f"--environment_config={worker_endpoint}",
    )
    check_same(output, corpus.local)
    log = (tmp_path / "apache_beam.runners.worker.worker_pool_main.log").read_text()
    assert "Starting worker with command" in log
