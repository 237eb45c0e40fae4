"""Beam's portable path, with nothing but PyPI: a job service in a process of its own, workers here or elsewhere."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engines.corpus import ENVIRONMENT, TIME_LIMIT_SECONDS, Corpus, check_same

pytestmark = pytest.mark.slow

Servers = list["subprocess.Popen[bytes]"]
WORKER_LOG = "worker_pool.log"


def start_server(processes: Servers, log: Path, *arguments: str) -> None:
    """Start a Python process whose output goes to a file, in that file's folder."""
    with log.open("wb") as output:
        command = [sys.executable, *arguments]
        processes.append(
            subprocess.Popen(
                command, cwd=log.parent, env=ENVIRONMENT, stdout=output, stderr=output, start_new_session=True
            )
        )


def wait_for(pattern: str, path: Path, server: "subprocess.Popen[bytes]") -> str:
    """Wait until a file that a server writes has what is looked for, and give that."""
    deadline = time.monotonic() + TIME_LIMIT_SECONDS
    while True:
        found = re.search(pattern, path.read_text()) if path.exists() else None
        if found is not None:
            return found[1]
        assert server.poll() is None, f"the server ended: {path.read_text() if path.exists() else ''}"
        assert time.monotonic() < deadline, f"no {pattern} in {path}"
        time.sleep(0.05)


@pytest.fixture
def job_endpoint(processes: Servers, tmp_path: Path) -> str:
    """Beam's own job service, which runs jobs on workers that it does not start in its own process."""
    port_file = tmp_path / "port"
    command = ("-m", "apache_beam.runners.portability.local_job_service_main", "--port_file", str(port_file))
    start_server(processes, tmp_path / "job_service.log", *command, "--staging_dir", str(tmp_path / "staged"))
    return "localhost:" + wait_for(r"(\d+)$", port_file, processes[-1])


@pytest.fixture
def worker_endpoint(processes: Servers, tmp_path: Path) -> str:
    """Beam's worker pool, which starts each worker as a process; on a port of its own choice, which its log tells."""
    code = (
        "import logging, sys; from apache_beam.runners.worker.worker_pool_main import main; "
        "logging.basicConfig(level=logging.INFO); main(['worker_pool_main', '--service_port=0'])"
    )
    start_server(processes, tmp_path / WORKER_LOG, "-c", code)
    return wait_for(r"Listening for workers at (\S+)", tmp_path / WORKER_LOG, processes[-1])


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
    log = (tmp_path / WORKER_LOG).read_text()
    assert "Starting worker with command" in log
