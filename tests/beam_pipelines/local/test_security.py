"""Nobody but a run's own processes can reach its scheduler and workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.beam_pipelines.conftest import Corpus

INTRUDER = """
import logging, sys
from distributed import Client, Security
logging.disable(logging.CRITICAL)
for address, security in ((f"tcp://127.0.0.1:{port}", None), (f"tls://127.0.0.1:{port}", Security.temporary())):
    try:
        with Client(address, security=security, timeout=3) as client:
            print("reached", address, client.run_on_scheduler(lambda: 1))
    except (OSError, RuntimeError, ValueError) as error:
        print("refused", address, type(error).__name__)
"""


@pytest.fixture
def job(corpus: Corpus, tmp_path: Path) -> Iterator[psutil.Process]:
    """A run at work, with processes of its own."""
    arguments = corpus.arguments(tmp_path / "out", "--workers", "1")
    command = [sys.executable, "-m", "klue_beam", "annotate", *arguments]
    with subprocess.Popen(
        command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGINT)


def listening_ports(job: psutil.Process) -> set[int]:
    processes = [job, *job.children(recursive=True)]
    found = [connection for process in processes for connection in process.net_connections("inet")]
    return {connection.laddr.port for connection in found if connection.status == psutil.CONN_LISTEN}


def test_code_from_outside_does_not_run(job: psutil.Process) -> None:
    ports: set[int] = set()
    while len(ports) < 2 and job.is_running():  # the scheduler, and at least one worker
        ports = listening_ports(job)
        time.sleep(0.05)
    assert len(ports) >= 2
    for port in sorted(ports):
        script = f"port = {port}\n{INTRUDER}"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout.count("refused") == 2, done.stdout
        assert "reached" not in done.stdout
