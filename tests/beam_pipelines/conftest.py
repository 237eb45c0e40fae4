"""A small corpus, a tiny model, and the dataset that an undisturbed run makes of them."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tiny_models import tiny_checkpoint

TIME_LIMIT_SECONDS = 900
"""Seconds are enough; a machine that is busy with other things takes many times as long."""


@dataclass(frozen=True)
class Corpus:
    """What is annotated.

    Attributes:
      plain: a file of several shards, one line of the last one broken.
      stream: a compressed file of several segments.
      options: what decides the rows but for inputs and output.
      model: the folder of a tiny model for all tasks.
    """

    plain: Path
    stream: Path
    model: Path

    @property
    def options(self) -> list[str]:
        return ["--model", str(self.model), "--splitter", "newline", "--shard_bytes", "1500", "--batch_bytes", "300"]

    def arguments(self, output: Path, *more: str) -> list[str]:
        """The arguments of `klue-beam annotate` for both files."""
        inputs = ["--input", str(self.plain), str(self.stream)]
        return [*inputs, "--output", str(output), *self.options, *more]


def run_command(
    arguments: Sequence[str], *prefix: str, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run klue-beam, or a script that runs it, in a session of its own."""
    command = [sys.executable, *(prefix or ("-m", "klue_beam")), *arguments]
    return subprocess.run(
        command,
        env={**environment, "HF_HUB_OFFLINE": "1", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        start_new_session=True,
        check=False,
    )


def _record(number: int) -> str:
    text = f"{number}번째 글이다. 김하늘 대표는 부산에서 {number}년 동안 일했다.\n내일 오후에 만나자고 그가 말했다."
    return json.dumps({"id": number, "text": "  " if number % 11 == 10 else text}, ensure_ascii=False)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    plain, stream, model = folder / "plain.jsonl", folder / "stream.jsonl.gz", folder / "model"
    plain.write_text("".join(f"{_record(n)}\n" for n in range(40)) + '{"id": "broken", "te\n', encoding="utf-8")
    stream.write_bytes(gzip.compress("".join(f"{_record(n)}\n" for n in range(100, 120)).encode()))
    tiny_checkpoint(model)
    return Corpus(plain, stream, model)


@pytest.fixture(scope="session")
def undisturbed(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of one run with one worker and no trouble."""
    dataset = tmp_path_factory.mktemp("undisturbed") / "out"
    done = run_command(["annotate", *corpus.arguments(dataset, "--workers", "1")])
    assert done.returncode == 0, done.stdout + done.stderr
    return dataset
