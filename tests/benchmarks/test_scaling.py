"""Scaling runs the command itself, and prints ratios."""

import re
from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.commits import measure_commits
from benchmarks.samples import read_documents
from benchmarks.whole_run import Worker, models_of


def test_workers(texts: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main(["workers", "--input", texts, "--size", "20kB", "--", "--model", model]) == 0
    assert re.search(r"ratio of the speed of 2 workers to that of 1: [\d.]+", capsys.readouterr().out)


def test_sizes(texts: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main(["sizes", "--input", texts, "--sizes", "10kB", "40kB", "--", "--model", model]) == 0
    out = capsys.readouterr().out
    assert re.search(r"ratio of the larger to the smaller: time for each MB [\d.]+, peak memory [\d.]+", out)


def test_commits_after_the_first(texts: str, model: str, tmp_path: Path) -> None:
    worker = Worker(models_of(model), tmp_path, read_documents(texts))
    worker.run("sample", read_documents(texts))
    dataset = tmp_path / "sample"
    with pytest.raises(ValueError, match=r"more than 1 segments to be measured, got 1 in .*sample\. Give more text"):
        measure_commits(dataset, 1)


def test_a_size_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scaling.main(["workers", "--input", "x", "--size", "much"])
    assert "must be a number of bytes" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--workers", "2"], ["--shard_bytes=1000"]])
def test_options_that_the_benchmark_sets_are_refused(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main(["sizes", "--input", "x", "--", "--model", "tiny", *given]) == 2
    assert f"{given[0]} behind -- is set by this benchmark itself" in capsys.readouterr().err
