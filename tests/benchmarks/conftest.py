"""A small input, a tiny model, and a process that is left with the threads that it had."""

from collections.abc import Iterator

import pytest
import torch

from benchmarks.samples import write_jsonl
from tests.tiny_models import SENTENCES, tiny_checkpoint


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny multi-task model."""
    return str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Eight documents of a few sentences."""
    documents = [" ".join(SENTENCES[i:] + SENTENCES[:i]) for i in range(6)] + list(SENTENCES[:2])
    return str(write_jsonl(documents, tmp_path_factory.mktemp("texts") / "texts.jsonl"))


@pytest.fixture(autouse=True)
def _own_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back what `use_one_thread` sets."""
    for library in ("OMP", "MKL", "OPENBLAS", "RAYON"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "1")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
