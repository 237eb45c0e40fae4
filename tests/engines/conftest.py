"""Fixtures of the tests on engines."""

import contextlib
import gzip
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.engines.corpus")

from tests.engines.corpus import Corpus, hash_files, read_rows  # noqa: E402  after its asserts are told to explain
from tests.tiny_models import tiny_checkpoint  # noqa: E402


@pytest.fixture(scope="session")
def corpus(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The bundled sample as a plain file of several shards and as a stream of several segments, one line broken."""
    folder = tmp_path_factory.mktemp("engines")
    sample = (checkout / "examples" / "sample" / "sample.jsonl").read_bytes()
    inputs = folder / "inputs"
    inputs.mkdir()
    (inputs / "plain.jsonl").write_bytes(sample + b'{"id": "broken", "text": "\n')
    (inputs / "stream.jsonl.gz").write_bytes(gzip.compress(sample))
    model = folder / "model"
    tiny_checkpoint(model)
    arguments = ("--input", str(inputs), "--input_format", "jsonl", "--keep_metadata", "--model", str(model))
    corpus = Corpus((*arguments, "--shard_bytes", "2KiB", "--batch_bytes", "1KiB"), folder / "local")
    corpus.annotate(corpus.local, "--workers", "1")
    rows = read_rows(corpus.local)
    assert rows.num_rows > 300
    assert len(hash_files(corpus.local)) > 30
    return corpus


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Servers that a test starts, each in a session of its own; they and what they started end with the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        # Both: the server's own way to end, which ends its workers, and what is left of its session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
